"""An evaluation: several models on the same questions, each asked, scored and taught in its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtml.core.questions import Questions
from rtml.evaluation.progressive import Progress, progressive
from rtml.metrics import metrics
from rtml.metrics.confidence_sequence import Comparison, ConfidenceSequence, compare, confidence_sequence
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build

_LOSSES = {"return": "squared error", "volatility": "squared error", "sign": "log loss"}


def evaluate(
    names: Iterable[str], questions: Questions, target: str = "return", done: Callable[[str], object] = str
) -> Evaluation:
    """Run models of the zoo over the questions of a target, delayed answers and all; ``done`` is told each name.

    A name may bring a schedule of :mod:`rtml.training.retraining.schedule`, such as ``"rls: stateful every 1h"``.
    """
    progress = {}
    for name in names:
        progress[name] = progressive(build(name, questions.names), questions)
        done(name)
    return Evaluation(target, questions, progress)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What every model said of every question of one target, and what came out."""

    target: str
    questions: Questions
    progress: dict[str, Progress]

    @property
    def loss_name(self) -> str:
        """What :meth:`loss` counts."""
        return _LOSSES[self.target]

    def predictions(self, name: str) -> np.ndarray:
        """Predictions of one model, one a question."""
        if name not in self.progress:
            raise LookupError(f"no model {name!r} was evaluated; there are: {', '.join(self.progress)}")
        return self.progress[name].predictions

    def table(self, since: int = 0) -> pd.DataFrame:
        """One row a model, from question ``since`` on: quality, coverage, and what the whole stream cost."""
        y = self.questions.y[since:]
        frame = pd.DataFrame({name: self._quality(y, p.predictions[since:]) for name, p in self.progress.items()}).T
        frame["answered"] = int(np.isfinite(y).sum())
        frame["coverage"] = metrics.coverage(y)
        frame["samples"] = [_samples(p) for p in self.progress.values()]
        frame["cpu_seconds"] = [p.cpu_seconds for p in self.progress.values()]
        return frame.astype({"answered": int, "samples": int}).rename_axis("model")

    def loss(self, name: str, cut: float = np.inf) -> np.ndarray:
        """Loss of each question, NaN without an answer: squared error, or log loss for the sign.

        ``cut`` limits the size of answers and predictions of a return (bp): a few huge moves outweigh a day otherwise.
        """
        y, p = self.questions.y, self.predictions(name)
        if self.target != "sign":
            return (np.clip(y, -cut, cut) - np.clip(p, -cut, cut)) ** 2
        return metrics.loss(y, p, classes=True)

    def compare(self, a: str, b: str, cut: float = np.inf) -> Comparison:
        """Whether ``a`` loses less than ``b`` on the same questions, valid whenever one looks."""
        return compare(self.loss(a, cut), self.loss(b, cut), names=(a, b), horizon_steps=self.questions.overlap)

    def difference(self, a: str, b: str) -> ConfidenceSequence:
        """Mean of ``loss(a) - loss(b)`` over time, with its interval."""
        return confidence_sequence(self.loss(a) - self.loss(b), horizon_steps=self.questions.overlap)

    def comparisons(self, name: str, cut: float = np.inf) -> pd.DataFrame:
        """The chosen model against every other: mean difference of the loss a question, interval, verdict."""
        rows = {other: self.compare(name, other, cut) for other in self.progress if other != name}
        columns = {k: [getattr(c, k) for c in rows.values()] for k in ("mean", "low", "high", "n", "verdict")}
        return pd.DataFrame(columns, index=pd.Index(list(rows), name=f"{name} against"))

    def curves(self, metric: str, window: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Moments and a metric for every model: of everything so far, or of the last ``window`` questions."""
        y, at = self.questions.y, self.questions.moment
        if window:
            return {name: (at, metrics.windowed(metric, y, p.predictions, window)) for name, p in self.progress.items()}
        return {name: (at, metrics.cumulative(metric, y, p.predictions)) for name, p in self.progress.items()}

    def worth(self, name: str, cost_bp: float) -> str:
        """What following the sign of every prediction would have earned, before and after costs, as a sentence.

        ``cost_bp`` is the price of a round trip (fees and spread, both ways). A position is held for one horizon.
        """
        y, p = self.questions.y, self.predictions(name)
        known = np.isfinite(y)
        gross = float(np.mean(np.sign(p[known]) * y[known])) if known.any() else float("nan")
        strong = known & (np.abs(p) > cost_bp)
        verdict = "not tradable" if gross < cost_bp else "not what we expect: look for a leak before believing it"
        return (
            f"Following the sign of every prediction of {name} earns {gross:.2f} bp a question before costs and "
            f"{gross - cost_bp:.2f} bp after a round trip of {cost_bp:g} bp: {verdict}. "
            f"{strong.mean():.2%} of the predictions are larger than the cost."
        )

    def _quality(self, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
        if self.target == "sign":
            quality = {"auc": metrics.auc(y, p), "log_loss": metrics.log_loss(y, p), "brier": metrics.brier(y, p)}
            return quality | {"hit_rate": metrics.hit_rate(2 * y - 1, p - 0.5)}
        quality = {"r2_zero": metrics.r2_zero(y, p), "rmse": metrics.rmse(y, p), "mae": metrics.mae(y, p)}
        if self.target == "volatility":
            baseline = self.progress["mean"].predictions if "mean" in self.progress else np.full(len(p), np.nanmean(y))
            return {"r2_mean": metrics.r2(y, p, baseline[-len(p) :])} | {k: quality[k] for k in ("rmse", "mae")}
        sign = metrics.sign_labels(y)
        return quality | {"auc": metrics.auc(sign, p), "hit_rate": metrics.hit_rate(y, p)}


def weights_over_time(name: str, questions: Questions, every: int = 60) -> pd.DataFrame:
    """Weights of a linear model of the zoo (per standard deviation of each feature) as they move, by moment (ns)."""
    learner, rows = Learner(build(name, questions.names), questions.names), {}
    for start in range(0, len(questions), every):
        part = questions[start : start + every]
        learner.replay(part, until=int(part.moment[-1]))
        rows[int(part.moment[-1])] = learner.model.weights
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("moment")


def _samples(progress: Progress) -> int:
    """Answers that a model went through, those of a refit counted each time."""
    final = getattr(progress.learner.model, "model", progress.learner.model)
    return int(getattr(final, "samples", progress.learned))
