"""Distances from a frozen reference: scipy's numbers on the same windows, however the stream is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from rtml.core.state import dumps, loads
from rtml.monitoring.drift.distance import JensenShannon, KolmogorovSmirnov, Psi
from rtml.monitoring.drift.joint import Joint
from rtml.monitoring.drift.reference import Bins, persistence

SMALL = {"reference": 300, "window": 120, "every": 30}
DETECTORS = (Psi, JensenShannon, KolmogorovSmirnov, Joint)
each = pytest.mark.parametrize("make", DETECTORS)


def rows(n=900, seed=0, moved=500, by=1.0):
    """Columns of many kinds: normal, yes or no, often zero, constant; the first moves."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    X[:, 1], X[:, 2], X[:, 3] = X[:, 1] > 0.5, np.maximum(X[:, 2], 0.0), 5.0
    X[moved:, 0] += by
    X[moved:, 1] = X[moved:, 0] > 0.5
    return X


def by_scipy(make, window, reference):
    """The distance as scipy says it, of shares counted by numpy."""
    if make is KolmogorovSmirnov:
        return stats.ks_2samp(window, reference).statistic
    edges = Bins.of(reference[:, None]).edges[0]
    edges = edges[np.isfinite(edges)]
    counts = [np.bincount(np.searchsorted(edges, v, "right"), minlength=len(edges) + 1) for v in (window, reference)]
    p, q = ((count + 0.5) / (count + 0.5).sum() for count in counts)
    return jensenshannon(p, q, 2) if make is JensenShannon else stats.entropy(p, q) + stats.entropy(q, p)


@pytest.mark.parametrize("make", [Psi, JensenShannon, KolmogorovSmirnov])
def test_distances_are_those_of_scipy_on_the_same_windows(make):
    X, detector = rows(), make(**SMALL)
    detector.push(X[:390])
    assert np.isnan(detector.scores).all(), "a window that is not full says nothing"
    for end in range(420, 901, 30):
        detector.push(X[end - 30 : end])
        expected = [by_scipy(make, column[end - 120 : end], column[:300]) for column in X.T]
        assert np.allclose(detector.scores, expected, rtol=1e-12, atol=1e-8), end


def test_a_correlation_is_that_of_scipy_on_normal_scores():
    X, detector = rows(), Joint(**SMALL)
    detector.push(X)
    bins = Bins.of(X[:300])
    z = np.stack([bins.scores[j][column] for j, column in enumerate(bins.codes(X).T)], axis=1)
    for j, k in ((1, 0), (2, 0), (2, 1)):
        change = stats.pearsonr(z[-120:, j], z[-120:, k])[0] - stats.pearsonr(z[:300, j], z[:300, k])[0]
        assert detector.scores[j, k] == pytest.approx(abs(change), rel=1e-9)


@each
@settings(max_examples=15)
@given(places=st.lists(st.integers(0, 900), max_size=8).map(sorted), seed=st.integers(0, 3))
def test_any_cutting_gives_the_same_alarms_and_state_even_with_a_restart_at_each_cut(make, places, seed):
    X, whole = rows(seed=seed), make(**SMALL)
    expected, found, cut = whole.push(X).tolist(), [], make(**SMALL)
    for start, end in zip([0, *places], [*places, len(X)], strict=True):
        again = make(**SMALL)
        again.load(loads(dumps(cut.state)))
        found += (again.push(X[start:end]) + start).tolist()
        cut = again
    assert found == expected and dumps(cut.state) == dumps(whole.state)


@each
def test_a_planted_move_is_seen_soon_and_named_and_a_stream_that_stays_is_not(make):
    detector = make()
    if make is Joint:
        X = np.random.default_rng(1).normal(size=(4000, 5))
        X[3000:, 3] = 0.8 * X[3000:, 1] + 0.6 * X[3000:, 3]
        names = {1, 3}
    else:
        X, names = rows(4000, 1, 3000), {0, 1}
    alarms = detector.push(X)
    assert len(alarms) and 3000 <= alarms[0] < 3500
    assert {column for _, column, _ in detector.raised} == names
    assert not len(make().push(rows(20_000, 2, 20_000)))


def test_a_planted_joint_move_shows_in_no_column_alone():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(6000, 3))
    X[3000:, 1] = 0.8 * X[3000:, 0] + 0.6 * X[3000:, 1]
    assert not any(len(make().push(X)) for make in (Psi, JensenShannon, KolmogorovSmirnov))
    alarms = Joint().push(X)
    assert len(alarms) == 1 and 3000 <= alarms[0] < 3500


@each
def test_an_alarm_is_raised_once_and_again_only_after_a_return(make):
    rng, detector = np.random.default_rng(4), make()
    X = rng.normal(size=(8000, 2))
    for start in (2000, 6000):
        X[start : start + 2000, 1] = 0.8 * X[start : start + 2000, 0] + 0.6 * X[start : start + 2000, 1] + 1.5
    alarms = detector.push(X)
    assert len(alarms) == 2 and 2000 <= alarms[0] < 2500 and 6000 <= alarms[1] < 6500


def slow_rows(n, columns, seed=6, rho=0.98):
    """Independent columns, each standard normal, that move slowly."""
    noise, slow = np.random.default_rng(seed).normal(size=(n, columns)), np.zeros((n, columns))
    for i in range(1, n):
        slow[i] = rho * slow[i - 1] + np.sqrt(1 - rho**2) * noise[i]
    return slow


def test_rows_that_depend_on_those_before_count_for_less():
    quick, slow = np.random.default_rng(6).normal(size=(1000, 200)), slow_rows(20_000, 40)
    assert (persistence(quick) > 1).mean() < 0.01 and (persistence(slow[:1000]) > 5).mean() > 0.9
    careful, plain = Psi(), Psi()
    for detector in (careful, plain):
        detector.push(slow[:1000])
    assert careful.limits.min() > 0.3
    state = plain.state
    state["frozen"]["limits"][:] = 0.2
    plain.load(state)
    for detector in (careful, plain):
        detector.push(slow[1000:])
    assert len(careful.raised) < 0.15 * len(plain.raised)


def test_a_reference_may_be_given_and_is_frozen():
    X = rows(3000, 3, 3000)
    given, waited = Psi(), Psi()
    given.freeze(X[:1000])
    waited.push(X[:1000])
    assert dumps(given.state) == dumps(waited.state)
    edges = waited.state["frozen"]["edges"]
    waited.push(X[1000:] + 3)
    assert np.array_equal(waited.state["frozen"]["edges"], edges)


@each
def test_one_column_may_come_as_a_row(make):
    values = rows(3000, 1, 2000)[:, 0]
    one, table = make(), make()
    assert one.push(values).tolist() == table.push(values[:, None]).tolist()


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match=r"Psi takes finite numbers, got nan: leave them out"):
        Psi().push([1.0, float("nan")])
    with pytest.raises(ValueError, match=r"at least 100 rows and a look come within a window, got reference=50"):
        Psi(reference=50)
    with pytest.raises(ValueError, match=r"the state is of Psi .*, not of JensenShannon"):
        JensenShannon().load(Psi().state)
