"""Metrics of rare labels equal their definitions by brute force, and their intervals hold what they promise."""

import numpy as np
import pytest
from delong import auc_interval
from hypothesis import given
from hypothesis import strategies as st
from river import metrics as river_metrics
from scipy import stats

from rtml.metrics import metrics
from rtml.metrics import rare_class as imbalance

DAY = 86_400 * 10**9


@st.composite
def scored(draw):
    """Labels with gaps, and predictions with many ties."""
    n = draw(st.integers(1, 40))
    y = draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=n, max_size=n))
    p = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    return np.array(y), np.array(p) / 6


def fraud_like(days=40, a_day=200, seed=0, skill=2.0):
    rng = np.random.default_rng(seed)
    n = days * a_day
    y = (rng.random(n) < 0.02).astype(float)
    return y, rng.normal(0, 1, n) + skill * y, np.arange(n) * (DAY // a_day)


@given(scored(), st.sampled_from([0.0, 0.5, 1.0]))
def test_alarms_are_counted_as_by_river_and_the_capture_rate_by_hand(data, threshold):
    y, p = data
    counts = river_metrics.ConfusionMatrix()
    for truth, score in zip(y, p, strict=True):
        if truth == truth:
            counts.update(bool(truth), bool(score >= threshold))
    found = imbalance.alarms(y, p, threshold)
    for name, of_river in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")):
        expected = getattr(river_metrics, of_river)(cm=counts).get()
        assert np.isnan(found[name]) or found[name] == pytest.approx(expected), name
    negatives = [score for truth, score in zip(y, p, strict=True) if truth == 0]
    if negatives:
        assert found["fpr"] == pytest.approx(np.mean([score >= threshold for score in negatives]))
    some = imbalance.alarms([1, 0, 1, 0, 0, 1, 0, 0, 0, 0], np.arange(10) / 10, reviewed=0.5)
    assert some["capture_rate"] == pytest.approx(1 / 3)


@given(scored())
def test_average_precision_is_the_mean_precision_over_the_ones(data):
    y, p = data
    y, p = y[~np.isnan(y)], p[~np.isnan(y)]
    each = [y[p >= own].mean() for own in p[y == 1]]  # precision of all that score at least as high, ties together
    expected = np.mean(each) if each else np.nan
    assert imbalance.average_precision(*data) == pytest.approx(expected, nan_ok=True)


@given(scored(), st.sampled_from([0.0, 0.01, 0.2, 0.5, 1.0]))
def test_recall_is_that_of_the_best_threshold_allowed(data, allowed):
    y, p = data[0][~np.isnan(data[0])], data[1][~np.isnan(data[0])]
    expected = np.nan
    if 0 < y.sum() < len(y):
        levels = [np.inf, *np.unique(p)]
        expected = max((p[y == 1] >= t).mean() for t in levels if (p[y == 0] >= t).mean() <= allowed)
    assert imbalance.recall_at(*data, allowed) == pytest.approx(expected, nan_ok=True)


@given(scored())
def test_the_area_is_that_of_the_ranks(data):
    at = np.arange(len(data[0])) * DAY // 3
    value, low, high = imbalance.interval("auc", *data, at, draws=20)
    assert value == pytest.approx(metrics.auc(*data), nan_ok=True)
    assert np.isnan(value) or low <= high


def test_delong_is_the_variance_of_its_components():
    y, p, _ = fraud_like(3)
    p = p.round(1)
    ones, zeros = p[y == 1], p[y == 0]
    wins = (ones[:, None] > zeros).astype(float) + 0.5 * (ones[:, None] == zeros)
    spread = np.sqrt(wins.mean(1).var(ddof=1) / len(ones) + wins.mean(0).var(ddof=1) / len(zeros))
    area, low, high = auc_interval(y, p)
    u = stats.mannwhitneyu(ones, zeros).statistic
    assert area == pytest.approx(u / (len(ones) * len(zeros)))
    assert (high - low) / 2 == pytest.approx(stats.norm.ppf(0.975) * spread)


def test_an_interval_over_days_is_that_of_days_written_out():
    y, p, at = fraud_like(12, 50)
    got = imbalance.interval("average_precision", y, p, at, draws=60, seed=3)
    rng, day, drawn = np.random.default_rng(3), at // DAY, []
    for count in rng.multinomial(12, np.full(12, 1 / 12), size=60):
        rows = np.concatenate([np.flatnonzero(day == d) for d in range(12) for _ in range(count[d])])
        drawn.append(imbalance.average_precision(y[rows], p[rows]))
    assert got[0] == pytest.approx(imbalance.average_precision(y, p))
    assert got[1:] == pytest.approx(np.nanquantile(drawn, [0.025, 0.975]))


def test_an_interval_holds_the_truth_and_days_that_differ_make_it_wide():
    truth = stats.norm.cdf(2.0 / np.sqrt(2))
    held = [imbalance.interval("auc", *fraud_like(seed=seed)[:2], fraud_like()[2], draws=60) for seed in range(20)]
    assert np.mean([low <= truth <= high for _, low, high in held]) >= 0.85
    y, p, at = fraud_like()
    turned = np.where((at // DAY) % 2 == 0, p, p - 4 * y)  # every other day the model is wrong
    _, low, high = imbalance.interval("auc", y, turned, at)
    _, near, far = auc_interval(y, turned)
    assert high - low > 1.1 * (far - near)


def test_a_difference_is_paired():
    y, p, at = fraud_like()
    worse = p + np.random.default_rng(5).normal(0, 0.3, len(p))
    gain, low, high = imbalance.difference("auc", y, p, worse, at)
    alone = imbalance.interval("auc", y, p, at)
    assert 0 < low < gain < high and high - low < 0.7 * (alone[2] - alone[1])
    assert imbalance.difference("auc", y, p, p, at) == (0.0, 0.0, 0.0)


def test_rivers_area_is_wrong_where_one_in_a_hundred_is_one():
    from river import metrics as theirs

    y, _, _ = fraud_like(40, 250, skill=0.0)
    p = np.where(y == 1, 0.02, 0.01) + np.random.default_rng(0).normal(0, 0.004, len(y)).clip(-0.009, 0.009)
    area = theirs.ROCAUC()
    for label, score in zip(y.astype(bool).tolist(), p.tolist(), strict=True):
        area.update(label, {True: score, False: 1 - score})
    assert area.get() < 0.6 < 0.9 < metrics.auc(y, p)


def test_what_cannot_be_scored_is_said():
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        imbalance.average_precision([2.0], [0.1])
    with pytest.raises(ValueError, match=r"share of false alarms lies between 0 and 1, got 1\.5"):
        imbalance.recall_at([1.0], [0.1], 1.5)
    with pytest.raises(LookupError, match="no metric 'f1' of rare labels; there are: auc, average_precision, recall"):
        imbalance.interval("f1", [1.0], [0.1], [0])
    assert np.isnan(imbalance.average_precision([np.nan], [0.1])) and np.isnan(imbalance.recall_at([], []))
