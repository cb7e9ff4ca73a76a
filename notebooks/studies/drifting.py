"""Streams of questions that drift in a known way, and recorded ones that drift in their own.

Each kind of drift is one way in which a concept, that is the law of the answer and where the features lie, gives way to
the next (Gama et al., A survey on concept drift adaptation, ACM Computing Surveys 2014). Two kinds take a concept
apart: with ``virtual`` only features move that the answer does not depend on, with ``flip`` only the law turns round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rtml.core.clock import moment, span
from rtml.core.questions import Questions
from rtml.usecases.crypto.recordings.replay import place

START = moment("2025-01-06T00:00:00+00:00")
NAMES = ("x1", "x2", "x3", "x4", "idle1", "idle2")
#: Kinds of drift; in brackets where it begins by default, as shares of the stream.
KINDS = {
    "none": "one concept from the first question to the last",
    "sudden": "the next concept at once (halfway)",
    "gradual": "old and new take turns question by question, the new ever more often, for a fifth of the stream (0.4)",
    "incremental": "the old slides into the new, for a fifth of the stream (0.4)",
    "recurring": "two concepts take turns, at once (at each quarter)",
    "virtual": "only idle features move: a change without harm (halfway)",
    "flip": "only the law turns round: a harm that no feature shows (halfway)",
}
_BEGIN = {"none": (), "gradual": (0.4,), "incremental": (0.4,), "recurring": (0.25, 0.5, 0.75)}
_LASTS = 0.2  # of the stream; features of the law; angle; deviations
_LAW = 4
_TURN = np.deg2rad(100.0)
_MOVE = 1.2


@dataclass(frozen=True, eq=False)
class Drifting:
    """A stream with its truth.

    ``truth`` has one row per question: ``moment``, ``concept`` (its number; with ``gradual`` the one that was drawn),
    ``share`` (how far the change from the concept before is done, 0 to 1) and ``best``, what a perfect model would
    predict: the probability of 1, or the expectation. ``changes`` are the moments at which a change begins.
    """

    questions: Questions
    truth: pd.DataFrame
    changes: tuple[int, ...]


def drifting(
    kind: str = "sudden",
    *,
    n: int = 20_000,
    seed: int = 7,
    delay: str = "0s",
    every: str = "1m",
    task: str = "classification",
    noise: float | None = None,
    changes: Sequence[float] | None = None,
) -> Drifting:
    """A seeded stream of ``n`` questions that drifts.

    Parameters
    ----------
    kind
        One of ``KINDS``.
    delay, every
        From a question to its answer (``"0s"``: before the next question), and between two questions.
    task
        ``classification``, answers 0 or 1, or ``regression``.
    noise
        Share of answers drawn by chance (0.1), or standard deviation of the answer's noise (0.5).
    changes
        Where changes begin, as shares of the stream: each to a concept of its own, with ``recurring``, ``virtual`` and
        ``flip`` there and back again.

    Examples
    --------
    >>> stream = drifting("sudden", n=1000, delay="1h")
    >>> len(stream.questions), stream.truth["concept"].iloc[[499, 500]].tolist()
    (1000, [0, 1])
    """
    starts = _check(kind, n, task, changes)
    rng = np.random.default_rng(seed)
    X, chance = rng.standard_normal((n, len(NAMES))), rng.random(n)
    coin, shock = rng.random(n), rng.standard_normal(n)
    truth = _shares(kind, n, starts, coin)
    weights, places = _concepts(kind, len(starts) + 1, rng)
    new, share = truth["concept"].to_numpy(), truth["share"].to_numpy()[:, None]
    old = np.maximum(new - 1, 0)
    X += places[old] * (1 - share) + places[new] * share
    best, y = _answers(task, noise, X, weights[old] * (1 - share) + weights[new] * share, chance, shock)
    at = START + np.arange(n) * span(every)
    truth = truth.assign(best=best)
    truth.insert(0, "moment", at)
    return Drifting(Questions(np.arange(n), at, X, y, at + _wait(delay), NAMES), truth, tuple(at[starts].tolist()))


def recorded(
    path: str | Path, delay: str = "0s", *, every: str = "1m", target: str = "target", positive: object = None
) -> Questions:
    """A recorded stream of classes in stream order: a Parquet file of numbers and a column ``target``.

    Two classes become 0 and 1, in the order of their names (DOWN 0, UP 1). ``positive`` names the one that is 1, which
    a file of more classes needs. Elec2 has its own half hours as moments; elsewhere one question comes ``every`` span.
    """
    try:
        frame = pd.read_parquet(place(str(path))[1])
    except FileNotFoundError as ex:
        raise FileNotFoundError(f"{path} is missing: name a Parquet file with a column {target!r}") from ex
    if target not in frame:
        raise LookupError(f"{path} has no column {target!r}; there are: {', '.join(frame)}")
    y = _binary(frame.pop(target), positive)
    if text := [name for name, kind in frame.dtypes.items() if kind.kind not in "iufb"]:
        raise ValueError(f"features must be numbers, but {', '.join(text)} of {path} are not: drop or encode them")
    at = START + np.arange(len(frame)) * span(every)
    if {"date", "day", "period"} <= set(frame):  # Elec2: half hours from 7 May 1996, New South Wales
        at = moment("1996-05-07T00:00:00+10:00") + np.arange(len(frame)) * span("30m")
        frame = frame.drop(columns="date")  # the time itself, which the moment holds
    return Questions(np.arange(len(at)), at, frame.to_numpy("f8"), y, at + _wait(delay), tuple(frame))


def _check(kind: str, n: int, task: str, changes: Sequence[float] | None) -> np.ndarray:
    """Rows at which changes begin."""
    if kind not in KINDS:
        raise LookupError(f"no drift {kind!r}; known: {', '.join(KINDS)}")
    if task not in ("classification", "regression"):
        raise LookupError(f"no task {task!r}; known: classification, regression")
    shares = np.array(_BEGIN.get(kind, (0.5,)) if changes is None else changes, dtype=float)
    if kind == "none" and len(shares):
        raise ValueError(f"a stream without drift has no changes, got {list(shares)}: name another kind")
    starts = np.round(shares * n).astype(np.int64)
    if len(starts) and (starts[0] < 1 or starts[-1] >= n or (np.diff(starts) < 1).any()):
        raise ValueError(f"changes must rise between 0 and 1, as shares of the {n} questions, got {list(shares)}")
    return starts


def _shares(kind: str, n: int, starts: np.ndarray, coin: np.ndarray) -> pd.DataFrame:
    """Which concept holds at each question, and how far the change to it is done."""
    row = np.arange(n)
    concept = np.searchsorted(starts, row, side="right")
    share = (concept > 0).astype(float)
    if kind in ("gradual", "incremental"):
        ends = np.append(starts[1:], n)
        lasts = np.minimum(max(round(_LASTS * n), 1), ends - starts)  # done when the next begins
        into = row - np.append(0, starts)[concept]
        done = np.clip((into + 1) / np.append(1, lasts)[concept], 0.0, 1.0)
        share = np.where(concept > 0, done, 0.0)
    if kind == "gradual":
        drawn = (concept > 0) & (coin >= share)
        concept = concept - drawn
        share = (concept > 0).astype(float)
    return pd.DataFrame({"concept": concept, "share": share})


def _concepts(kind: str, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the law, and places of the features, one row a concept."""
    weights, places = np.zeros((number, len(NAMES))), np.zeros((number, len(NAMES)))
    weights[0, :_LAW] = _unit(rng.standard_normal(_LAW))
    for k in range(1, number):
        if kind == "virtual":
            weights[k], places[k, _LAW:] = weights[0], _MOVE * (k % 2)
        elif kind == "flip":
            weights[k] = -weights[k - 1]
        elif kind == "recurring" and k > 1:
            weights[k], places[k] = weights[k - 2], places[k - 2]
        else:
            before, other = weights[k - 1, :_LAW], rng.standard_normal(_LAW)
            across = _unit(other - before * (other @ before))
            weights[k, :_LAW] = np.cos(_TURN) * before + np.sin(_TURN) * across
            places[k, rng.permutation(_LAW)[:2]] = _MOVE * rng.choice([-1.0, 1.0], 2)
    return weights, places


