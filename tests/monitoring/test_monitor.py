"""Alerts say what moved, what harm it does and where that comes from, harm first; nothing but harm ranks high."""

from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from detector_benchmark import outcome_of, watched
from drifting import NAMES, drifting
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import market_run

from rtml.core.callbacks import Callbacks, frame
from rtml.core.clock import NEVER, span
from rtml.core.questions import Questions
from rtml.core.state import dumps, loads
from rtml.evaluation.progressive import progressive
from rtml.models.catalogue import build
from rtml.monitoring.monitor import Monitor, ranked
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.flow import Outcome
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer

SMALL = {"settle": 100, "reference": 300, "window": 150}
TARGETS = {"y": np.asarray, "late": lambda y: np.where(y > 0.5, y, np.nan)}


def two_targets(stream, seed=0):
    """A replay with a second target that learns of half of the answers only."""
    done = progressive(build("logistic"), stream.questions)
    whole = outcome_of(done, stream.questions)
    return whole.__class__(**(vars(whole) | {"predictions": whole.predictions | {"late": done.predictions**2}}))


def part(whole, start, end, n):
    """Questions from ``start`` to ``end``, and the answers that leave before the next question."""
    times = [whole.moment[row] if row < n else NEVER for row in (start, end)]
    first, last = (
        np.searchsorted(whole.known, times, side="left") if start else (0, np.searchsorted(whole.known, times[1]))
    )
    asked, told = slice(start, end), slice(first, last)
    predictions = {target: p[asked] for target, p in whole.predictions.items()}
    questions = {name: getattr(whole, name)[asked] for name in ("id", "key", "moment", "X")}
    answers = {name: getattr(whole, name)[told] for name in ("answered", "y", "known", "label")}
    return Outcome(whole.closed, **questions, predictions=predictions, **answers)


@pytest.fixture(scope="module")
def stretch():
    stream = drifting("recurring", n=1600, delay="20m", seed=3)
    whole = two_targets(stream)
    monitor = Monitor(NAMES, TARGETS, **SMALL)
    return whole, monitor.push(whole), dumps(monitor.state)


def test_the_stretch_has_alerts_of_every_basis(stretch):
    _, new_events, _ = stretch
    assert {one.kind for one in new_events} == {"alert", "assessed"} and len(new_events) > 6
    assert {one.detail["target"] for one in new_events} == {"y", "late"}


@settings(max_examples=12)
@given(places=st.lists(st.integers(0, 1600), max_size=7).map(sorted))
def test_any_cutting_gives_the_same_alerts_and_state_even_with_a_restart_at_each_cut(stretch, places):
    whole, expected, state = stretch
    found, monitor = [], None
    for start, end in zip([0, *places], [*places, 1600], strict=True):
        again = Monitor(NAMES, TARGETS, **SMALL)
        if monitor is not None:
            again.load(loads(dumps(monitor.state)))
        monitor = again
        found += monitor.push(part(whole, start, end, 1600))
    assert found == expected and dumps(monitor.state) == state


def test_event_by_event_gives_the_same_alerts(stretch):
    whole, expected, state = stretch
    monitor = Monitor(NAMES, TARGETS, **SMALL)
    found = [one for row in range(1600) for one in monitor.push(part(whole, row, row + 1, 1600))]
    assert found == expected and dumps(monitor.state) == state


def worst(new_events, after=0):
    return ranked([one for one in new_events if one.at >= after]).iloc[0]


@pytest.mark.parametrize("seed", range(3))
def test_a_benign_move_ranks_below_a_harmful_one(seed):
    benign, harmful = (watched(drifting(kind, n=5000, seed=seed).questions) for kind in ("virtual", "sudden"))
    told = [one._replace(detail=one.detail | {"number": -one.detail["number"]}) for one in benign]
    table = ranked(told + harmful)
    mine = table["features"].map(lambda shares: any(name.startswith("idle") for name in shares))
    assert mine.any() and (~mine).any()
    assert table.index[mine].min() > 0 and table.loc[mine, "harm"].max() < 0.3 < 0.5 < table["harm"].iloc[0]
    assert table.loc[~mine & (table["what"] == "features"), "harm"].max() > table.loc[mine, "harm"].max()


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("seed", range(3))
def test_a_flip_is_seen_although_no_feature_moves_and_the_features_of_the_law_are_its_causes(task, seed):
    stream = drifting("flip", n=4000, task=task, seed=seed)
    new_events = watched(stream.questions, "logistic" if task == "classification" else "rls")
    first = new_events[0]
    assert first.kind == "alert" and first.detail["what"] == "loss" and first.detail["moved"] == []
    assert 0 <= first.at - stream.changes[0] < 200 * span("1m")
    assert first.detail["damage"] > 0 and first.detail["basis"] == "measured"
    causes = first.detail["features"]
    assert causes and set(causes) <= {"x1", "x2", "x3", "x4"} and sum(causes.values()) == pytest.approx(1, abs=0.02)
    assert "no feature moved" in first.detail["text"]


