"""A screening: several models judge the same payments, and are judged as fraud has to be, by what their alerts find.

Fraud is rare, so accuracy says nothing. What counts is how pure the top of the ranking is (average precision), how
much is found at a rate of false alarms that people can bear, and what it costs. Intervals resample whole days: the
payments of one day, and the days of one compromised terminal, are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtml.core.questions import Questions
from rtml.evaluation.progressive import Progress, progressive
from rtml.metrics import metrics
from rtml.metrics.rare_class import alerts_by_day, average_precision, cost_curve, difference, interval, recall_at
from rtml.training.retraining.strategy import build

_DAY = 86_400 * 10**9
QUALITY = {
    "auc": metrics.auc,
    "average_precision": average_precision,
    "recall_at_1pct": recall_at,
    "log_loss": metrics.log_loss,
    "brier": metrics.brier,
}


def screen(
    models: Iterable[str], questions: Questions, since: int, done: Callable[[str], object] = str, seed: int = 7
) -> Screening:
    """Run models of the zoo over all questions, delayed labels and all, and score them from the moment ``since`` on."""
    progress = {}
    for name in models:
        progress[name] = progressive(build(name, questions.names, seed), questions)
        done(name)
    return Screening(questions, progress, since, seed)


def only(questions: Questions, names: Iterable[str]) -> Questions:
    """The same questions with some of their features."""
    names = tuple(names)
    X = np.ascontiguousarray(questions.X[:, [questions.names.index(name) for name in names]])
    return Questions(questions.id, questions.moment, X, questions.y, questions.known, names)


@dataclass(frozen=True, eq=False)
class Screening:
    """What every model said of every payment, and what came out; scored from ``since`` (ns) on, where answered."""

    questions: Questions
    progress: dict[str, Progress]
    since: int
    seed: int = 7

    @property
    def scored(self) -> np.ndarray:
        """Which questions are scored."""
        return (self.questions.moment >= self.since) & np.isfinite(self.questions.y)

    def of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and predictions of a model, where scored."""
        if name not in self.progress:
            raise LookupError(f"no model {name!r} was screened; there are: {', '.join(self.progress)}")
        return self.questions.y[self.scored], self.progress[name].predictions[self.scored]

    def table(self) -> pd.DataFrame:
        """One row a model: its quality, and what the whole stream cost in answers gone through and CPU seconds."""
        rows = {name: {q: f(*self.of(name)) for q, f in QUALITY.items()} for name in self.progress}
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
        frame["samples"] = [_samples(p) for p in self.progress.values()]
        frame["cpu_seconds"] = [p.cpu_seconds for p in self.progress.values()]
        return frame

    def intervals(self, metrics: Iterable[str] = ("average_precision", "recall_at_1pct")) -> pd.DataFrame:
        """Qualities of each model with their 95 % intervals, whole days resampled."""
        rows: dict[str, dict] = {name: {} for name in self.progress}
        for name, row in rows.items():
            for metric in metrics:
                value, low, high = interval(metric, *self.of(name), self._moment(), seed=self.seed)
                row |= {metric: value, f"{metric}_low": low, f"{metric}_high": high}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def against(self, a: str, b: str, metric: str = "average_precision") -> dict:
        """Difference of a quality of two models on the same days, its 95 % interval, and a sentence."""
        (y, one), (_, two) = self.of(a), self.of(b)
        apart, low, high = difference(metric, y, one, two, self._moment(), seed=self.seed)
        better, words = a if low > 0 else b if high < 0 else "", metric.replace("_", " ")
        said = f"{better} is better" if better else f"{a} against {b} is not settled"
        values = f"{words} {QUALITY[metric](y, one):.3f} of {a}, {QUALITY[metric](y, two):.3f} of {b}"
        days = len(np.unique(self._moment() // _DAY))
        text = f"{said}: {values}, difference {apart:+.3f} ({low:+.3f} to {high:+.3f}, 95 %, {days} days resampled)"
        return {"difference": apart, "low": low, "high": high, "better": better, "verdict": text}

    def verdict(self, name: str, metric: str = "average_precision") -> str:
        """One sentence on a model beside all others: which it beats, which beat it, and what is not settled."""
        told: dict[str, list[str]] = {"better than": [], "worse than": [], "not settled against": []}
        for other in (other for other in self.progress if other != name):
            apart = self.against(name, other, metric)
            word = {name: "better than", other: "worse than"}.get(apart["better"], "not settled against")
            told[word].append(f"{other} ({apart['low']:+.3f} to {apart['high']:+.3f})")
        found = "; ".join(f"{word} {', '.join(others)}" for word, others in told.items() if others)
        quality = f"{metric.replace('_', ' ')} {QUALITY[metric](*self.of(name)):.3f}"
        return f"{name}, {quality}, is {found}; intervals of the difference, 95 %, days resampled"

    def over_time(self, days: int = 14) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """End of each day (ns), and every model's average precision over the days up to it."""
        day = self._moment() // _DAY
        ends = np.arange(day.min() + days - 1, day.max() + 1)
        curves = {}
        for name in self.progress:
            y, p = self.of(name)
            parts = [(day > end - days) & (day <= end) for end in ends]
            curves[name] = ((ends + 1) * _DAY, np.array([average_precision(y[part], p[part]) for part in parts]))
        return curves

    def alerts(self, name: str, k: int) -> pd.DataFrame:
        """The ``k`` most suspicious payments of each day: ``day`` (ns), ``alerts``, ``found`` and ``frauds``."""
        y, p = self.of(name)
        daily = alerts_by_day(y, p, self._moment(), k)
        frauds = pd.Series(y).groupby(self._moment() // _DAY).sum().to_numpy()
        counts = {"alerts": daily["alerts"].to_numpy(), "found": daily["hits"].to_numpy(), "frauds": frauds}
        return pd.DataFrame({"day": np.unique(self._moment() // _DAY) * _DAY} | counts).astype(np.int64)

    def ranked(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Recall and precision of alerts on the most suspicious payments, for every number of alerts."""
        y, p = self.of(name)
        hits = np.cumsum(y[np.argsort(-p, kind="stable")])
        return hits / max(hits[-1], 1.0), hits / np.arange(1, len(hits) + 1)

    def costs(self, name: str, amount: np.ndarray, review: float) -> tuple[np.ndarray, np.ndarray]:
        """Share of payments stopped, and the cost a payment: reviews of alerts, and the amounts of frauds let through.

        ``amount`` is of every question, ``review`` the cost of looking at one alert, in the same money. The first
        point stops nothing.
        """
        y, p = self.of(name)
        curve = cost_curve(y, p, amount[self.scored], review, points=5000)
        return curve["alerts"].to_numpy() / len(y), curve["cost"].to_numpy() / len(y)

    def found(self, pattern: np.ndarray, rate: float = 0.01) -> pd.DataFrame:
        """Share of the frauds of each pattern that each model finds at a rate of false positives."""
        rows, ways = {}, pattern[self.scored]
        for name in self.progress:
            y, p = self.of(name)
            threshold = np.quantile(p[y == 0], 1 - rate)
            rows[name] = {way: float((p[(ways == way) & (y == 1)] > threshold).mean()) for way in _ways(ways, y)}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def _moment(self) -> np.ndarray:
        return self.questions.moment[self.scored]


def _ways(ways: np.ndarray, y: np.ndarray) -> list[str]:
    return sorted({way for way in ways[y == 1].tolist() if way})


def _samples(progress: Progress) -> int:
    """Answers that a model went through, those of a refit counted each time."""
    model = progress.learner.model
    return int(getattr(model, "samples", getattr(getattr(model, "model", None), "samples", progress.learned)))
