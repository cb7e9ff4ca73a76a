"""An evaluation: several models on the same questions, each asked, scored and taught in its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtml.core.questions import Questions
from rtml.core.target import Target
from rtml.evaluation.progressive import Progress, progressive
from rtml.metrics import metrics
from rtml.metrics.confidence_sequence import Comparison, ConfidenceSequence, compare, confidence_sequence
from rtml.metrics.kinds import kind_of, losses, score_of
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build


def evaluate(
    models: Iterable, questions: Questions, target: Target | str = "y", done: Callable[[str], object] = str
) -> Evaluation:
    """Run models over the questions of a target, delayed answers and all.

    Parameters
    ----------
    models
        Names of the catalogue, which may bring a schedule of :mod:`rtml.training.retraining.schedule` such as
        ``"rls: stateful every 1h"``, or estimators themselves.
    questions
        With the answers of that target, such as :meth:`rtml.evaluation.dataset.Dataset.of` gives.
    target
        What is predicted; a mere name stands for a number.
    done
        Gets the name of each model that is through.
    """
    target, progress = Target(target) if isinstance(target, str) else target, {}
    for model in models:
        name = model if isinstance(model, str) else type(model).__name__
        progress[name] = progressive(build(model, questions.names, classes=target.classes), questions)
        done(name)
    return Evaluation(target, questions, progress)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What every model said of every question of one target, and what came out."""

    target: Target
    questions: Questions
    progress: dict[str, Progress]

    @property
    def loss_name(self) -> str:
        """What :meth:`loss` counts."""
        return kind_of(self.target).loss

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
        """Loss of each question, shape (m,), NaN without an answer; which one is a matter of the target's kind.

        ``cut`` limits the size of answers and predictions of a number, in its unit: a few huge ones outweigh the rest
        otherwise.
        """
        y, p = self.questions.y, self.predictions(name)
        if self.target.kind == "number":
            y, p = np.clip(y, -cut, cut), np.clip(p, -cut, cut)
        return losses(self.target, y, p)

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

    def _quality(self, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
        """Figures of one model: those of the target's kind, and of a number or probability the AUC."""
        score = score_of(self.target).update(y, p).get()
        quality = {name: value for name, value in score.items() if name not in ("asked", "answered", "coverage", "mse")}
        if self.target.kind == "probability":
            return {"auc": metrics.auc(y, p)} | quality
        if self.target.kind == "number" and (y < 0).any():
            return quality | {"auc": metrics.auc(metrics.sign_labels(y), p)}
        if self.target.kind == "number":
            baseline = self.progress["mean"].predictions[-len(p) :] if "mean" in self.progress else np.nanmean(y)
            quality = {"r2_mean": metrics.r2(y, p, np.broadcast_to(baseline, len(p)))} | quality
        return quality


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