def _answers(task: str, noise: float | None, X, weights, chance, shock) -> tuple[np.ndarray, np.ndarray]:
    """What a perfect model predicts, and the answer."""
    score = np.einsum("ij,ij->i", X, weights)
    noise = {"classification": 0.1, "regression": 0.5}[task] if noise is None else float(noise)
    if noise < 0 or (task == "classification" and noise > 1):
        raise ValueError(f"noise is a share of answers, 0 to 1, or a standard deviation, not negative, got {noise}")
    if task == "regression":
        return score, score + noise * shock
    best = noise / 2 + (1 - noise) / (1 + np.exp(-4.0 * score))
    return best, (chance < best).astype(float)


def _binary(target: pd.Series, positive: object) -> np.ndarray:
    classes = sorted(target.dropna().unique().tolist())
    if positive is None and len(classes) != 2:
        raise ValueError(
            f"a stream of {len(classes)} classes ({', '.join(map(str, classes[:6]))}): name one by positive=..."
        )
    chosen = classes[1] if positive is None else positive
    if chosen not in classes:
        raise LookupError(f"no class {positive!r}; there are: {', '.join(map(str, classes))}")
    return np.where(target.isna(), np.nan, (target == chosen).astype(float))


def _wait(delay: str) -> int:
    return 1 if delay.strip() in ("0s", "0") else span(delay)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def reactions(published: np.ndarray, changes: Sequence[int], end: int) -> np.ndarray:
    """Time (ns) from each change of a stream to the first training before the next one; NaN where there is none.

    Examples
    --------
    >>> reactions(np.array([5, 12, 13, 40]), [10, 20, 30], end=50)
    array([ 2., nan, 10.])
    """
    edges = np.append(np.asarray(changes, dtype=np.int64), end)
    place = np.searchsorted(published, edges[:-1], side="right")
    found = np.append(published, np.iinfo(np.int64).max)[place]
    return np.where(found < edges[1:], found - edges[:-1], np.nan)
