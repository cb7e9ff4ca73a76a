"""Metrics against independent oracles, their curves against the loop written by hand, the score against any cutting."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics as river_metrics
from scipy.stats import mannwhitneyu

from rtml.core import state as checkpoint
from rtml.metrics import metrics
from rtml.metrics.running import Score, cumulative, per_block, windowed

RATIOS = ["mse", "rmse", "mae", "r2_zero", "hit_rate"]
numbers = st.floats(-1e3, 1e3).map(lambda v: round(v, 2))
pairs = st.lists(st.tuples(st.one_of(numbers, st.just(0.0), st.just(math.nan)), numbers), max_size=60)
votes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10).map(lambda v: v / 10)), min_size=2, max_size=60)


def columns(rows):
    return np.array([y for y, _ in rows], float), np.array([p for _, p in rows], float)


def by_hand(metric, y, p):
    """Each metric once more, as a plain loop."""
    rows = [(a, b) for a, b in zip(y, p, strict=True) if not math.isnan(a)]
    moves = [(a, b) for a, b in rows if a != 0]
    squares = sum((a - b) ** 2 for a, b in rows)
    zero = sum(a * a for a, _ in rows)
    if metric == "r2_zero":
        return 1 - squares / zero if zero > 0 else math.nan
    if metric == "hit_rate":
        hits = sum(0.5 if b == 0 else float((a > 0) == (b > 0)) for a, b in moves)
        return hits / len(moves) if moves else math.nan
    if not rows:
        return math.nan
    if metric == "mae":
        return sum(abs(a - b) for a, b in rows) / len(rows)
    return squares / len(rows) if metric == "mse" else math.sqrt(squares / len(rows))


@pytest.mark.parametrize("metric", RATIOS)
@given(rows=pairs)
def test_every_metric_equals_its_loop(metric, rows):
    y, p = columns(rows)
    assert getattr(metrics, metric)(y, p) == pytest.approx(by_hand(metric, y, p), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("metric", RATIOS)
@given(rows=pairs)
def test_a_cumulative_curve_is_the_metric_of_every_beginning(metric, rows):
    y, p = columns(rows)
    expected = [by_hand(metric, y[: i + 1], p[: i + 1]) for i in range(len(y))]
    np.testing.assert_allclose(cumulative(metric, y, p), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("metric", RATIOS)
@given(rows=pairs, window=st.integers(1, 20))
def test_a_windowed_curve_is_the_metric_of_every_window(metric, rows, window):
    y, p = columns(rows)
    whole = [i + 1 >= window for i in range(len(y))]
    cut = [slice(i + 1 - window, i + 1) for i in range(len(y))]
    expected = [by_hand(metric, y[c], p[c]) if w else math.nan for c, w in zip(cut, whole, strict=True)]
    np.testing.assert_allclose(windowed(metric, y, p, window), expected, rtol=1e-9, atol=1e-9)


def test_a_huge_value_leaves_no_trace_in_the_windows_after_it():
    y = np.ones(50)
    y[5] = 1e12
    assert (windowed("mse", y, np.zeros(50), 10)[15:] == 1.0).all()


@given(rows=votes)
def test_auc_is_the_mann_whitney_statistic(rows):
    y, p = columns(rows)
    up, down = p[y == 1], p[y == 0]
    got = metrics.auc(y, p)
    if not len(up) or not len(down):
        assert math.isnan(got)
    else:
        assert got == pytest.approx(mannwhitneyu(up, down).statistic / (len(up) * len(down)), abs=1e-12)


def test_auc_stays_exact_where_one_in_a_hundred_is_positive():
    rng = np.random.default_rng(3)
    y = rng.random(20_000) < 0.01
    p = np.where(y, rng.beta(4, 20, 20_000), rng.beta(1, 30, 20_000))
    up, down = p[y], p[~y]
    assert metrics.auc(y, p) == pytest.approx((up[:, None] > down[None, :]).mean(), abs=1e-12)


@given(rows=votes)
def test_probability_metrics_equal_rivers(rows):
    y, p = columns(rows)
    p = np.clip(p, 0.05, 0.95)
    oracle = river_metrics.LogLoss()
    for a, b in zip(y, p, strict=True):
        oracle.update(bool(a), float(b))
    assert metrics.log_loss(y, p) == pytest.approx(oracle.get(), rel=1e-9)
    assert metrics.brier(y, p) == pytest.approx(np.mean((p - y) ** 2))


def test_a_certain_mistake_costs_much_but_not_infinity():
    assert 30 < metrics.log_loss([1, 0], [0.0, 1.0]) < 40


@given(rows=votes, bins=st.integers(1, 12))
def test_a_calibration_table_counts_each_answer_once_in_order(rows, bins):
    y, p = columns(rows)
    table = metrics.calibration(np.append(y, math.nan), np.append(p, 0.5), bins)
    assert table["n"].sum() == len(y) and len(table) <= bins
    assert (table["predicted"] * table["n"]).sum() == pytest.approx(p.sum())
    assert (table["observed"] * table["n"]).sum() == pytest.approx(y.sum())
    assert table["predicted"].is_monotonic_increasing
    assert ((table["low"] <= table["observed"] + 1e-12) & (table["observed"] <= table["high"] + 1e-12)).all()


def test_the_intervals_of_a_calibration_table_cover_the_true_share():
    rng = np.random.default_rng(5)
    p = rng.random(200_000)
    table = metrics.calibration(rng.random(200_000) < p, p, bins=200)
    assert ((table["low"] <= table["predicted"]) & (table["predicted"] <= table["high"])).mean() > 0.9


def test_a_calibration_table_of_nothing_is_empty():
    assert len(metrics.calibration([], [])) == 0


@given(rows=pairs, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_a_score_does_not_depend_on_how_the_stream_is_cut(rows, cuts):
    y, p = columns(rows)
    whole, chunked, singly = Score().update(y, p), Score(), Score()
    edges = [0, *sorted(min(c, len(y)) for c in cuts), len(y)]
    for start, end in itertools.pairwise(edges):
        chunked = Score().load(checkpoint.loads(checkpoint.dumps(chunked.state)))
        chunked.update(y[start:end], p[start:end])
    for a, b in zip(y, p, strict=True):
        singly.update(a, b)
    assert checkpoint.dumps(whole.state) == checkpoint.dumps(chunked.state) == checkpoint.dumps(singly.state)


@given(rows=pairs)
def test_a_score_says_what_the_arrays_say(rows):
    y, p = columns(rows)
    got = Score().update(y, p).get()
    for metric in RATIOS:
        assert got[metric] == pytest.approx(getattr(metrics, metric)(y, p), rel=1e-9, nan_ok=True)
    assert got["coverage"] == pytest.approx(metrics.coverage(y), nan_ok=True)
    assert got["asked"] == len(y)


def test_a_refused_update_leaves_the_score_as_it_was():
    score = Score().update([1.0, 2.0], [1.0, 1.0])
    before = checkpoint.dumps(score.state)
    with pytest.raises(ValueError, match="prediction 1 is nan"):
        score.update([1.0, 2.0], [1.0, math.nan])
    assert checkpoint.dumps(score.state) == before


def test_a_prediction_of_an_unanswered_question_may_be_anything():
    assert metrics.mse([1.0, math.nan], [0.0, math.nan]) == 1.0


def test_the_metrics_of_no_answer_are_nan():
    y, p = [math.nan, math.nan], [0.0, 0.0]
    shown = Score().update(y, p).get()
    assert shown["answered"] == 0 and shown["coverage"] == 0.0
    assert all(math.isnan(shown[name]) for name in ("r2_zero", "rmse", "mae", "hit_rate"))
    assert math.isnan(metrics.auc(y, p))


def test_predicting_zero_is_the_zero_of_every_scale():
    y, p = np.random.default_rng(1).normal(size=100), np.zeros(100)
    shown = Score().update(y, p).get()
    assert (shown["r2_zero"], metrics.auc(metrics.sign_labels(y), p), shown["hit_rate"]) == (0.0, 0.5, 0.5)


def test_r2_against_the_running_mean_is_zero_for_the_running_mean():
    y = np.random.default_rng(1).normal(3.0, 1.0, 50)
    assert metrics.r2(y, np.full(50, 3.0), baseline=np.full(50, 3.0)) == 0.0
    assert math.isnan(metrics.r2([1.0], [2.0], baseline=[1.0]))


def test_blocks_take_any_metric_and_whole_blocks_only():
    y, p = np.tile([0, 1], 5), np.arange(10) / 10
    ends, values = per_block(metrics.auc, y, p, 4)
    assert ends.tolist() == [3, 7] and values.tolist() == [0.75, 0.75]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.mse([1.0, 2.0], [1.0]), r"one length, got \(2,\) and \(1,\)"),
        (lambda: metrics.mse([math.inf], [1.0]), "label 0 is infinite: write NaN"),
        (lambda: metrics.auc([2.0], [1.0]), r"labels must be 0 or 1 .* got 2.0"),
        (lambda: metrics.log_loss([1.0], [1.5]), "between 0 and 1, got 1.5"),
        (lambda: metrics.brier([0.5], [0.5]), "labels must be 0 or 1"),
        (lambda: cumulative("auc", [1.0], [1.0]), "no curve of 'auc'; there are: mse"),
        (lambda: windowed("mse", [1.0], [1.0], 0), "at least one question, got 0"),
        (lambda: per_block(metrics.mse, [1.0], [1.0], 0), "at least one question, got 0"),
    ],
)
def test_bad_input_is_said(call, message):
    with pytest.raises((ValueError, LookupError), match=message):
        call()
