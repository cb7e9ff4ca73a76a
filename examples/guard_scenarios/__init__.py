"""Streams on which the guard is measured: quiet ones, and ones in which something breaks for a while."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtml.models import catalogue as zoo
from rtml.models.compiled import compile
from rtml.registry.promotion.guard import Guarded

WIDTH, LENGTH, DELAY = 5, 6000, 3
BREAKS, HEALS = 2000, 2500  # questions between which something is broken
NAMES = tuple(f"x{i}" for i in range(WIDTH))


class Stream(NamedTuple):
    """Questions with what is seen, the answers told, and those that are true; all (n,) or (n, WIDTH)."""

    X: np.ndarray
    y: np.ndarray
    true: np.ndarray


class Measured(NamedTuple):
    """Answers from the break to the first fallback (-1: never), and squared errors above those of the clean learner.

    All in variances of the true answers' noise: of what the guard served, and of the learner alone.
    """

    answers: int
    served: float
    learner: float


def stream(seed: int, n: int = LENGTH, share: float = 0.2) -> Stream:
    """A linear law that explains a share of the variance of answers with normal noise."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, WIDTH)), rng.normal(size=WIDTH)
    w *= np.sqrt(share / (1 - share)) / np.linalg.norm(w)
    y = X @ w + rng.normal(size=n)
    return Stream(X, y, y)


def replayed(model, X: np.ndarray, y: np.ndarray, chunk: int = 10**9) -> np.ndarray:
    """Predictions of a model for questions a step apart whose answers are known a few steps later."""
    n, moment = len(y), np.arange(len(y)) * 10
    known, out, told = moment + 10 * DELAY - 5, [], 0
    kept = np.empty((0, 1 + getattr(model, "memory", 0)))
    for start in range(0, n, chunk):
        end = min(start + chunk, n)
        until = int(moment[end - 1]) if end < n else 10**18
        part, order = slice(told, end), np.arange(end - told)
        if hasattr(model, "replay_at"):
            new, done = model.replay_at(X[part], y[part], kept, moment[part], known[part], order, until)
            out.append(new[:, 0])
            kept = np.concatenate([kept, new])[done:]
        else:
            said, done = model.replay(X[part], y[part], moment[start:end], known[part], order, until)
            out.append(said)
        told += done
    return np.concatenate(out)


def flipped(clean: Stream, rng) -> Stream:
    """The sign of every answer is wrong."""
    return _told(clean, lambda y: -y)


def another_key(clean: Stream, rng) -> Stream:
    """The answers belong to other questions."""
    return _told(clean, rng.permutation)


def thousandfold(clean: Stream, rng) -> Stream:
    """Answers are a thousand times too large."""
    return _told(clean, lambda y: 1000.0 * y)


def missing(clean: Stream, rng) -> Stream:
    """Features are NaN or infinite."""
    X = clean.X.copy()
    X[BREAKS:HEALS, 1] = np.where(rng.random(HEALS - BREAKS) < 0.5, np.nan, np.inf)
    return clean._replace(X=X)


def stuck(clean: Stream, rng) -> Stream:
    """The feature that matters most stands still, far from its mean."""
    X, most = clean.X.copy(), np.abs(clean.X.T @ clean.y).argmax()
    X[BREAKS:HEALS, most] = 3.0
    return clean._replace(X=X)


def shifted(clean: Stream, rng) -> Stream:
    """Features come one step late."""
    X = clean.X.copy()
    X[BREAKS:HEALS] = clean.X[BREAKS - 1 : HEALS - 1]
    return clean._replace(X=X)


def slow_poison(clean: Stream, rng) -> Stream:
    """Ever more answers have the wrong sign, from none to all."""
    y, n = clean.y.copy(), HEALS - BREAKS
    wrong = rng.random(n) < np.linspace(0.0, 1.0, n)
    y[BREAKS:HEALS] *= np.where(wrong, -1.0, 1.0)
    return clean._replace(y=y)


SCENARIOS = {
    "labels flipped": flipped,
    "labels of another key": another_key,
    "labels times 1,000": thousandfold,
    "NaN and inf in features": missing,
    "a feature is stuck": stuck,
    "features one step late": shifted,
    "slow poison": slow_poison,
}


