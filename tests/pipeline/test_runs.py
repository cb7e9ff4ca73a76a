"""Runs side by side: the list, its conditions, and what differs between two."""

import json
from contextlib import closing

import numpy as np
import pytest
from command_line import command
from runs import trained

from rtml.core.run_folder import open_run
from rtml.pipeline.runs import compare_runs, folders, newest_finished, runs, verdicts
from rtml.pipeline.status import data_range
from rtml.store.checkpoint_store import CheckpointReader


@pytest.fixture
def three(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    for day, (name, auc, state) in enumerate([("a", 0.55, "done"), ("b b", 0.65, "done"), ("c", None, "failed")], 1):
        run = open_run(f"runs/{name}", notebook="03_backtest", SEED=day, HOURS=3.0)
        when = f"2026-01-0{day}T00:00:00+00:00"
        about = {"state": state, "started": when, "finished": when, "seconds": 9.5, "code": f"sha256:{day}"}
        about["data"] = {"events": 100 * day, "first": "2026-01-01T00:00:00+00:00", "last": when}
        run.write_json("status.json", about | {"libraries": {"numpy": "2.4.6"}})
        run.write_json("recipe.json", {"use_case": "crypto", "source": f"synthetic:{day}"})
        if auc:
            run.record("champion", model="rls", auc=auc, rmse=3.0 - auc)
            run.record("headline", AUC=auc, coverage=1.0)
    (tmp_path / "runs" / "latest").symlink_to("b b")
    (tmp_path / "runs" / "notes").mkdir()
    return tmp_path / "runs"


def test_every_run_is_a_row_with_its_headline_and_the_newest_comes_first(three):
    found = runs()
    assert found["run"].tolist() == ["c", "b b", "a"], "neither the link nor a folder without a run is one"
    assert list(found) == ["run", "use_case", "source", "state", "started", "seconds", "AUC", "coverage"]
    assert found["AUC"].tolist()[1:] == [0.65, 0.55] and np.isnan(found["AUC"][0])
    assert [folder.name for folder in folders()] == ["a", "b b", "c"]
    assert newest_finished() == three / "b b"


def test_a_condition_and_an_order_may_name_any_metric(three):
    assert runs("auc > 0.6")["run"].tolist() == ["b b"] and runs("auc > 0.6")["auc"].tolist() == [0.65]
    assert runs("events >= 200 and last < '2026-01-03' and code == 'sha256:2'")["run"].tolist() == ["b b"]
    assert runs("state == 'done'", "rmse")["run"].tolist() == ["a", "b b"]
    assert runs("state == 'done'", "-rmse")["rmse"].tolist() == pytest.approx([2.35, 2.45])


def test_two_runs_are_compared_by_what_differs_and_by_every_metric(three):
    found = compare_runs("a", "b b")
    assert list(found) == ["a", "b b", "difference"]
    assert found.xs("parameter").index.tolist() == ["03_backtest.SEED"], "HOURS is the same in both"
    assert found.xs("version").index.tolist() == ["code"]
    assert found.xs("data").index.tolist() == ["events", "last"], "both begin at the same time"
    assert found.loc[("metric", "03_backtest.champion.auc"), "difference"] == pytest.approx(0.1)
    assert found.loc[("metric", "03_backtest.champion.model"), "a"] == "rls", (
        "a metric is shown also where it is the same"
    )
    assert compare_runs("a", "c").xs("metric")["c"].isna().all(), "a run that failed has none"
    assert list(compare_runs("a", "b b", "c")) == ["a", "b b", "c"]


def test_what_cannot_be_shown_is_refused_with_what_there_is(three, capsys):
    with pytest.raises(FileNotFoundError, match="no run 'nowhere'; there are: a, b b, c"):
        compare_runs("a", "nowhere")
    assert (
        command("runs", "--sort", "nope") == 1
        and "no run has a column 'nope'; there are: run" in capsys.readouterr().err
    )
    assert command("runs", "--where", "nope > 1") == 1
    assert "--where 'nope > 1' cannot be evaluated: name 'nope' is not defined; columns: run" in capsys.readouterr().err


def test_the_command_prints_the_list_and_the_comparison(three, capsys):
    assert command("runs", "--where", "auc > 0.6") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].split()[:2] == ["run", "use_case"] and lines[1].split()[:3] == ["b", "b", "crypto"] and len(lines) == 2
    )
    assert command("runs", "a", "b b") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "champion.auc" in line)
    assert line.split()[-3:] == ["0.55", "0.65", "0.1"]


def test_two_trainings_are_compared_on_the_questions_that_both_were_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    folders = [tmp_path / "runs" / name for name in ("good", "short", "other")]
    for folder, model, hours in zip(folders, ("rls", "zero", "zero"), (0.3, 0.2, 0.2), strict=True):
        trained(folder, {"return": model}, hours)
        (folder / "status.json").write_text(json.dumps({"state": "done", "data": data_range(folder)}))
    (sentence,) = verdicts("good", "short")
    with closing(CheckpointReader(folders[1] / "training.db")) as reader:
        n = len([one for one in reader.answers(-1, 10**6) if one.y is not None])
    assert sentence.startswith("return: ") and f"n = {n:,}" in sentence
    assert command("compare", "good", "short") == 0
    printed = capsys.readouterr().out
    assert sentence in printed and "events" in printed
    assert verdicts("short", "other") == [f"return: short against other: too few answers to tell (n = {n})"], "the same"
    assert "first" in data_range(folders[0]) and data_range(tmp_path) == {}


def test_without_a_run_the_list_is_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    assert runs("seconds > 3").empty and newest_finished() is None and json.loads(runs().to_json()) != {}
