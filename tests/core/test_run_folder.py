"""A run folder starts clean, says what is missing, and keeps what the report will show."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.core.run_folder import home, open_run, plain, progress, run_folder
from rtml.metrics import metrics
from rtml.plots import figures


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    return tmp_path


def test_a_relative_folder_stands_in_home_whatever_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert open_run("runs/dev", notebook="02_features").folder == tmp_path / "runs/dev"
    assert run_folder("dev") == tmp_path / "runs/dev"


def test_home_is_the_checkout_without_the_variable(monkeypatch):
    monkeypatch.delenv("RTML_HOME")
    assert (home() / "pyproject.toml").exists()


@pytest.mark.parametrize("run", ["", "../elsewhere", "runs/../.."])
def test_a_run_outside_home_by_dots_is_refused(run):
    with pytest.raises(ValueError, match="a run is a name such as 'dev'"):
        run_folder(run)


def test_latest_is_the_newest_run_and_never_a_run_of_that_name(tmp_path):
    with pytest.raises(ValueError, match="latest names the newest run, and there is none yet"):
        open_run("latest", notebook="01_ingest")
    open_run("mine", notebook="01_ingest")
    (tmp_path / "runs/latest").symlink_to("mine")
    assert open_run("latest", notebook="02_features").folder == tmp_path / "runs/mine"


def test_a_missing_artefact_says_what_to_run():
    sentence = r"runs/dev/features.parquet is missing: run 02_features first \(make run-02\)"
    with pytest.raises(FileNotFoundError, match=sentence):
        open_run("runs/dev", notebook="03_backtest").need("features.parquet", made_by="02_features")


def test_the_command_names_a_run_that_is_not_the_default():
    with pytest.raises(FileNotFoundError, match=r"\(make run-02 RUN=mine\)"):
        open_run("mine", notebook="03_backtest").need("features.parquet", made_by="02_features")


def test_notebook_01_starts_clean_and_leaves_the_runner_its_files():
    run = open_run("dev", notebook="04_online_train")
    run.path("models/old.bin").write_bytes(b"old")
    run.record("metrics", r2=0.1)
    run.write_json("status.json", {"state": "running"})
    open_run("dev", notebook="01_ingest", SEED=7)
    assert sorted(p.name for p in run.folder.iterdir()) == [".rtml-run", "parameters.json", "status.json"]


def test_a_folder_with_other_files_is_never_emptied(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds files that no run wrote"):
        open_run(tmp_path / "thesis", notebook="01_ingest")
    assert (tmp_path / "thesis/chapter.txt").read_text() == "years of work"


def test_a_later_notebook_takes_back_only_its_own_part():
    open_run("dev", notebook="02_features").record("metrics", rows=10)
    open_run("dev", notebook="03_backtest").record("metrics", r2=0.1)
    run = open_run("dev", notebook="03_backtest")
    assert run.read_json("metrics.json") == {"02_features": {"metrics": {"rows": 10}}}
    assert [name for name, items in run.read_json("contents.json").items() if items] == ["02_features"]


def test_numbers_merge_and_take_numpy_and_nan():
    run = open_run("dev", notebook="03_backtest", SEED=7)
    run.record("metrics", n=np.int64(3), r2=np.float64("nan"))
    run.record("metrics", auc=np.float32(0.5), at=pd.Timestamp("2026-01-05", tz="UTC"))
    want = {"n": 3, "r2": None, "auc": 0.5, "at": "2026-01-05T00:00:00+00:00"}
    assert json.loads((run.folder / "metrics.json").read_text()) == {"03_backtest": {"metrics": want}}
    assert run.read_json("parameters.json") == {"03_backtest": {"SEED": 7}}


@given(
    st.recursive(
        st.floats() | st.none() | st.text() | st.booleans(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_what_is_plain_is_strict_json(value):
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(value)


def test_a_failed_write_leaves_the_old_file(monkeypatch):
    run = open_run("dev", notebook="02_features")
    run.write_json("catalogue.json", {"a": 1})

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        run.write_json("catalogue.json", {"a": 2})
    assert run.read_json("catalogue.json") == {"a": 1}


def test_a_figure_is_saved_as_the_notebook_shows_it_and_handed_back():
    run = open_run("dev", notebook="02_features")
    figure = figures.calibration(metrics.calibration(np.linspace(0, 1, 500) > 0.5, np.linspace(0.1, 0.9, 500)))
    assert run.figure("calibration", figure, caption="It comes true.") is figure
    item = run.read_json("contents.json")["02_features"][0]
    picture, size = figure._repr_png_()
    assert (run.folder / item["file"]).read_bytes() == picture
    assert item == {
        "kind": "figure", "name": "calibration", "file": "figures/02_features/calibration.png",
        "caption": "It comes true.", "width": size["width"],
    }  # fmt: skip


def test_a_table_keeps_its_named_index_and_its_texts():
    run = open_run("dev", notebook="03_backtest")
    frame = pd.DataFrame(
        {"r2": [0.1, np.nan], "version": ["12e4", "0007"]}, index=pd.Index(["rls", "zero"], name="model")
    )
    assert run.table("models", frame) is frame
    stored = run.read_json("tables/03_backtest/models.json")
    assert stored == {"columns": ["model", "r2", "version"], "rows": [["rls", 0.1, "12e4"], ["zero", None, "0007"]]}


def test_contents_keep_their_order_and_a_repeated_name_its_place():
    run = open_run("dev", notebook="03_backtest")
    run.note("worth", "first words")
    run.record("metrics", r2=0.1)
    run.note("worth", "better words")
    items = run.read_json("contents.json")["03_backtest"]
    assert [(i["kind"], i["name"]) for i in items] == [("note", "worth"), ("numbers", "metrics")]
    assert items[0]["text"] == "better words"


def test_fresh_removes_a_database_with_its_journal():
    run = open_run("dev", notebook="04_online_train")
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        run.path(name).write_bytes(b"old")
    assert not run.fresh("store.db").exists()
    assert not list(run.folder.glob("store.db*"))


def test_progress_is_silent_when_asked(monkeypatch, capsys):
    assert list(progress(range(3), "count")) == [0, 1, 2]
    assert "count" in capsys.readouterr().err
    monkeypatch.setenv("RTML_QUIET", "1")
    with progress(3, "count") as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
