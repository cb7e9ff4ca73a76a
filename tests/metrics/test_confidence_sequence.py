"""The interval keeps its promise over whole streams, also where it is hard, and says so where it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.metrics import confidence_sequence as evidence
from rtml.metrics.confidence_sequence import BURN_IN, BURN_IN_APART, compare, confidence_sequence

STREAMS, LENGTH = 600, 3000
NOISE = 3 * np.sqrt(0.05 * 0.95 / STREAMS)  # what chance adds to a rate of 5 % measured on so many streams


def ever_missed(make, truth=0.0, seed=11, **how):
    """Share of streams whose interval leaves the truth out at any moment at all."""
    rng = np.random.default_rng(seed)
    missed = 0
    for _ in range(STREAMS):
        _, low, high = confidence_sequence(make(rng), **how)
        missed += bool(((low > truth) | (high < truth)).any())
    return missed / STREAMS


def changing_volatility(rng):
    """Difference of two models' squared errors on heavy-tailed returns whose volatility wanders."""
    scale = np.exp(0.0125 * np.cumsum(rng.normal(size=LENGTH)))
    y = rng.standard_t(4, LENGTH) * scale
    a, b = 0.1 * scale * rng.normal(size=(2, LENGTH))
    return (y - a) ** 2 - (y - b) ** 2


def overlapping(rng, steps=6):
    """Differences of answers that look ``steps`` ahead: each shares its future with the next five."""
    walk = np.cumsum(rng.normal(size=LENGTH + steps))
    return walk[steps:] - walk[:-steps]


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: rng.normal(size=LENGTH),
        lambda rng: rng.standard_t(3, LENGTH),
        lambda rng: rng.standard_t(2.5, LENGTH),
        lambda rng: (rng.random(LENGTH) < 0.04) * rng.choice([-1.0, 1.0], LENGTH),
        changing_volatility,
    ],
    ids=["normal", "student_3", "student_2.5", "rarely_apart", "changing_volatility"],
)
def test_at_most_one_stream_in_twenty_is_ever_missed(make):
    assert ever_missed(make) <= 0.05 + NOISE


def test_looking_at_a_plain_interval_all_the_time_misses_most_of_what_it_promises():
    def plain(rng):
        d = rng.normal(size=LENGTH)
        n = np.arange(1, LENGTH + 1)
        return np.abs(np.cumsum(d) / n)[BURN_IN:] > 1.96 / np.sqrt(n)[BURN_IN:]

    rng = np.random.default_rng(11)
    assert np.mean([plain(rng).any() for _ in range(STREAMS)]) > 0.2


def test_rare_one_sided_differences_are_not_trusted_too_early():
    assert ever_missed(lambda rng: 1.0 * (rng.random(LENGTH) < 0.01), truth=0.01) <= 0.05 + NOISE


def test_a_long_skewed_tail_is_missed_more_often_and_the_module_says_so():
    rate = ever_missed(lambda rng: rng.lognormal(0, 1.5, LENGTH) - np.exp(1.125))
    assert rate > 0.05 + NOISE
    assert "skewed ones are missed more often" in evidence.__doc__


def test_overlapping_answers_need_blocks_and_their_neighbours():
    assert ever_missed(overlapping) > 0.5
    assert ever_missed(overlapping, horizon_steps=6) <= 0.05 + NOISE


def test_overlapping_answers_get_the_width_that_as_much_independent_noise_would():
    rng = np.random.default_rng(3)

    def width(differences):
        shown = confidence_sequence(differences, horizon_steps=6)
        return shown.high[-1] - shown.low[-1]

    overlap = np.mean([width(overlapping(rng)) for _ in range(100)])
    independent = np.mean([width(rng.normal(0, 6, LENGTH)) for _ in range(100)])  # six shares of one unit each
    assert overlap == pytest.approx(independent, rel=0.05)


def test_a_real_difference_is_found_and_the_time_to_find_it_is_not_much_longer_than_fixed():
    rng = np.random.default_rng(2)
    low = np.array([confidence_sequence(rng.normal(0.15, 1.0, LENGTH)).low > 0 for _ in range(100)])
    assert low[:, -1].all()
    assert np.median(low.argmax(axis=1)) < 1000  # a test at one end, fixed beforehand, needs about 580 for 95 % power


