"""The harness finds what was planted: delays from the change on, false alarms before it."""

import numpy as np
import pytest
from detector_benchmark import alarms, delays_and_false_alarms, feeds, judge, side_by_side
from drifting import drifting

from rtml.monitoring.drift.catalogue import DEFAULT, DETECTORS, catalogue, detector


def test_delays_count_from_each_change_and_false_alarms_before_the_first():
    stream = drifting("recurring", n=1000)
    assert judge(stream, np.array([100, 249, 260, 300, 501, 749])) == ([10, 1], 3, 2)
    assert judge(drifting("none", n=1000), np.array([1, 999])) == ([], 0, 2)


@pytest.fixture(scope="module")
def table():
    kinds = ("none", "sudden", "virtual", "flip")
    return delays_and_false_alarms(kinds, seeds=2, n=8000, still=40_000).set_index(["detector", "kind"])


def test_what_is_fed_with_losses_sees_a_harm_soon(table):
    for name in ("adwin", "adwin_error", "hddm_a", "fhddm"):
        for kind in ("sudden", "flip"):
            assert table.loc[(name, kind), "seen"] == 1.0 and table.loc[(name, kind), "delay"] < 400, (name, kind)


def test_what_is_fed_with_features_sees_them_move_and_is_blind_to_a_flip(table):
    for name in ("psi", "jensen_shannon", "ks"):
        assert table.loc[(name, "virtual"), "seen"] == table.loc[(name, "sudden"), "seen"] == 1.0
        assert table.loc[(name, "flip"), "seen"] == 0.0


def test_what_is_fed_with_losses_is_blind_to_a_move_without_harm(table):
    assert table.loc[("adwin", "virtual"), "seen"] == table.loc[("hddm_a", "virtual"), "seen"] == 0.0


def test_the_default_raises_no_alarm_where_nothing_drifts(table):
    still = table.loc[(DEFAULT, "none")]
    assert still["rows"] == 78_000 and still["false_alarms"] == 0.0


def test_the_table_side_by_side_has_a_column_a_kind(table):
    wide = side_by_side(table.reset_index())
    assert list(wide.columns) == ["sudden", "virtual", "flip", "false alarms per 100k"]
    assert list(wide.index) == list(DETECTORS) and wide.loc["psi", "flip"] == "-"


def test_every_detector_of_the_catalogue_runs_and_others_are_refused():
    found = alarms(feeds(drifting("sudden", n=3000).questions))
    assert set(found) == set(DETECTORS) == set(catalogue()["name"])
    with pytest.raises(LookupError, match="no detector 'odd'; there are: adwin,"):
        detector("odd")
