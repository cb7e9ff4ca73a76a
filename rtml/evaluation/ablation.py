"""Does this feature help? The same replay with it and without it, paired question by question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rtml.core.later import pd
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.metrics.confidence_sequence import Comparison, compare
from rtml.metrics.metrics import loss
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile


@dataclass(frozen=True)
class Help:
    """What features are worth to a model: ``comparison`` of the loss without them minus with them (positive: they
    help), the mean losses, and a ``verdict`` in a sentence.

    Examples
    --------
    >>> n = 500
    >>> x = np.random.default_rng(7).normal(size=(n, 2))
    >>> asked = Questions(np.arange(n), np.arange(n), x, x[:, 0], np.arange(1, n + 1), ("a", "b"))
    >>> features_that_help(asked).index.tolist()
    ['a', 'b']
    """

    features: tuple[str, ...]
    with_them: float
    without: float
    comparison: Comparison
    verdict: str


def without(questions: Questions, features: Iterable[str]) -> Questions:
    """The same questions asked without some features.

    Examples
    --------
    >>> asked = Questions([1], [0], np.array([[1.0, 2.0]]), [0.0], [1], ("a", "b"))
    >>> without(asked, ["a"]).names, without(asked, ["a"]).X
    (('b',), array([[2.]]))
    """
    dropped = set(features)
    unknown = dropped - set(questions.names)
    if unknown:
        raise LookupError(f"no feature {', '.join(sorted(unknown))!r}; there are: {', '.join(questions.names)}")
    kept = [i for i, name in enumerate(questions.names) if name not in dropped]
    if not kept:
        raise ValueError("nothing is left without these features: leave one out at least")
    q = questions
    return Questions(q.id, q.moment, q.X[:, kept], q.y, q.known, tuple(q.names[i] for i in kept))


def helps(features: str | Sequence[str], questions: Questions, model: str | Callable = "rls", since: int = 0) -> Help:
    """Whether features help a model on a recorded stream, with answers as late as they were.

    Both replays learn from their own first question on, so the answer is what the stream would have been like without.

    Parameters
    ----------
    features
        One name, or several that are left out together.
    questions
        The stream, e.g. ``Dataset.of("demand")``.
    model
        A name of the zoo, or what builds a river model.
    since
        First question that counts.

    Examples
    --------
    >>> r = np.random.default_rng(0)
    >>> X, at = r.normal(size=(3000, 2)), np.arange(3000)
    >>> asked = Questions(at, at, X, X[:, 0] + r.normal(size=3000), at + 1, ("signal", "noise"))
    >>> helps("signal", asked).verdict
    'signal helps: without it the squared error is 2.04 per question, with it 1.07'
    """
    names = (features,) if isinstance(features, str) else tuple(features)
    base = _losses(model, questions)
    return _help(names, questions, model, base, since)


def features_that_help(questions: Questions, model: str | Callable = "rls") -> pd.DataFrame:
    """Every feature left out in turn, the most useful first: mean difference, interval, verdict.

    The intervals are each valid by themselves; of many features one in twenty may be settled by chance.

    Examples
    --------
    >>> n = 500
    >>> x = np.random.default_rng(7).normal(size=(n, 2))
    >>> asked = Questions(np.arange(n), np.arange(n), x, x[:, 0], np.arange(1, n + 1), ("a", "b"))
    >>> features_that_help(asked)["mean"].round(2).to_dict()
    {'a': 0.72, 'b': -0.0}
    """
    base, rows = _losses(model, questions), {}
    for name in questions.names:
        found = _help((name,), questions, model, base, since=0)
        rows[name] = {k: getattr(found.comparison, k) for k in ("mean", "low", "high", "n")}
        rows[name]["verdict"] = found.verdict
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("feature").sort_values("mean", ascending=False)


def _help(names: tuple[str, ...], questions: Questions, model, base: np.ndarray, since: int) -> Help:
    other, classifier = _losses(model, without(questions, names)), _classifier(model, questions)
    found = compare(other[since:], base[since:], names=("without", "with"), horizon_steps=questions.overlap)
    with_them, left = float(np.nanmean(base[since:])), float(np.nanmean(other[since:]))
    what, unit = ", ".join(names), "log loss" if classifier else "squared error"
    verb = {"with": "helps", "without": "hurts"}.get(found.better, "is not settled to help or hurt")
    verdict = f"{what} {verb}: without it the {unit} is {left:.3g} per question, with it {with_them:.3g}"
    return Help(names, with_them, left, found, verdict)


def _build(model):
    return zoo.build(model) if isinstance(model, str) else model()


def _classifier(model, questions: Questions) -> bool:
    return compile(_build(model), questions.names).classifier


def _losses(model, questions: Questions) -> np.ndarray:
    """Loss of each question, NaN without an answer: squared error, or log loss of a classifier."""
    p, y = progressive(_build(model), questions).predictions, questions.y
    return loss(y, p, classes=_classifier(model, questions))