def misfit(n=6000, seed=0, moved=3, by=1.5, late=False):
    """A law that no line follows where the first feature is high; one feature moves halfway, and labels end there."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    X[n // 2 :, moved] += by
    score = np.where(X[:, 0] < 0.8, 3.0 * X[:, 0], 6.0 * (1.2 - X[:, 0])) + 1.5 * X[:, 1]
    y = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(float)
    at = np.arange(n) * span("1m")
    known = np.where(late & (np.arange(n) >= n // 2), NEVER, at + 1)
    return Questions(np.arange(n), at, X, np.where(known == NEVER, np.nan, y), known, ("a", "b", "c", "idle"))


@pytest.mark.parametrize("seed", range(3))
def test_harm_is_estimated_without_labels_and_ranks_as_it_does_with_them(seed):
    harm = {}
    for late in (True, False):
        for name, column in (("a", 0), ("idle", 3)):
            new_events = watched(misfit(seed=seed, moved=column, late=late))
            alerts = [one.detail for one in new_events if (one.kind, one.detail["what"]) == ("alert", "features")]
            assert [next(iter(one["features"])) for one in alerts] == [name]
            harm[name, late] = alerts[0]["harm"]
            assert alerts[0]["basis"] == ("estimated" if late else "measured")
    assert harm["a", True] > 0.2 > 0.1 > abs(harm["idle", True])
    assert harm["a", False] > 0.2 > 0.1 > abs(harm["idle", False])


@pytest.mark.parametrize("how", ["never", "nan", "late"])
def test_missing_labels_are_no_alarm(how):
    stream = drifting("none", n=6000).questions
    known, y = stream.known.copy(), stream.y.copy()
    if how == "late":
        known[3000:] += span("20h")
    else:
        y[3000:] = np.nan
        known[3000:] = NEVER if how == "never" else known[3000:]
    assert watched(Questions(stream.id, stream.moment, stream.X, y, known, stream.names)) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_model_that_leaves_the_numbers_is_an_alarm_and_no_crash(wrong):
    stream = drifting("none", n=3000, task="regression").questions
    whole = outcome_of(progressive(build("rls"), stream), stream)
    whole.predictions["y"][2500:] = wrong
    alerts = Monitor(NAMES, {"y": np.asarray}).push(whole)
    assert alerts[0].detail["what"] == "loss" and alerts[0].detail["harm"] > 1e6


def test_before_any_answer_an_alert_says_that_nobody_knows_the_damage():
    stream = drifting("virtual", n=4000).questions
    lost = Questions(stream.id, stream.moment, stream.X, stream.y * np.nan, stream.known * 0 + NEVER, stream.names)
    alerts = watched(lost)
    assert {one.detail["basis"] for one in alerts} == {"unknown"}
    assert "no answers yet" in alerts[0].detail["text"] and ranked(alerts)["harm"].isna().all()


def test_a_stationary_stream_raises_none():
    for task, model in (("classification", "logistic"), ("regression", "rls")):
        assert watched(drifting("none", n=30_000, task=task).questions, model) == []


def test_what_is_assessed_later_replaces_what_was_estimated():
    new_events = watched(drifting("sudden", n=6000, delay="6h").questions)
    table = ranked(new_events).set_index("number")
    first = {one.detail["number"]: one for one in new_events if one.kind == "alert"}
    assessed = {one.detail["number"]: one for one in new_events if one.kind == "assessed"}
    number = next(n for n in assessed if first[n].detail["basis"] == "estimated")
    assert table.loc[number, "basis"] == "measured" and table.loc[number, "at"] == first[number].at
    assert assessed[number].at > first[number].at and table.loc[number, "harm"] == assessed[number].detail["harm"]


def test_it_is_a_watcher_whose_table_can_be_ranked():
    stream = drifting("sudden", n=4000).questions
    callbacks = Callbacks([Monitor(stream.names, {"y": np.asarray})])
    table = frame(callbacks.push(outcome_of(progressive(build("logistic"), stream), stream)))
    again = ranked(table)
    assert len(again) and again["harm"].is_monotonic_decreasing and set(table["kind"]) == {"alert", "assessed"}
    assert again["features"].iloc[0] == ranked(watched(stream))["features"].iloc[0]


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="settle and reference must be multiples of 50, got 30 and 1000"):
        Monitor(["a"], {"y": np.asarray}, settle=30)


def test_a_training_with_a_monitor_commits_the_same_happenings_in_any_chunks(tmp_path):
    source, found = open_source("synthetic", hours=1.5), []
    with EventLog(tmp_path / "events.db") as log:
        ingest(source, log, PART)
        for chunk in (700, 5000):
            flow = market_run(source.symbols, source.name).flow()
            registry, store = Registry(tmp_path / f"registry{chunk}"), tmp_path / f"{chunk}.db"
            monitor = Monitor.of(flow, settle=50, reference=200, window=120)
            with closing(registry):
                how = {"chunk": chunk, "callbacks": [monitor]}
                with closing(Trainer(flow, log, PART, store, registry, "eth", span("1h"), **how)) as trainer:
                    trainer.run()
                    told = trainer.history()
                    found.append((told[told["kind"].isin(["alert", "assessed"])], dumps(monitor.state)))
    (first, state), (second, again) = found
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))
    assert state == again
    assert len(monitor.columns) == len(flow.features.names) + len(flow.learners)
    assert set(ranked(first)["target"]) <= set(flow.learners)
