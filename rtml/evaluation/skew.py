"""Consistency: are the features that were served those that the log gives when they are computed again?

``rtml check RUN`` compares every prediction of a run with the log. Where they differ it
ends with code 1 and the key, the moment, the feature and both values. To be run every night.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtml.core.clock import utc
from rtml.core.operator import Asked
from rtml.store.facts import Facts
from rtml.store.feature_pipeline import QuestionStream, Stream
from rtml.store.label_join import reading
from rtml.store.prediction_log import PredictionLog
from rtml.store.protocols import EventLog, run_log
from rtml.training.run_config import PART, RunConfig

_SHOWN = 5  # differences in the text of an error
_SERVED = """
select key, moment, x, names, features from prediction join definition using (version) order by prediction.id
"""


class Inconsistent(ValueError):
    """What was served is not what the log gives.

    Examples
    --------
    >>> raise Inconsistent("2 of 100 predictions differ")
    Traceback (most recent call last):
        ...
    rtml.evaluation.skew.Inconsistent: 2 of 100 predictions differ
    """


@dataclass(frozen=True)
class Difference:
    """One feature of one prediction that was served with another value.

    Examples
    --------
    >>> print(Difference("BTC", 0, "spread", 1.5, 1.25))
    spread of BTC at 1970-01-01T00:00:00+00:00 was served as 1.5 and is 1.25, +0.25 away
    """

    key: str
    moment: int
    feature: str
    served: float
    recomputed: float

    def __str__(self) -> str:
        away = self.served - self.recomputed
        return (
            f"{self.feature} of {self.key} at {utc(self.moment).isoformat()} was served as {self.served!r} and is "
            f"{self.recomputed!r}, {away:+.3g} away"
        )


@dataclass(frozen=True)
class Consistency:
    """How many predictions were compared by key and moment, or by their values, and what differs.

    ``own`` are predictions of features that no question of the log has: those that a request brought, or a skew.
    ``other`` were served with another definition of the features, so that nothing is said of them.

    Examples
    --------
    >>> print(Consistency(100, 0, 0, 0, 0, ()))  # doctest: +ELLIPSIS
    100 served predictions compared with the log, 0 more found by value; 0 differ; 0...
    """

    compared: int
    by_value: int
    own: int
    other: int
    differing: int
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        return (
            f"{self.compared:,} served predictions compared with the log, {self.by_value:,} more found by value; "
            f"{self.differing:,} differ; {self.own:,} of features of their own, {self.other:,} of another definition"
        )


@dataclass(frozen=True)
class _Served:
    key: str
    moment: int
    x: np.ndarray
    names: tuple[str, ...]
    features: str


def recompute(stream: Stream, log: EventLog, part: str) -> Facts:
    """Everything a stream makes of one part of the log, from the start."""
    at, parts = 0, [stream.push(log.read(part, 0, 0)[1])]
    while at < log.last(part):
        offsets, events = log.read(part, at)
        parts.append(stream.push(events))
        at = int(offsets[-1])
    parts = [facts for facts in parts if len(facts)] or parts[:1]
    columns = (np.concatenate([getattr(p, name) for p in parts]) for name in ("key", "happened", "known", "values"))
    return Facts(*columns, stream.names, stream.definition)


def compare(log: PredictionLog | str | Path, recomputed: Facts, strict: bool = False) -> Consistency:
    """Compare every served prediction with the fact of its key and moment, bit by bit.

    A prediction whose key and moment the log does not have is looked for by its values; with ``strict`` one that is not
    found differs, and is held against the fact that differs in the fewest features.
    """
    places: dict[tuple, list[int]] = {}
    for row, at in enumerate(zip(recomputed.key.astype(str).tolist(), recomputed.happened.tolist(), strict=True)):
        places.setdefault(at, []).append(row)
    values = {row.tobytes() for row in recomputed.values}
    made = recomputed.definition[:1].tolist()
    definitions = {"", *made, *(one.partition("-")[0] for one in made)}  # whatever code computes them
    counts: Counter[str] = Counter()
    differences: list[Difference] = []
    for served in _served(log):
        if served.features not in definitions:
            counts["other"] += 1
            continue
        x, rows = _aligned(served, recomputed.names), places.get((served.key, served.moment), [])
        if not rows and (x.tobytes() in values or not strict or not values):
            counts["by_value" if x.tobytes() in values else "own"] += 1
            continue
        counts["compared"] += 1
        found = _differences(served, x, recomputed, rows)
        counts["differing"] += bool(found)
        differences += found
    names = ("compared", "by_value", "own", "other", "differing")
    return Consistency(*(counts[name] for name in names), tuple(differences))


def check(log: PredictionLog | str | Path, recomputed: Facts, strict: bool = False) -> Consistency:
    """What :func:`compare` finds; raises :class:`Inconsistent` with the first differences where there are any."""
    found = compare(log, recomputed, strict)
    if found.differing:
        shown = "; ".join(map(str, found.differences[:_SHOWN]))
        more = len(found.differences) - _SHOWN
        raise Inconsistent(f"{found}: {shown}" + (f"; and {more:,} more" if more > 0 else ""))
    return found


def check_run(folder: Path, strict: bool = False) -> Consistency:
    """Check the predictions of a run against its log.

    Examples
    --------
    >>> check_run(Path("/no/run"))
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: '/no/run/recipe.json'
    """
    config = RunConfig.read(folder / "recipe.json")

    def key(asked: Asked) -> np.ndarray:
        """Key of every question, as it is asked for."""
        return np.array(config.keys)[asked.keys()]

    with closing(run_log(folder)) as log:
        recomputed = recompute(QuestionStream(config.operator(), key), log, PART)
    rehearsed = folder / "live" / "predictions.db"  # of notebook 05; a run that is live has its own beside the log
    return check(rehearsed if rehearsed.exists() else folder / "predictions.db", recomputed, strict)


def _served(log: PredictionLog | str | Path) -> Iterator[_Served]:
    with reading(log) as database:
        rows = database.execute(_SERVED).fetchall()
    for key, moment, x, names, features in rows:
        yield _Served(key, moment, np.frombuffer(x), tuple(json.loads(names)), features)


def _aligned(served: _Served, names: tuple[str, ...]) -> np.ndarray:
    """The served values in the order of the log's features."""
    if served.names == names:
        return served.x
    if set(served.names) != set(names):
        lacking = sorted(set(served.names) ^ set(names))
        raise LookupError(f"feature {lacking[0]!r} was served or is declared, but not both: it cannot be compared")
    return served.x[[served.names.index(name) for name in names]]


def _differences(served: _Served, x: np.ndarray, recomputed: Facts, rows: list[int]) -> list[Difference]:
    """Where the served values differ from those of the nearest of some facts, or of all when there are none."""
    facts = recomputed.values[rows] if rows else recomputed.values
    differs = ~((facts == x) | (np.isnan(facts) & np.isnan(x)))
    nearest = int(differs.sum(axis=1).argmin())
    return [
        Difference(served.key, served.moment, recomputed.names[j], float(x[j]), float(facts[nearest, j]))
        for j in np.flatnonzero(differs[nearest]).tolist()
    ]


def checked(run: Path, strict: bool) -> None:
    """Check a run and say the result: ``rtml check RUN``; see :func:`check_run`.

    Examples
    --------
    >>> checked(Path("/no/run"), strict=True)
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: '/no/run/recipe.json'
    """
    print(check_run(run, strict), flush=True)