def readings(seed: int) -> dict[str, tuple[float, float]]:
    """What answers of another key cost while they come, in variances of the noise: by who answers, in two readings.

    Of the same questions and answers, bit for bit: that the answers are wrong, and that the law changed, so that
    nothing can be predicted any more.
    """
    clean = stream(seed)
    told = another_key(clean, np.random.default_rng(seed + 1000)).y
    broken = slice(BREAKS, HEALS)
    known = [replayed(learner(), clean.X, y) for y in (told, np.where(np.arange(LENGTH) < BREAKS, clean.y, np.nan))]
    answered = {"the learner": known[0], "a checkpoint": known[1], "the baseline": np.zeros(LENGTH)}
    best = {"wrong": (replayed(learner(), clean.X, clean.y), clean.y), "changed": (np.zeros(LENGTH), told)}
    return {
        who: tuple(float(((p - y) ** 2 - (q - y) ** 2)[broken].sum()) for q, y in best.values())
        for who, p in answered.items()
    }


def learner():
    """The learner of all scenarios: least squares that forgets."""
    return compile(zoo.build("rls"), NAMES)


def measured(name: str, seed: int) -> tuple[Measured, list]:
    """What a scenario costs with and without the guard, and what the guard said."""
    clean = stream(seed)
    broken = SCENARIOS[name](clean, np.random.default_rng(seed + 1000))
    guard = Guarded(learner(), NAMES)
    served, events = replayed(guard, broken.X, broken.y), guard.events()
    alone = replayed(learner(), np.nan_to_num(broken.X, nan=0.0, posinf=0.0), broken.y)
    best = replayed(learner(), clean.X, clean.true)
    fell = [event.answer for event in events if event.kind == "fallback"]
    lost = [float(((said - clean.true) ** 2 - (best - clean.true) ** 2)[BREAKS:].sum()) for said in (served, alone)]
    return Measured(fell[0] - BREAKS if fell else -1, *lost), events


def _told(clean: Stream, change) -> Stream:
    """A stream whose answers are told wrongly for a while."""
    y = clean.y.copy()
    y[BREAKS:HEALS] = change(y[BREAKS:HEALS])
    return clean._replace(y=y)


def quiet(kind: str, seed: int, n: int = 3000) -> tuple[object, np.ndarray, np.ndarray]:
    """A stream whose law stands still, and a guard around a learner of it: guard, features, answers."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, WIDTH)), rng.normal(size=WIDTH)
    if kind == "features that rest":
        X = resting(rng, X)
    signal = X @ (w * np.sqrt(0.1) / np.linalg.norm(w))
    if kind == "rare class":
        y = (rng.random(n) < 1 / (1 + np.exp(4.0 - 3.0 * signal))).astype(float)
        return Guarded(compile(zoo.build("recursive_logistic"), NAMES), NAMES), X, y
    noise = rng.standard_t(2.5, n) if kind == "heavy tails" else rng.normal(size=n)
    if kind == "autocorrelated noise":
        for i in range(1, n):
            noise[i] += 0.5 * noise[i - 1]
    return Guarded(learner(), NAMES), X, noise + signal * noise.std()


def resting(rng, X: np.ndarray) -> np.ndarray:
    """Features that keep their values, as healthy ones do: counts, flags, a level that seldom moves, a calendar."""
    n, at = len(X), np.arange(len(X))
    level = X[np.maximum.accumulate(np.where(rng.random(n) < 0.02, at, 0)), 2]
    columns = (X[:, 0], np.round(X[:, 1]), level, (rng.random(n) < 0.03).astype(float), (at % 250 < 50).astype(float))
    return np.column_stack(columns)


QUIET = ("normal noise", "heavy tails", "autocorrelated noise", "rare class", "features that rest")


def falsely(kind: str, streams: int, n: int = 3000) -> float:
    """Share of quiet streams on which the learner is ever sent back."""
    fell = 0
    for seed in range(streams):
        guard, X, y = quiet(kind, seed, n)
        replayed(guard, X, y)
        fell += any(event.kind == "fallback" for event in guard.events())
    return fell / streams
