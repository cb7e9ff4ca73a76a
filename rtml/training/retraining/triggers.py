"""Triggers: when a model is trained again: by time, by answers, by performance, by drift, or by a rule of one's own.

Time is event time. A trigger sees answers in the order in which they became known; one that never came is not seen, so
missing labels are no alarm. Scores count only questions that the serving version answered: an old version's mistakes,
known late, do not fire again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtml.core.clock import NEVER, span, span_text
from rtml.core.state import Stateful
from rtml.kernels import segments
from rtml.monitoring.drift.change import Adwin, Fhddm, HddmA, PageHinkley
from rtml.training.retraining.expressions import Expression

METRICS = ("accuracy", "loss", "error", "bias", "rate", "said", "recall", "precision", "reference", "answers", "age_s")
DETECTORS = {"adwin": Adwin, "hddm": HddmA, "fhddm": Fhddm, "page_hinkley": PageHinkley}
OVER = 200  # answers in the window of a rule unless it says otherwise
SCALED = 100  # first answers of a regressor that say how large an error is


class Answers(NamedTuple):
    """Answers in the order known, as triggers see them.

    ``number`` counts answers since the beginning, ``since`` those since the last training. ``loud`` marks where a
    condition may fire (after the cool-down), ``own`` whose question the serving version answered, ``age`` (ns) is how
    old that version was.
    """

    X: np.ndarray
    y: np.ndarray
    predictions: np.ndarray
    known: np.ndarray
    number: np.ndarray
    since: np.ndarray
    loud: np.ndarray
    own: np.ndarray
    age: np.ndarray


class Trigger(Stateful):
    """What every trigger can do; this one never fires: somebody tells the model when to train.

    Examples
    --------
    >>> from rtml.training.retraining.trigger_set import TriggerSet
    >>> never = TriggerSet([Trigger()])
    >>> never.tick(10**18), never.due == NEVER
    (None, True)
    """

    text = ""
    due = NEVER  #: the event time up to which time alone does not fire, ns

    def tick(self, at: int) -> int | None:
        """Let time come to an event at ``at``; the moment at which the trigger was due before it, if it was."""

    def first(self, answers: Answers) -> tuple[int, str]:
        """Place of the first of the answers at which it fires, and why; their number where it does not."""
        return len(answers.y), ""

    def trained(self) -> None:
        """Begin anew: the model that serves is another one."""


class Every(Trigger):
    """Every span of event time, on the clock's face; ticks missed in silence are caught up once.

    A tick at ``t`` is due before the first event behind ``t``: what became known at ``t`` counts, and a question of
    ``t`` is still answered by the version before.

    Examples
    --------
    >>> hourly = Every("1h")
    >>> [hourly.tick(span(at)) for at in ("90m", "2h", "121m", "9h")]  # the first event starts the clock
    [None, None, 7200000000000, 28800000000000]
    """

    kept = ("_passed",)

    def __init__(self, every: str) -> None:
        self.every = span(every)
        self.text = f"every {span_text(self.every)}"
        self._passed: int | None = None

    @property
    def due(self) -> int:
        return NEVER if self._passed is None else (self._passed + 1) * self.every

    def tick(self, at: int) -> int | None:
        passed, before = (at - 1) // self.every, self._passed
        self._passed = passed if before is None else max(passed, before)
        return self._passed * self.every if before is not None and passed > before else None


class Count(Trigger):
    """``every`` n answers since the last training, once ``after`` n, or at the ``first`` n unless trained before.

    Examples
    --------
    >>> Count(500).text, Count(500, "after").text
    ('every 500', 'after 500')
    """

    def __init__(self, n: int, how: str = "every") -> None:
        if n < 1:
            raise ValueError(f"a number of answers must be at least 1, got {n}")
        self.n, self.how = n, how
        self.text = f"{how} {n}"

    def first(self, answers: Answers) -> tuple[int, str]:
        due = answers.since >= self.n if self.how == "every" else answers.number == self.n
        if self.how == "first":
            due &= answers.since == answers.number
        hit = np.flatnonzero(due)
        return (int(hit[0]), f"{self.text} answers") if len(hit) else (len(answers.y), "")


class Rule(Trigger):
    """A rule over the metrics of the last answers, such as ``accuracy < 90 %`` or ``loss > 1.1 * reference``.

    Nothing is said before ``over`` answers of the serving version are known. ``reference`` is the mean loss of its
    first ``over`` answers: what it lost when it was new. ``accuracy`` is the share of classes, or of signs, that were
    right; ``loss`` is log loss or squared error, ``error`` the mean distance, ``bias`` the mean of prediction less
    label, ``answers`` and ``age_s`` count since the last training.

    Examples
    --------
    >>> Rule("accuracy < 90 %", over=300).text
    'when accuracy < 90 % over 300'
    """

    kept = ("_ring", "_sums", "_seen", "_reference")

    def __init__(self, expression: str, over: int = OVER, classifier: bool = True) -> None:
        if over < 2:
            raise ValueError(f"a rule looks over at least 2 answers, got {over}")
        self.rule = Expression(expression, METRICS)
        self.over, self.classifier = over, classifier
        self.text = f"when {self.rule.text} over {over}"
        self.trained()

    def trained(self) -> None:
        self._ring, self._sums = np.zeros((self.over, segments.WIDTH)), np.zeros(segments.WIDTH)
        self._seen, self._reference = 0, np.nan

    def first(self, answers: Answers) -> tuple[int, str]:
        own = np.flatnonzero(answers.own)
        sums = np.empty((len(own), segments.WIDTH))
        before = self._seen
        given = (answers.y[own], answers.predictions[own], self.classifier, before, self._ring, self._sums, sums)
        self._seen = segments.scores(*given)
        seen = before + 1 + np.arange(len(own))
        if before < self.over <= self._seen:
            self._reference = sums[self.over - 1 - before, segments.LOSS] / self.over
        values = self._values(sums, answers, own)
        hit = np.flatnonzero(self.rule(values) & (seen >= self.over) & answers.loud[own]) if len(own) else own
        if not len(hit):
            return len(answers.y), ""
        numbers = ", ".join(f"{name} {np.broadcast_to(values[name], len(own))[hit[0]]:.4g}" for name in self.rule.names)
        return int(own[hit[0]]), f"{self.text}: {numbers}"

    def _values(self, sums: np.ndarray, answers: Answers, own: np.ndarray) -> dict:
        right, loss, error, y, prediction, caught, flagged, positive = sums.T
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = {"recall": caught / positive, "precision": caught / flagged, "reference": self._reference}
        scores |= {"accuracy": right / self.over, "loss": loss / self.over, "error": error / self.over}
        scores |= {"bias": (prediction - y) / self.over, "rate": y / self.over, "said": prediction / self.over}
        return scores | {"answers": answers.since[own], "age_s": answers.age[own] / 1e9}


class Drift(Trigger):
    """An alarm of a detector over the errors of the serving version, its predictions, or one of its features.

    Errors of a classifier are 0 and 1. Those of a regressor are measured by four times their mean over its first
    ``SCALED`` answers and end at 1, so that a detector of values between 0 and 1 can be told any of them.

    Examples
    --------
    >>> Drift("hddm", of="predictions").text
    'on drift of predictions by hddm'
    """

    kept = ("detector", "_scaled", "_scale")

    def __init__(self, by: str = "adwin", of: str = "errors", column: int = -1, classifier: bool = True) -> None:
        if by not in DETECTORS:
            raise ValueError(f"no detector {by!r} for a trigger; there are: {', '.join(DETECTORS)}")
        self.by = by
        self.of = of
        self.column = column
        self.classifier = classifier
        self.text = f"on drift of {of} by {by}"
        self.trained()

    def trained(self) -> None:
        self.detector = DETECTORS[self.by]()
        self._scaled = 0
        self._scale = 0.0

    def first(self, answers: Answers) -> tuple[int, str]:
        own = np.flatnonzero(answers.own)
        own, values = self._fed(answers, own)
        alarms = self.detector.push(values)
        hit = alarms[answers.loud[own[alarms]]]
        return (int(own[hit[0]]), self.text) if len(hit) else (len(answers.y), "")

    def _fed(self, answers: Answers, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of the answers a detector is told of, and what."""
        if self.column >= 0:
            return own, answers.X[own, self.column]
        y, prediction = answers.y[own], answers.predictions[own]
        if self.of == "predictions":
            return own, prediction
        if self.classifier:
            return own, ((y > 0.5) != (prediction > 0.5)).astype(float)
        errors = np.abs(y - prediction)
        scaling = errors[: max(SCALED - self._scaled, 0)].tolist()
        self._scaled += len(scaling)
        for error in scaling:
            self._scale += error / SCALED
        errors = errors[len(scaling) :] / (4 * self._scale) if self._scale else np.zeros(len(errors) - len(scaling))
        return own[len(scaling) :], np.minimum(errors, 1.0)
