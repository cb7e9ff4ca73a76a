"""Figures of drift show what they are given, and the study of detectors runs on a seeded and on a recorded stream."""

import json
import os
from pathlib import Path

import drift_figures
import numpy as np
import pytest
from detector_benchmark import alarms, feeds, watched
from drifting import drifting

from rtml.core.callbacks import TrainingEvent
from rtml.monitoring.drift.catalogue import DETECTORS
from rtml.monitoring.monitor import ranked

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "notebooks/studies/what_a_detector_sees.ipynb"
DATA = Path(os.environ.get("RTML_SHARED_DATA", ROOT.parent / "shared/data")) / "drift"


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_a_tick_stands_where_an_alarm_was_raised():
    fed, names = feeds(drifting("flip", n=4000).questions), ("adwin", "psi")
    found = alarms(fed, names)
    seen = {"flip": {"loss": fed["loss"], "changes": [2000], "alarms": found}}
    figure = drift_figures.what_detectors_see(seen, {name: DETECTORS[name].feed for name in names})
    ax = figure.axes[0]
    drawn = {tuple(line.get_xdata()): line.get_ydata() for line in ax.lines if line.get_marker() == "|"}
    assert tuple(found["adwin"]) in drawn and list(drawn[tuple(found["adwin"])]) == [1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["psi", "adwin"] and ax.get_title("left") == "flip"


def test_the_most_harmful_alert_is_on_top_with_its_causes():
    table = ranked(watched(drifting("sudden", n=4000).questions))
    figure = drift_figures.harm_of_alerts(table)
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(list(100 * table["harm"]))
    assert bars[0].get_y() == max(bar.get_y() for bar in bars)
    assert next(iter(table["features"].iloc[0])) in texts(figure)[0]


def test_no_alert_and_none_that_is_known_say_so():
    assert "no alert" in texts(drift_figures.harm_of_alerts(ranked([])))
    unknown = {"number": 1, "target": "y", "what": "features", "damage": None, "harm": None, "basis": "unknown"}
    unknown |= {"answers": 0, "features": {}, "moved": [], "text": ""}
    assert "no alert" in texts(drift_figures.harm_of_alerts(ranked([TrainingEvent(1, "alert", unknown)])))


def test_each_model_has_a_line_of_its_moving_loss():
    figure = drift_figures.known_again({"a": np.ones(300), "b": np.zeros(300)}, [150], window=100)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert (lines["a"].get_ydata() == 1).all() and (lines["b"].get_ydata() == 0).all()
    assert lines["a"].get_xdata()[0] == 100


@pytest.mark.parametrize("source", ["noaa_weather.parquet"])
def test_the_study_says_how_many_alerts_there_were(source, capsys):
    if not DATA.is_dir():
        pytest.skip(f"no recordings in {DATA}: set RTML_SHARED_DATA")
    cells = [cell for cell in json.loads(STUDY.read_text())["cells"] if cell["cell_type"] == "code"]
    names = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
        if cell["metadata"].get("tags") == ["parameters"]:
            names |= {"SOURCE": str(DATA / source), "STREAMS": 1, "EVENTS": 8000}
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("18,159 questions") and "alerts" in said


def test_the_study_keeps_the_rules_of_notebooks_and_its_outputs():
    cells = json.loads(STUDY.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert cells[0]["source"][0].startswith("# Study · ")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(len(cell["source"]) <= 15 for cell in code)
    assert sum("image/png" in output.get("data", {}) for cell in code for output in cell["outputs"]) == 5
