"""How soon every detector sees every kind of drift, and how often it cries for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from drifting import KINDS, Drifting, drifting

from rtml.core.callbacks import TrainingEvent
from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.evaluation.progressive import Progress, progressive
from rtml.models.catalogue import build
from rtml.monitoring.drift.catalogue import DETECTORS, detector
from rtml.monitoring.monitor import Monitor
from rtml.training.flow import Outcome

SETTLED = 1000  # rows of a stream that a model learns first, and no detector is fed


def feeds(questions: Questions, model: str = "logistic") -> dict[str, np.ndarray]:
    """What detectors are fed when a model learns a stream of yes and no, answer by answer; losses as answers come."""
    done = progressive(build(model), questions)
    order = np.argsort(done.known, kind="stable")
    order = order[done.scored[order]]
    p, y = done.predictions[order], done.y[order]
    rows = {"loss": (p - y) ** 2, "error": ((p > 0.5) != (y > 0.5)).astype(float)}
    return rows | {"prediction": done.predictions, "features": questions.X}


def alarms(fed: Mapping[str, np.ndarray], names: Iterable[str] = tuple(DETECTORS)) -> dict[str, np.ndarray]:
    """Rows of what is fed at which each detector raises an alarm; it begins behind the first ``SETTLED``.

    Examples
    --------
    >>> found = alarms(feeds(drifting("sudden", n=6000).questions), ["adwin", "psi"])
    >>> [int(rows[0]) for rows in found.values()]
    [3175, 3149]
    """
    return {name: detector(name).push(fed[DETECTORS[name].feed][SETTLED:]) + SETTLED for name in names}


def outcome_of(progress: Progress, questions: Questions, target: str = "y") -> Outcome:
    """What a flow would have led to, of a replay: what watchers take, all at once."""
    order = np.argsort(progress.known, kind="stable")
    order = order[progress.known[order] < NEVER]
    answers = (progress.id[order], progress.y[order], progress.known[order])
    key, label = np.zeros(len(progress.id), np.int32), np.zeros(len(answers[0]), np.int8)
    predictions = {target: progress.predictions}
    return Outcome(np.empty(0), progress.id, key, progress.moment, questions.X, predictions, *answers, label)


def watched(questions: Questions, model: str = "logistic", **how) -> list[TrainingEvent]:
    """What a monitor says of a stream that a model learns, answer by answer; ``how`` is the monitor's.

    Examples
    --------
    >>> watched(drifting("flip", n=4000).questions)[0].detail["what"]
    'loss'
    """
    monitor = Monitor(questions.names, {"y": np.asarray}, **how)
    return monitor.push(outcome_of(progressive(build(model), questions), questions))


def judge(stream: Drifting, rows: np.ndarray) -> tuple[list[int], int, int]:
    """Delay in rows to each change that was seen before the next, the number of changes, and alarms before the first.

    Examples
    --------
    >>> judge(drifting("sudden", n=4000), np.array([1500, 2050, 2900]))
    ([50], 1, 1)
    """
    n = len(stream.questions)
    starts = np.searchsorted(stream.questions.moment, stream.changes)
    delays = []
    for start, end in zip(starts, np.append(starts, n)[1:], strict=True):
        inside = rows[(rows >= start) & (rows < end)]
        delays += [int(inside[0] - start)] if len(inside) else []
    return delays, len(starts), int((rows < (starts[0] if len(starts) else n)).sum())


def delays_and_false_alarms(
    kinds: Sequence[str] = tuple(KINDS),
    names: Sequence[str] = tuple(DETECTORS),
    *,
    seeds: int = 20,
    n: int = 20_000,
    still: int = 100_000,
    model: str = "logistic",
) -> pd.DataFrame:
    """One row a detector and kind of drift, over seeded streams.

    Parameters
    ----------
    n, still
        Rows of a stream that drifts, and of one that does not.

    Returns
    -------
    DataFrame
        ``detector``, ``kind``, ``seen`` (share of changes seen before the next), ``delay`` and ``delay_90`` (rows,
        median and 90th percentile of those seen), ``false_alarms`` per 100,000 rows (before the first change; all
        alarms of a stream without drift) and ``rows`` behind it.
    """
    found = {(name, kind): [[], 0, 0, 0] for name in names for kind in kinds}
    for kind in kinds:
        for seed in range(seeds):
            stream = drifting(kind, n=still if kind == "none" else n, seed=seed)
            quiet = np.searchsorted(stream.questions.moment, stream.changes[0]) if stream.changes else still
            for name, rows in alarms(feeds(stream.questions, model), names).items():
                row, (delays, changes, false) = found[name, kind], judge(stream, rows)
                row[0] += delays
                row[1:] = [row[1] + changes, row[2] + false, row[3] + int(quiet) - SETTLED]
    return pd.DataFrame([_line(name, kind, *row) for (name, kind), row in found.items()])


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """The same with a column a kind: ``median delay (share seen)``, and false alarms per 100,000 where none drifts.

    Examples
    --------
    >>> row = {"detector": "adwin", "kind": "sudden", "seen": 1.0, "delay": 40.0, "false_alarms": 0.0, "rows": 9000}
    >>> side_by_side(pd.DataFrame([row])).loc["adwin", "sudden"]
    '40 (100%)'
    """
    text = [f"{r.delay:.0f} ({r.seen:.0%})" if r.delay == r.delay else "-" for r in table.itertuples()]
    drifts = table.assign(text=text)[table["kind"] != "none"]
    wide = drifts.pivot(index="detector", columns="kind", values="text")
    wide = wide[[kind for kind in KINDS if kind in wide]].loc[drifts["detector"].unique()]
    still = table[table["kind"] == "none"].set_index("detector")["false_alarms"]
    return wide.assign(**{"false alarms per 100k": still.round(2)}) if len(still) else wide


def _line(name: str, kind: str, delays: list[int], changes: int, false: int, rows: int) -> dict:
    middle, late = np.percentile(delays, [50, 90]) if delays else (np.nan, np.nan)
    seen = len(delays) / changes if changes else np.nan
    line = {"detector": name, "kind": kind, "seen": seen, "delay": middle, "delay_90": late}
    return line | {"false_alarms": false / rows * 1e5, "rows": rows}
