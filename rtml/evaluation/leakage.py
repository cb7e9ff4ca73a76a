"""An audit for leaks: does anything that is predicted or learned know more than was known at its moment?

Three independent checks of a flow on a recorded stream. They cost a few passes over it, so run them on an hour or two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rtml.core.clock import utc
from rtml.core.later import pd
from rtml.core.operator import Leak
from rtml.training.flow import Flow, Outcome

_SINGLES = 500  # events at the end of a stretch that are taken one by one


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
        ("an answer is what came of its question, known when that was", flow.operator.check(whole)),
        (
            "no later event changes an earlier bar, feature, answer or prediction",
            _future(build, events, whole, cuts, seed),
        ),
        ("a prediction has learned from answers known before its moment only", _order(build, whole)),
    ]
    return pd.DataFrame(checks, columns=["rule", "checked"])


def _future(build, events: np.ndarray, whole: Outcome, cuts: int, seed: int) -> str:
    """Run the stream only up to a place: everything said by then must be what the whole stream says of it."""
    for cut in np.sort(np.random.default_rng(seed).integers(1, len(events), cuts)).tolist():
        part = build().push(events[:cut])
        for name in ("closed", "X", "y"):
            _same(name, getattr(part, name), getattr(whole, name), part, build().features.names)
        for target, predictions in part.predictions.items():
            _same(f"prediction of {target}", predictions, whole.predictions[target], part, ())
    _ties(build, events)
    return f"{cuts} cuts"


def _ties(build, events: np.ndarray) -> None:
    """The same events on a coarse clock, one by one: what is at one moment must not reach a question of that moment."""
    events = events.copy()
    steps = np.diff(np.maximum.accumulate(events["time"]))
    coarse = 8 * int(np.median(steps[steps > 0])) if steps.any() else 1
    events["time"] = events["time"] // coarse * coarse
    whole, live = build().push(events), build()
    start = max(0, len(events) - _SINGLES)
    parts = [live.push(events[:start])] + [live.push(events[i : i + 1]) for i in range(start, len(events))]
    for name in ("moment", "X", "y"):
        told = np.concatenate([getattr(part, name) for part in parts])
        _same(f"{name} at equal times", told, getattr(whole, name), whole, live.features.names if name == "X" else ())
    for target, predictions in whole.predictions.items():
        told = np.concatenate([part.predictions[target] for part in parts])
        _same(f"prediction of {target} at equal times", told, predictions, whole, ())


def _same(what: str, part: np.ndarray, whole: np.ndarray, outcome: Outcome, names) -> None:
    if part.tobytes() == whole[: len(part)].tobytes():
        return
    if part.dtype.names or part.ndim != 2:
        raise Leak(f"{what}: later events change what was known before {utc(int(outcome.moment[-1]))}")
    row, column = np.argwhere(~((part == whole[: len(part)]) | np.isnan(part)))[0]
    raise Leak(
        f"feature {names[column]!r} at {utc(int(outcome.moment[row]))} changes with later events: it sees the future"
    )


def _order(build, whole: Outcome) -> str:
    """Ask and tell once more, by hand and in order of time, the question first at equal times."""
    flow, row = build(), {id: i for i, id in enumerate(whole.id.tolist())}
    for target, learner in flow.learners.items():
        answered, y, known = whole.answers(flow.label_of[target])
        learned, predicted, done = flow.targets[target].learned(y), whole.predictions[target], 0
        model, timed, kept = learner.model, hasattr(learner.model, "learn_at"), []
        unsupervised = getattr(model, "unsupervised", False)  # learns a row right after it was asked about
        for i, at in enumerate(whole.moment.tolist()):
            while done < len(learned) and known[done] < at:
                j = row[int(answered[done])]
                if learned[done] == learned[done] and not unsupervised:
                    when = (kept[j], int(whole.moment[j]), int(known[done]))
                    _learn(model, whole.X[j], learned[done], when if timed else ())
                done += 1
            kept.append(model.predict_at(whole.X[i], at) if timed else model.predict(whole.X[i]))
            if unsupervised:
                model.learn(whole.X[i], np.nan)
            want = np.ravel(kept[i])[: learner.outputs]
            if not np.array_equal(want, np.ravel(predicted[i]), equal_nan=True):
                raise Leak(
                    f"the prediction of {target} at {utc(at)} is {predicted[i]}, but with what was known before that "
                    f"moment it is {want}: an answer was learned too early or too late"
                )
    return f"{len(whole.moment):,} questions, {', '.join(whole.predictions)}"


def _learn(model, x: np.ndarray, y: float, when: tuple) -> None:
    """Teach a model an answer; ``when`` is what a timed one is told of it: what it kept, moment, known."""
    model.learn_at(x, y, *when) if when else model.learn(x, y)
