"""Arms of a test in figures: what the log holds of each, how it was answered, its metrics by the kind of the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from sqlite3 import Connection

import numpy as np

from rtml.core.run_folder import plain
from rtml.core.segments import Segment
from rtml.core.target import PROBABILITY, Target
from rtml.metrics.kinds import score_of
from rtml.metrics.rare_class import alarms
from rtml.registry.routing.experiment import Experiment
from rtml.registry.routing.route import Route, Routes, restored
from rtml.store import prediction_tables as tables

_AT_ONCE = 2000  # rows of the log


def begun(routes: Routes, route: Route, target: Target, segments: Sequence[Segment] = ()) -> Experiment | None:
    """An experiment that knows all shares that a route's test ever had; None of a route without arms."""
    every = [restored(entry.evidence["route"]) for entry in routes.entries()] if route.arms else []
    experiment = None
    for shares in (one for one in every if one.test == route.test):
        experiment = experiment or Experiment(shares, target, segments)
        experiment.follow(shares)
    return experiment


def fold(database: Connection, experiment: Experiment, places: list[int]) -> bool:
    """Take some rows of a prediction log behind three places, of requests, failures and answers; whether more are left.

    Moves the places.
    """
    test = experiment.route.test
    asked = tables.requests(database, test, places[0], _AT_ONCE)
    failures = tables.failures(database, places[1], _AT_ONCE)
    answers = tables.answers(database, places[2], _AT_ONCE)
    for places[0], label, arm, unit in asked:
        experiment.ask(label, arm, unit)
    for places[1], label, arm, unit, propensity in failures:
        if label.startswith(f"{test}:"):
            experiment.fail(label, arm, unit, propensity)
    for one in answers:
        places[2] = one.place
        if one.route.startswith(f"{test}:") and one.arm == one.version:  # else what serves answered in its place
            experiment.answer(one.arm, one.unit, one.propensity, one.prediction, one.y, one.names, one.x)
    return _AT_ONCE in (len(asked), len(failures), len(answers))


def figures(database: Connection, experiment: Experiment, target: Target) -> list[dict]:
    """One row an arm: requests, units, failures, labels with their delay, mean loss a unit, evidence, metrics."""
    rows = tables.of_arms(database, experiment.route.test)
    found = []
    for place, arm in enumerate(experiment.losses):
        own = [row[2:] for row in rows if row[0] == row[1] == arm]
        delays = [ns / 1e9 for _, y, ns in own if y is not None]
        answered, total = experiment.losses[arm]
        about = {
            "arm": arm,
            "asked": experiment.asked[arm],
            "answered": len(delays),
            "failures": experiment.failures[arm],
        }
        about |= {"units": sum(n for (_, of), n in experiment.units.items() if of == arm), "answered_units": answered}
        about |= {
            "coverage": len(delays) / len(own) if own else math.nan,
            "loss": total / answered if answered else math.nan,
        }
        about["delay_s"] = float(np.median(delays)) if delays else math.nan
        evidence = experiment.facts(arm) if place else {}
        about |= {name: evidence.get(name) for name in ("gain", "gain_low", "gain_high", "worse", "better")}
        about["segments"] = experiment.segments(arm) if place else {}
        found.append(plain(about | {"metrics": metrics(target, own)}))
    return found


def metrics(target: Target, rows: list[tuple]) -> dict[str, float]:
    """Metrics of a target's kind; of a probability also those of alarms.

    Parameters
    ----------
    target
        Its kind decides, and what is learned of an answer.
    rows
        Prediction as the log holds it, ``y`` (None: no answer), and whatever follows.

    Examples
    --------
    >>> metrics(Target("demand"), [(1.0, 2.0), (2.0, 4.0), (3.0, None)])["mse"]
    2.5
    """
    if not rows:
        return {}
    y = target.learned(np.array([np.nan if row[1] is None else row[1] for row in rows]))
    p = np.array([np.atleast_1d(tables.numbers(row[0])) for row in rows])
    p = p if target.outputs > 1 else p[:, 0]
    found = score_of(target).update(y, p).get()
    return found | alarms(y, p) if target.kind == PROBABILITY else found
