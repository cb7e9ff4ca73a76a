"""An audit for leaks: does anything that is predicted or learned know more than was known at its moment?

Three independent checks of a flow on a recorded stream. They cost a few passes over it, so run them on an hour or two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from rtml.clock import utc
from rtml.flow import Flow, Outcome
from rtml.labels import TARGETS


class Leak(ValueError):
    """Something was known before its time."""


def audit(build: Callable[[], Flow], events: np.ndarray, cuts: int = 20, seed: int = 7) -> pd.DataFrame:
    """Check a flow for leaks; return what was checked, or raise :class:`Leak` with the first one found.

    Parameters
    ----------
    build
        Makes the flow with empty state; called several times.
    events
        A stretch of a stream in order of arrival.
    cuts
        How many places the stream is cut at to see whether the future changed the past.

    Raises
    ------
    Leak
        With the moment, the feature or target, and what was seen too early.
    """
    flow = build()
    whole = flow.push(events)
    checks = [
        ("an answer is the return over the horizon, known at its end", _answers(whole, flow.labels.horizon)),
        (
            "no later event changes an earlier bar, feature, answer or prediction",
            _future(build, events, whole, cuts, seed),
        ),
        ("a prediction has learned from answers known before its moment only", _order(build, whole)),
    ]
    return pd.DataFrame(checks, columns=["rule", "checked"])


def _answers(whole: Outcome, horizon: int) -> str:
    """Recompute every answer from the closes of the bars themselves."""
    target = whole.bars[:, 0]
    ends, closes = target["end"], np.where(target["complete"], target["close"], np.nan)
    due = whole.answered + horizon
    if not np.array_equal(whole.known, due):
        wrong = int(np.flatnonzero(whole.known != due)[0])
        raise Leak(f"the answer of {utc(int(whole.answered[wrong]))} is known at {utc(int(whole.known[wrong]))}")
    place = {end: close for end, close in zip(ends.tolist(), closes.tolist(), strict=True)}
    for at, y in zip(whole.answered.tolist(), whole.y.tolist(), strict=True):
        want = 1e4 * np.log(place[at + horizon] / place[at])
        if not np.isclose(y, want, rtol=1e-9, atol=1e-9, equal_nan=True):
            raise Leak(f"the answer of {utc(at)} is {y:.4g} bp, but the price moved {want:.4g} bp over its horizon")
    return f"{len(whole.y):,} answers"


def _future(build, events: np.ndarray, whole: Outcome, cuts: int, seed: int) -> str:
    """Run the stream only up to a place: everything said by then must be what the whole stream says of it."""
    for cut in np.sort(np.random.default_rng(seed).integers(1, len(events), cuts)).tolist():
        part = build().push(events[:cut])
        for name in ("bars", "X", "y"):
            _same(name, getattr(part, name), getattr(whole, name), part, build().features.names)
        for target, predictions in part.predictions.items():
            _same(f"prediction of {target}", predictions, whole.predictions[target], part, ())
    return f"{cuts} cuts"


def _same(what: str, part: np.ndarray, whole: np.ndarray, outcome: Outcome, names) -> None:
    if part.tobytes() == whole[: len(part)].tobytes():
        return
    if part.dtype.names or part.ndim != 2:
        raise Leak(f"{what}: later events change what was known before {utc(int(outcome.bars['end'][-1, 0]))}")
    row, column = np.argwhere(~((part == whole[: len(part)]) | np.isnan(part)))[0]
    raise Leak(
        f"feature {names[column]!r} at {utc(int(outcome.moment[row]))} changes with later events: it sees the future"
    )


def _order(build, whole: Outcome) -> str:
    """Ask and tell once more, by hand and in order of time, the question first at equal times."""
    for target, learner in build().learners.items():
        said, learned = whole.predictions[target], TARGETS[target](whole.y)
        told = 0
        for i, at in enumerate(whole.moment.tolist()):
            while told < len(learned) and whole.known[told] < at:
                if learned[told] == learned[told]:
                    learner.model.learn(whole.X[np.searchsorted(whole.moment, whole.answered[told])], learned[told])
                told += 1
            want = learner.model.predict(whole.X[i])
            if want != said[i]:
                raise Leak(
                    f"the prediction of {target} at {utc(at)} is {said[i]:.6g}, but with what was known before that "
                    f"moment it is {want:.6g}: an answer was learned too early or too late"
                )
    return f"{len(whole.moment):,} questions, {', '.join(whole.predictions)}"
