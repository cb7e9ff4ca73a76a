"""An evaluation: several models on the same questions, each asked, scored and taught in its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from rtml.core.later import pd
from rtml.core.questions import Questions
from rtml.core.target import NUMBER, PROBABILITY, Target
from rtml.evaluation.progressive import Progress, progressive
from rtml.metrics import metrics, rare_class
from rtml.metrics.confidence_sequence import Comparison, ConfidenceSequence, compare, confidence_sequence
from rtml.metrics.kinds import kind_of, losses, score_of
from rtml.models.per_key import PerKey
from rtml.models.rows import predictions
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build

_DAY = 86_400 * 10**9


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

    Examples
    --------
    >>> asked = Questions([1, 2, 3], [1, 2, 3], np.ones((3, 1)), [1.0, 2.0, 3.0], [2, 3, 4], ("one",))
    >>> evaluate(["zero", "mean"], asked).by_model["zero"]
    array([0., 0., 0.])
    """
    target = Target(target) if isinstance(target, str) else target
    predictions = {}
    cost = {}
    for model in models:
        name = model if isinstance(model, str) else type(model).__name__
        progress = progressive(build(model, questions.names, classes=target.classes), questions)
        predictions[name] = progress.predictions
        cost[name] = {"samples": _samples(progress), "cpu_seconds": progress.cpu_seconds}
        done(name)
    return Evaluation(target, questions, predictions, pd.DataFrame.from_dict(cost, orient="index"))


