"""Detectors of a rising mean: river's numbers, one-sided, the same however the stream is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from rtml.core.state import dumps, loads
from rtml.monitoring.drift.catalogue import detector
from rtml.monitoring.drift.change import Adwin, Fhddm, HddmA, PageHinkley

DETECTORS = {
    "adwin": (lambda: Adwin(two_sided=True), lambda: drift.ADWIN()),
    "adwin, other numbers": (lambda: Adwin(0.1, 3, 3, 2, 5, two_sided=True), lambda: drift.ADWIN(0.1, 3, 3, 2, 5)),
    "hddm_a": (lambda: HddmA(), lambda: drift.binary.HDDMA()),
    "hddm_a, lax": (lambda: HddmA(0.01), lambda: drift.binary.HDDMA(drift_confidence=0.01)),
    "fhddm": (lambda: Fhddm(), lambda: drift.binary.FHDDM()),
    "fhddm, short": (lambda: Fhddm(25, 0.001), lambda: drift.binary.FHDDM(25, 0.001)),
    "page hinkley": (lambda: PageHinkley(), lambda: drift.PageHinkley(mode="up")),
    "page hinkley, low": (
        lambda: PageHinkley(10, 0.01, 5.0, 0.999),
        lambda: drift.PageHinkley(10, 0.01, 5.0, 0.999, mode="up"),
    ),
}
each = pytest.mark.parametrize("name", DETECTORS)


def levels(seed, bits=True, length=700, n=8):
    """A stream whose mean jumps up and down."""
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.random(n), length)
    return (rng.random(len(p)) < p).astype(float) if bits else np.clip(p + rng.normal(0, 0.2, len(p)), 0, 1)


def rivers(detector, values):
    """Where river's detector raises an alarm; its FHDDM takes successes."""
    alarms = []
    for i, value in enumerate(values):
        detector.update(1 - value if isinstance(detector, drift.binary.FHDDM) else value)
        if detector.drift_detected:
            alarms.append(i)
    return alarms


@each
@pytest.mark.parametrize("bits", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_alarms_are_those_of_river(name, bits, seed):
    mine, his = (make() for make in DETECTORS[name])
    values = levels(seed, bits)
    found = mine.push(values).tolist()
    assert found == rivers(his, values) and found
    if isinstance(mine, Adwin):
        assert (mine.width, mine.mean) == (his.width, his.estimation)


@pytest.mark.parametrize("seed", range(4))
def test_one_sided_adwin_raises_those_of_rivers_alarms_that_follow_a_rise(seed):
    p, rng = np.repeat([0.1, 0.5, 0.2, 0.7, 0.3], 1500), np.random.default_rng(seed)
    values = (rng.random(len(p)) < p).astype(float)
    both, rises = Adwin(two_sided=True).push(values).tolist(), Adwin().push(values).tolist()
    assert {alarm // 1500 for alarm in both} == {1, 2, 3, 4}
    assert rises == [alarm for alarm in both if alarm // 1500 in (1, 3)]


def test_a_rise_counts_although_the_oldest_of_the_window_were_worse():
    rng = np.random.default_rng(2)
    p = np.concatenate([np.linspace(0.16, 0.12, 9000), np.full(400, 0.4)])
    for _ in range(10):
        values = np.clip(p + rng.normal(0, 0.19, len(p)), 0, 1)
        alarms = Adwin(0.0002).push(values)
        assert (alarms >= 9000).any() and not (alarms < 9000).any()  # later where a fall has just emptied the window


@each
@settings(max_examples=15)
@given(places=st.lists(st.integers(0, 2100), max_size=8).map(sorted), seed=st.integers(0, 5))
def test_any_cutting_gives_the_same_alarms_and_state_even_with_a_restart_at_each_cut(name, places, seed):
    values, whole = levels(seed, length=300, n=7), DETECTORS[name][0]()
    expected, found, cut = whole.push(values).tolist(), [], DETECTORS[name][0]()
    for start, end in zip([0, *places], [*places, len(values)], strict=True):
        again = DETECTORS[name][0]()
        again.load(loads(dumps(cut.state)))
        found += (again.push(values[start:end]) + start).tolist()
        cut = again
    assert found == expected and dumps(cut.state) == dumps(whole.state)


@pytest.mark.parametrize("make", [Adwin, HddmA, Fhddm, PageHinkley])
def test_a_mean_that_falls_raises_no_alarm(make):
    rng = np.random.default_rng(3)
    assert not len(make().push((rng.random(2000) < np.repeat([0.6, 0.1], 1000)).astype(float)))


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match=r"Adwin takes a row of finite numbers, got .*nan"):
        Adwin().push([0.1, float("nan")])
    with pytest.raises(ValueError, match=r"delta must lie between 0 and 1, got 2"):
        Adwin(delta=2)
    with pytest.raises(ValueError, match=r"the state is of HddmA with \[0.001\], not of Adwin"):
        Adwin().load(HddmA().state)


def test_a_detector_of_ones_own_is_named_by_its_file_or_module(tmp_path):
    (tmp_path / "mine.py").write_text("from rtml.monitoring.drift.change import PageHinkley as Mine\n")
    found = detector(f"{tmp_path / 'mine.py'}:Mine")
    assert type(found) is PageHinkley
    assert type(detector("rtml.monitoring.drift.change:HddmA")) is HddmA
    with pytest.raises(LookupError, match="no detector 'mine'; there are: adwin, "):
        detector("mine")


def test_a_window_that_release_0_2_0_kept_is_taken_up():
    values = levels(3)
    whole, first, taken = Adwin(), Adwin(), Adwin()
    first.push(values[:700])
    state = first.state
    (total, variance, width, ticks, rows), held, buckets = np.split(state["s"], [5, 53])
    del state["layout"]
    then = [width, total, variance, ticks, rows - 1.0]  # as that release had it: all sums, then all variances
    taken.load(state | {"s": np.concatenate([then, held, buckets.reshape(-1, 2).T.ravel()])})
    assert [700 + k for k in taken.push(values[700:])] == [k for k in whole.push(values).tolist() if k >= 700]
    assert np.array_equal(taken.state["s"], whole.state["s"])