@given(at=st.integers(BURN_IN, 400), steps=st.integers(1, 4), seed=st.integers(0, 50))
def test_what_is_said_at_a_moment_does_not_depend_on_what_comes_later(at, steps, seed):
    d = np.random.default_rng(seed).normal(size=500)
    whole, past = confidence_sequence(d, horizon_steps=steps), confidence_sequence(d[:at], horizon_steps=steps)
    for a, b in zip(whole, past, strict=True):
        np.testing.assert_allclose(a[:at], b, rtol=1e-12)


def test_only_questions_answered_by_both_count():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 500))
    holes = rng.random(500) < 0.3
    with_holes = compare(np.where(holes, np.nan, a), b)
    assert with_holes.n == (~holes).sum()
    assert (with_holes.mean, with_holes.low) == pytest.approx(
        tuple(getattr(compare(a[~holes], b[~holes]), k) for k in ("mean", "low"))
    )


def test_nothing_is_said_before_enough_is_known():
    d = np.random.default_rng(4).normal(5.0, 1.0, BURN_IN)
    assert compare(d[:-1], np.zeros(BURN_IN - 1)).better == ""
    assert compare(d, np.zeros(BURN_IN)).better == "b"
    assert "too few answers to tell (n = 99)" in compare(d[:-1], np.zeros(BURN_IN - 1)).verdict
    assert "too few answers to tell (n = 0)" in compare([], []).verdict


def test_answers_that_overlap_are_said_to_be_few_by_the_blocks_they_make():
    d = np.random.default_rng(4).normal(5.0, 1.0, 99 * 48 + 5)
    said = compare(d, np.zeros(len(d)), horizon_steps=48).verdict
    assert said == "a against b: too few answers to tell (n = 4,757 that overlap: 99 blocks of 48, 100 are needed)"
    assert compare(np.r_[d, d], np.zeros(2 * len(d)), horizon_steps=48).better == "b"


def test_models_that_never_differ_are_never_told_apart():
    _, low, high = confidence_sequence(np.zeros(1000))
    assert np.isinf(low).all() and np.isinf(high).all()
    few = np.zeros(1000)
    few[: BURN_IN_APART - 1] = 1.0
    assert np.isinf(confidence_sequence(few).low).all()


def test_swapping_the_models_swaps_the_verdict():
    a, b = np.random.default_rng(7).normal([[1.0], [2.0]], 1.0, (2, 900))
    first, second = compare(a, b, ("rls", "zero")), compare(b, a, ("zero", "rls"))
    assert first.verdict == second.verdict and first.better == second.better == "rls"
    assert first.low == -second.high and first.mean == -second.mean


def test_a_difference_that_is_not_settled_is_called_so():
    a, b = np.random.default_rng(7).normal(size=(2, 900))
    shown = compare(a, b, ("rls", "sgd"))
    assert shown.better == "" and "rls against sgd: not settled, mean difference of loss" in shown.verdict
    assert shown.effective > 200


def test_a_verdict_that_rests_on_a_few_differences_warns():
    d = np.full(500, 0.1) + np.random.default_rng(1).normal(0, 0.01, 500)
    d[400] = 3.0
    shown = compare(d, np.zeros(500))
    assert shown.better == "b" and "outweigh all others: clip the loss" in shown.verdict


def test_the_interval_is_tightest_where_it_was_told_to_be():
    d = np.random.default_rng(1).normal(size=5000)
    width = {
        at: confidence_sequence(d, optimise_at=at).high - confidence_sequence(d, optimise_at=at).low
        for at in (200, 4000)
    }
    assert width[200][199] < width[4000][199] and width[4000][3999] < width[200][3999]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (dict(differences=[[1.0]]), "one column, got shape"),
        (dict(differences=[1.0, np.inf]), "difference 1 is infinite: clip the loss"),
        (dict(differences=[1.0], alpha=5), "between 0 and 1, got 5"),
        (dict(differences=[1.0], horizon_steps=0), "at least 1, got 0"),
        (dict(differences=[1.0], optimise_at=0), "at least 1, got 0"),
    ],
)
def test_bad_input_is_said(how, message):
    with pytest.raises(ValueError, match=message):
        confidence_sequence(**how)