def whose(online: pd.DataFrame, target: Target, questions: Questions, model, frozen) -> Evaluation:
    """Whose number is it? What was ``served``, beside the ``learner``, a ``frozen`` version and the ``baseline``.

    Parameters
    ----------
    online
        What was served: ``id`` and ``prediction`` of each question (:meth:`rtml.training.trainer.Trainer.predictions`).
    target
        What was predicted.
    questions
        Every question asked so far, in order, those before ``online`` included.
    model
        What learns, as :func:`evaluate` takes it; the baseline is the first of the target's kind.
    frozen
        A version that answers each question by ``predict`` and learns nothing.
    """
    place = pd.Index(questions.id).get_indexer(online["id"])
    asked, parts = questions[place], {"served": np.array(online["prediction"].tolist())}
    learns = [build(one, questions.names, classes=target.classes) for one in (model, *kind_of(target).baselines[:1])]
    learned = [progressive(one, questions).predictions[place] for one in learns]
    parts["learner"], parts["frozen"] = learned[0], predictions(frozen, asked.X)
    if learned[1:]:
        parts["baseline"] = learned[1]
    titles = {"baseline": f"the baseline, {kind_of(target).plainest}"}
    return Evaluation(target, asked, parts, titles=titles)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What every model predicted for every question of one target, and how good that was.

    Attributes
    ----------
    target
        What is predicted; metrics and loss follow from its kind.
    questions
        With their answers, (m,).
    by_model
        Predictions of each model, (m,) or (m, outputs).
    cost
        ``samples`` (answers gone through, those of a refit each time) and ``cpu_seconds`` of each model, for all
        questions that were asked; nothing where predictions come from elsewhere.
    titles
        What a model is called in verdicts, where that is not its name.

    Examples
    --------
    >>> asked = Questions([1, 2, 3], [1, 2, 3], np.ones((3, 1)), [1.0, 2.0, 3.0], [2, 3, 4], ("one",))
    >>> Evaluation(Target("y"), asked, {"half": asked.y / 2}).table()["mae"].to_dict()
    {'half': 1.0}
    """

    target: Target
    questions: Questions
    by_model: dict[str, np.ndarray]
    cost: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    titles: dict[str, str] = field(default_factory=dict)

    def part(self, rows) -> Evaluation:
        """The same models on some of the questions: a slice, a mask or places; the cost stays that of all.

        Examples
        --------
        >>> asked = Questions([1, 2, 3], [1, 2, 3], np.ones((3, 1)), [1.0, 2.0, 3.0], [2, 3, 4], ("one",))
        >>> evaluate(["zero"], asked).part(slice(1, None)).table().loc["zero", "answered"]
        np.int64(2)
        """
        rows = np.arange(len(self.questions))[rows]
        some = {name: p[rows] for name, p in self.by_model.items()}
        return Evaluation(self.target, self.questions[rows], some, self.cost, self.titles)

    def predictions(self, name: str) -> np.ndarray:
        """Predictions of one model, one for each question."""
        if name not in self.by_model:
            raise LookupError(f"no model {name!r} was evaluated; there are: {', '.join(self.by_model)}")
        return self.by_model[name]

    @property
    def known(self) -> np.ndarray:
        """Which questions were answered, (m,)."""
        return np.isfinite(self.questions.y)

    def answered(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answers, predictions of a model, and moments (ns) of the questions that were answered."""
        return self.questions.y[self.known], self.predictions(name)[self.known], self.questions.moment[self.known]

    def table(self) -> pd.DataFrame:
        """One row for each model: the metrics of the target's kind, label coverage, and what the run cost."""
        frame = pd.DataFrame({name: self._quality(name) for name in self.by_model}).T
        frame["answered"] = int(self.known.sum())
        frame["coverage"] = metrics.coverage(self.questions.y)
        frame = frame.join(self.cost).rename_axis("model")
        return frame.astype({name: int for name in ("answered", "samples") if name in frame})

    def loss(self, name: str, cut: float = np.inf) -> np.ndarray:
        """Loss of each question, shape (m,), NaN without an answer; which one is a matter of the target's kind.

        ``cut`` limits the size of answers and predictions of a number, in its unit: a few huge ones outweigh the rest
        otherwise.
        """
        y, p = self.questions.y, self.predictions(name)
        if self.target.kind == NUMBER:
            y, p = np.clip(y, -cut, cut), np.clip(p, -cut, cut)
        return losses(self.target, y, p)

    def compare(self, a: str, b: str, cut: float = np.inf, metric: str = "") -> Comparison:
        """Whether ``a`` is better than ``b`` on the same questions.

        By the loss, with an interval that is valid at any time; or by a ``metric`` of
        :data:`rtml.metrics.rare_class.METRICS` (more is better), whose interval resamples whole days, because the rare
        ones of a day come in series.
        """
        if not metric:
            names = {self.titles.get(name, name): name for name in (a, b)}
            about = {"loss": kind_of(self.target).loss, "horizon_steps": self.questions.overlap}
            found = compare(self.loss(a, cut), self.loss(b, cut), names=tuple(names), **about)
            return replace(found, better=names.get(found.better, ""))
        (y, one, moment), (_, two, _) = self.answered(a), self.answered(b)
        gap, low, high = rare_class.difference(metric, y, one, two, moment)
        better = a if low > 0 else b if high < 0 else ""
        words = metric.replace("_", " ")
        days = _days(moment)
        said = f"{better} is better than {b if better == a else a}" if better else f"{a} against {b}: not settled"
        of = f"{rare_class.value(metric, y, one):.3f} for {a}, {rare_class.value(metric, y, two):.3f} for {b}"
        text = f"{said}: {words} {of}, difference {gap:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, n = {days} days)"
        return Comparison(gap, low, high, len(y), days, better, text)

    def difference(self, a: str, b: str) -> ConfidenceSequence:
        """Mean of ``loss(a) - loss(b)`` over time, with its interval."""
        return confidence_sequence(self.loss(a) - self.loss(b), horizon_steps=self.questions.overlap)

    def comparisons(self, name: str, cut: float = np.inf, metric: str = "") -> pd.DataFrame:
        """The chosen model against every other (see :meth:`compare`): difference, interval, better one, verdict.

        Empty where the target's kind has no loss.
        """
        others = [other for other in self.by_model if other != name and kind_of(self.target).loss]
        rows = {other: self.compare(name, other, cut, metric) for other in others}
        columns = {k: [getattr(c, k) for c in rows.values()] for k in ("mean", "low", "high", "n", "better", "verdict")}
        return pd.DataFrame(columns, index=pd.Index(list(rows), name=f"{name} against"))

    def intervals(self, *names: str) -> pd.DataFrame:
        """Metrics of rare labels of each model with their 95 % intervals, whole days resampled."""
        rows: dict[str, dict] = {name: {} for name in self.by_model}
        for model, row in rows.items():
            for name in names or ("average_precision", "recall_at_1pct"):
                found = rare_class.interval(name, *self.answered(model))
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def curves(self, metric: str, window: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Moments and a metric for every model: of everything so far, or of the last ``window`` questions."""
        y, at = self.questions.y, self.questions.moment
        if window:
            return {name: (at, metrics.windowed(metric, y, p, window)) for name, p in self.by_model.items()}
        return {name: (at, metrics.cumulative(metric, y, p)) for name, p in self.by_model.items()}

    def by_days(self, metric: Callable, days: int = 14) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """End of each day (ns), and ``metric(y, p)`` of the days up to it, for every model."""
        return {name: rolling_days(metric, *self.answered(name), days) for name in self.by_model}

    def _quality(self, name: str) -> dict[str, float]:
        """Metrics of one model: those of the target's kind, and what ranks a number's sign or a probability."""
        y, p = self.questions.y, self.predictions(name)
        score = score_of(self.target).update(y, p).get()
        quality = {name: value for name, value in score.items() if name not in ("asked", "answered", "coverage", "mse")}
        if self.target.kind == PROBABILITY:
            return {name: rare_class.value(name, y, p) for name in rare_class.METRICS} | quality
        if self.target.change:
            return quality | {"auc": metrics.auc(metrics.sign_labels(y), p)}
        if self.target.kind == NUMBER:
            return {"r2_mean": metrics.r2(y, p, self._mean)} | {what: quality[what] for what in ("rmse", "mae")}
        return quality

    @property
    def _mean(self) -> np.ndarray:
        """Predictions of the running mean; the mean of all answers where it was not evaluated."""
        known = (self.by_model[name] for name in ("mean", "baseline") if name in self.by_model)
        return next(known, np.full(len(self.questions), np.nanmean(self.questions.y)))


def rolling_days(metric: Callable, y, p, moment, days: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """End of each day (ns), and a metric of the answered questions of the ``days`` up to it.

    Examples
    --------
    >>> ends, value = rolling_days(metrics.mae, np.ones(4), np.arange(4.0), np.arange(4) * _DAY, days=2)
    >>> (ends // _DAY).tolist(), value.tolist()
    ([2, 3, 4], [0.5, 0.5, 1.5])
    """
    day = moment // _DAY
    ends = np.arange(day.min() + days - 1, day.max() + 1) if len(day) else np.empty(0, np.int64)
    parts = [(day > end - days) & (day <= end) for end in ends]
    return (ends + 1) * _DAY, np.array([metric(y[part], p[part]) for part in parts])


def weights_over_time(name: str, questions: Questions, every: int = 60) -> pd.DataFrame:
    """Weights of a linear model of the zoo (per standard deviation of each feature) as they move, by moment (ns).

    Examples
    --------
    >>> n = 120
    >>> x = np.random.default_rng(7).normal(size=(n, 1))
    >>> asked = Questions(np.arange(n), np.arange(n), x, 2 * x[:, 0], np.arange(1, n + 1), ("a",))
    >>> weights_over_time("rls", asked, every=60).index.tolist()
    [59, 119]
    """
    learner, rows = Learner(build(name, questions.names), questions.names), {}
    for start in range(0, len(questions), every):
        part = questions[start : start + every]
        learner.replay(part, until=int(part.moment[-1]))
        rows[int(part.moment[-1])] = learner.model.weights
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("moment")


def _days(moment: np.ndarray) -> int:
    return len(np.unique(moment // _DAY))


def _samples(progress: Progress) -> int:
    """Answers that a model went through, those of a refit counted each time."""
    model = progress.learner.model
    counts = [_counted(one) for one in (model.models.values() if isinstance(model, PerKey) else [model])]
    return int(sum(counts)) if counts and None not in counts else progress.learned


def _counted(model) -> int | None:
    while not hasattr(model, "samples") and hasattr(model, "model"):
        model = model.model
    return getattr(model, "samples", None)
