"""The guard: the learner serves as long as nothing shows that its checkpoint, or the baseline, is better.

A model that learns from every answer can be spoilt by one: labels may be wrong, a feature may break, a model may
diverge. The guard is a model around the learner, so that backtest, training and serving get it in the same way. It
compares the learner, question by question, with a checkpoint of itself and with the baseline, by the bets of
:mod:`rtml.kernels.betting`. The learner goes on learning while something else serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.state import dumps, loads
from rtml.kernels import guard as kernels
from rtml.models.compiled import compile, restore
from rtml.models.constant import Constant
from rtml.models.rows import check_state, predictions, replay

_NAMES = ("learner", "checkpoint", "baseline")
_OWN = slice(kernels.HEAD - 1, None)  # columns of a kept row that are the learner's
_RESET = -1
_KINDS = {kernels.RETURNED: "reinstated", _RESET: "reset"}
_SENTENCES = {
    kernels.WORSE_THAN_CHECKPOINT: "the learner's {loss} is higher than its checkpoint's: the {serves} serves",
    kernels.WORSE_THAN_BASELINE: "the learner's {loss} is higher than the baseline's: the {serves} serves",
    kernels.CHECKPOINT_WORSE: "the checkpoint's {loss} is higher than the baseline's: the {serves} serves",
    kernels.CHECKPOINT_BETTER: "the checkpoint's {loss} is lower than the baseline's: the {serves} serves",
    kernels.RETURNED: "the learner's {loss} is lower again than of what served: the {serves} serves",
    kernels.BROKE: "features are not finite: the baseline answers, and nothing is learned, as long as they are not",
    kernels.STANDS: "{feature} stands still: the {serves} answers with its mean instead, and nothing is learned",
    _RESET: "the learner's prediction is not finite: it begins again from its checkpoint",
}
_NOBODY = np.empty(0, np.int64)
_MOST = 10_000  # events kept until somebody takes them


class GuardEvent(NamedTuple):
    """What the guard did at an event time (ns): ``kind`` is "fallback", "reinstated" or "reset", ``why`` a sentence.

    ``evidence`` is the capital of the bets, from 1, and ``answer`` the number of the answer at which it came to that.

    Examples
    --------
    >>> event = GuardEvent(10, "fallback", "the checkpoint is better", "checkpoint", 25.0, 1200)
    >>> event.kind, event.serves
    ('fallback', 'checkpoint')
    """

    at: int
    kind: str
    why: str
    serves: str
    evidence: float
    answer: int


class Guarded:
    """A model that learns and serves, with a checkpoint and a baseline that take its place when they are better.

    Three predictions are made for every question, and compared once its answer is known, in the order in which answers
    come. When the evidence that the learner is worse reaches the bound, the checkpoint serves from the next question
    on, or the baseline where that is better. The learner returns when the reverse is shown. The checkpoint is renewed
    after every ``every`` answers learned, as long as nothing speaks against the learner. At once, without evidence:

    * a prediction that is not finite, or ``WILD`` times as far out as any answer yet, is not served;
    * a feature that keeps a new value ten times as long as any before, and for 30 questions at least, stands still:
      the checkpoint answers with the feature's mean in place, and nothing is learned, for 1,000 questions at most. At
      zero, and at the last four values at which it stood before, it may rest;
    * a row with a missing number never reaches the learner: the baseline answers, and nothing is learned from it;
    * an answer ``FAR`` times as far out as any before is not learned, unless 1,000 of them come;
    * a learner that is no longer finite begins again from the checkpoint.

    False alarms: where the learner is never worse, at most 5 % of streams ever fall back. It is exact for
    probabilities, and measured for numbers (``examples/guard.ipynb``).

    Cost of a true alarm: while the learner serves, the capital of every stake ``s`` (1.2, 0.4 and 4, which begin with
    the shares .8, .1 and .1) stays below ``105 j ** 1.5``, where ``j`` counts how often the evidence began anew. With
    ``u``, the difference of both squared errors in units of four times the noise's variance, the sum of ``log(1 + s
    u)`` since then stays below ``ln(105 j ** 1.5 / share)``. As long as ``|s u| < 1/2`` the learner loses at most ``(4
    noise / s) (ln(105 j ** 1.5 / share) + sum of (s u) ** 2)`` more than the other, and one question costs at most the
    square of ``WILD + 1`` times the farthest answer.

    What no test on answers can see: labels that are wrong for good are a change of the law like any other, and are
    learned. The guard bounds what they cost before, and what they cost once labels are right again.

    Parameters
    ----------
    model
        A river model, or what :func:`rtml.models.compiled.compile` gives for one; timed and with memory or without.
    names
        Names of the features, in the order of their columns.
    every
        Answers learned between two checkpoints.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> model = Guarded(RecursiveLeastSquares(ridge=1.0), ["a"])
    >>> kept = model.predict_at(np.ones(1), 100)
    >>> kept.tolist()  # served, checkpoint, baseline, learner
    [0.0, 0.0, 0.0, 0.0]
    >>> model.learn_at(np.ones(1), 3.0, kept, 100, 110)
    >>> round(model.predict(np.ones(1)), 2), model.serves
    (3.0, 'learner')
    """

    kind = "guarded"
    outputs = 1

    def __init__(self, model, names: Sequence[str], every: int = 1000) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 answer between two checkpoints, got {every}")
        self.model = model if hasattr(model, "replay") else compile(model, names)
        self.names = self.model.names
        self.classifier = self.model.classifier
        self.every = int(every)
        self._inner = 1 + getattr(self.model, "memory", 0)  # columns that the learner keeps
        self.memory = kernels.HEAD - 2 + self._inner
        self._timed, self._blank = hasattr(self.model, "learn_at"), np.full(1 + self.memory, np.nan)
        self._state, self._events = np.zeros(kernels.SIZE), []
        self._state[kernels.PROBABILITY] = float(self.classifier)
        self._state[kernels.NUMBERS : kernels.NUMBERS + 3] = 1.0
        self._save()

    @property
    def serves(self) -> str:
        """What answers the next question: "learner", "checkpoint" or "baseline"."""
        return _NAMES[int(self._state[kernels.SERVES])]

    def predict(self, x: np.ndarray) -> float:
        """Served prediction for a row, outside of the stream: nothing is kept, nothing changes."""
        kept, x, still = self._row(x, self._grown().copy())
        if kept[kernels.CHECKPOINT] == kept[kernels.CHECKPOINT] and still < 0:
            kept[kernels.HEAD - 1] = _number(self.model.predict(x))
        kernels.ask(self._state.copy(), kept)
        return float(kept[0])

    def predict_at(self, x: np.ndarray, moment: int) -> np.ndarray:
        """What is served for a question, followed by what is kept with it until its answer comes, (1 + memory,)."""
        self._state = self._grown()
        kept, x, still = self._row(x, self._state)
        checkpoint = kept[kernels.CHECKPOINT]
        if checkpoint == checkpoint and still < 0:
            own = self._own(x, moment)
            if abs(checkpoint) < kernels.HUGE and not abs(_first(own)) < kernels.HUGE:
                self._reset(moment)
                own = self._own(x, moment)
            kept[_OWN] = own
            kept[kernels.HEAD - 1] = _number(_first(own))
        if code := kernels.ask(self._state, kept):
            self._record(moment, code, kept)
        return kept

    def learn_at(self, x: np.ndarray, y: float, kept: np.ndarray, moment: int, known: int) -> None:
        """Compare the predictions of a question with its answer, and let the learner learn it."""
        if kept[kernels.CHECKPOINT] != kept[kernels.CHECKPOINT] or kept[kernels.HEAD - 1] <= kernels.MARK:
            return  # the row could not be predicted, or a feature stood still
        before = self._state[kernels.ANSWERS]
        if code := kernels.answer(self._state, kept, float(y)):
            self._record(known, code)
        if self._state[kernels.ANSWERS] == before:
            return
        if self._timed:
            own = kept[_OWN] if hasattr(self.model, "memory") else float(kept[kernels.HEAD - 1])
            self.model.learn_at(x, y, own, moment, known)
        else:
            self.model.learn(x, y)
        self._count(1)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """A chunk of questions of which none was asked before (see :meth:`replay_at`); what was served."""
        kept, done = self.replay_at(X, y, np.empty((0, 1 + self.memory)), moment, known, order, until)
        return np.ascontiguousarray(kept[:, 0]), done

    def replay_at(self, X, y, earlier, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask the last rows at their moments and take answers once known; ``earlier`` was kept with the rows before.

        The same as predicting and learning one by one, in stretches between two checkpoints.
        """
        waits, n = len(earlier), len(moment) - len(earlier)
        asked = moment[waits:]
        done = int(np.searchsorted(known[order], max(int(asked[-1]) - 1, until) if n else until, side="right"))
        kept = np.concatenate([earlier.reshape(waits, 1 + self.memory), np.full((n, 1 + self.memory), np.nan)])
        fine = np.isfinite(X).all(axis=1)
        fine[:waits] &= ~(earlier[:, kernels.HEAD - 1] <= kernels.MARK)
        X = np.array(X, order="C")
        self._state = self._grown()
        still = kernels.still(self._state, X[waits:], fine[waits:])
        stands = np.flatnonzero(still >= 0) + waits
        kept[stands, kernels.HEAD - 1], fine[stands] = kernels.MARK * (1.0 + still[still >= 0]), False
        rows = order[:done]
        rows = rows[np.isfinite(y[rows]) & fine[rows]]
        stream = _Stream(X, y, moment, known, rows, kernels.admitted(self._state.copy(), y, rows), fine, kept, waits)
        q = a = 0
        while q < n or a < len(rows):
            q, a = self._stretch(stream, q, a)
        return kept[waits:], done

    def events(self) -> list[GuardEvent]:
        """What the guard did since this was asked before."""
        events, self._events = self._events, []
        return events

    @property
    def samples(self) -> int:
        """Answers taken."""
        return int(self._state[kernels.ANSWERS])

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the learner."""
        return self.model.weights

    def describe(self) -> str:
        """The learner, and how often its checkpoint is renewed."""
        return f"{self.model.describe()} | Guarded(every={self.every})"

    @property
    def state(self) -> dict:
        """Everything the next prediction depends on; ``served`` alone is the state of the model that answers now."""
        parts = {"learner": self.model.state, "checkpoint": self._saved}
        baseline = Constant(self.names, kernels.baseline(self._state), classifier=self.classifier).state
        head = {"kind": self.kind, "names": list(self.names), "every": self.every, "guard": self._state.copy()}
        head["events"] = [list(event) for event in self._events]
        served = parts.pop(self.serves, baseline)
        return head | parts | {"served": served}

    def load(self, state: dict) -> None:
        """Go on from a state of a guard around the same model."""
        check_state(state, self.kind, self.names)
        if state["every"] != self.every:
            raise ValueError(f"the state has a checkpoint every {state['every']} answers, this guard {self.every}")
        self._state = np.array(state["guard"])
        self.model.load(state.get("learner", state["served"]))
        self._saved = state.get("checkpoint", state["served"])
        self._checkpoint.load(self._saved)
        self._events = [GuardEvent(*values) for values in state["events"]]

    def _save(self) -> None:
        """Make the learner as it is now the checkpoint, unless its weights are no numbers any more."""
        saved = loads(dumps(self.model.state))
        checkpoint = restore(saved)
        if abs(checkpoint.predict(np.zeros(len(self.names)))) < kernels.HUGE:
            self._saved, self._checkpoint = saved, checkpoint

    def _reset(self, moment: int) -> None:
        """Let the learner begin again from the checkpoint."""
        self.model.load(loads(dumps(self._saved)))
        self._record(moment, _RESET)

    def _grown(self) -> np.ndarray:
        """The state with what is known of each feature: it is there from the first question on."""
        if len(self._state) > kernels.SIZE:
            return self._state
        return np.concatenate([self._state, np.zeros(kernels.FIELDS * len(self.names))])

    def _row(self, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """What is kept with a row so far, the row that is predicted, and the feature that stands still, or -1."""
        kept, X = self._blank.copy(), np.array(x, dtype=np.float64).reshape(1, -1)
        fine, still = np.isfinite(X).all(axis=1), -1
        if fine[0]:
            still = int(kernels.still(state, X, fine)[0])
            kept[kernels.CHECKPOINT] = self._checkpoint.predict(X[0])
        if still >= 0:
            kept[kernels.HEAD - 1] = kernels.MARK * (1.0 + still)
        return kept, X[0], still

    def _own(self, x: np.ndarray, moment: int):
        """What the learner predicts, and what it keeps."""
        return self.model.predict_at(x, moment) if self._timed else self.model.predict(x)

    def _count(self, learned: int) -> None:
        """Renew the checkpoint when it is time, and nothing speaks against the learner."""
        self._state[kernels.SINCE] += learned
        if self._state[kernels.SINCE] >= self.every:
            self._state[kernels.SINCE] = 0.0
            if kernels.healthy(self._state):
                self._save()

    def _stretch(self, stream: _Stream, q: int, a: int) -> tuple[int, int]:
        """Questions and answers up to the next checkpoint, or up to a learner that is no longer finite."""
        asked = stream.moment[stream.waits :]
        learned = np.flatnonzero(stream.admitted[a:])
        left = self.every - int(self._state[kernels.SINCE])
        q_end, a_end = len(asked), len(stream.rows)
        if len(learned) >= left:
            a_end = a + int(learned[left - 1]) + 1
            q_end = int(np.searchsorted(asked, stream.known[stream.rows[a_end - 1]], side="right"))
        before = self.model.state
        failed = self._predict(stream, q, q_end, a, a_end)
        if failed is not None:
            q_end = failed
            a_end = a + int(np.searchsorted(stream.known[stream.rows[a:a_end]], asked[q_end], side="left"))
            self.model.load(before)
            self._predict(stream, q, q_end, a, a_end)
        self._compare(stream, q, q_end, a, a_end)
        self._count(int(stream.admitted[a:a_end].sum()))
        if failed is not None:
            self._reset(int(asked[q_end]))
        return q_end, a_end

    def _compare(self, stream: _Stream, q: int, q_end: int, a: int, a_end: int) -> None:
        """Choose what serves, question by question, and compare when answers come."""
        asked = np.ascontiguousarray(stream.moment[stream.waits :][:q_end])
        columns = (stream.kept, stream.y, asked, stream.known, stream.rows[:a_end])
        while q < q_end or a < a_end:
            q, a, code = kernels.replay(*columns, q, a, stream.waits, self._state)
            if code:
                at = asked[q - 1] if code >= kernels.BROKE else stream.known[stream.rows[a - 1]]
                self._record(int(at), code, stream.kept[stream.waits + q - 1])

    def _predict(self, stream: _Stream, q: int, q_end: int, a: int, a_end: int) -> int | None:
        """Predictions of learner and checkpoint for a part of the stream; the first that failed, if any."""
        new = slice(stream.waits + q, stream.waits + q_end)
        X, y, moment, known = (column[: new.stop] for column in stream[:4])
        learned, earlier = stream.rows[a:a_end][stream.admitted[a:a_end]], stream.kept[: new.start, _OWN]
        part, fine = stream.kept[new], slice(None)
        if (stands := part[:, kernels.HEAD - 1] <= kernels.MARK).any():
            part[stands, kernels.CHECKPOINT] = _frozen(self._checkpoint, X[new][stands])
        if not stream.fine[: new.stop].all():  # the learner never sees a row with a missing number
            kept, fine = stream.fine[: new.stop], stream.fine[new]
            X, y, moment, known = (column[kept] for column in (X, y, moment, known))
            learned, earlier = (np.cumsum(kept) - 1)[learned], earlier[kept[: new.start]]
        part[fine, _OWN] = self._replayed(X, y, earlier, moment, known, learned)
        part[fine, kernels.CHECKPOINT] = _frozen(self._checkpoint, X[len(earlier) :])
        failed = ~(np.abs(part[:, kernels.HEAD - 1]) < kernels.HUGE) & ~stands
        part[failed, kernels.HEAD - 1] = np.nan
        failed &= np.abs(part[:, kernels.CHECKPOINT]) < kernels.HUGE
        return q + int(np.argmax(failed)) if failed.any() else None

    def _replayed(self, X, y, earlier, moment, known, learned) -> np.ndarray:
        """What the learner predicts, and keeps, for the last rows, (m, columns); it learns."""
        kept = np.ascontiguousarray(earlier if hasattr(self.model, "memory") else earlier[:, 0])
        predicted, _ = replay(self.model, X, y, kept, moment, known, learned, NEVER)
        return predicted.reshape(len(moment) - len(earlier), self._inner)

    def _record(self, at: int, code: int, kept: np.ndarray | None = None) -> None:
        """Keep what happened, in a sentence, until somebody takes it."""
        evidence, needed = np.exp(np.minimum(self._state[[kernels.EVIDENCE, kernels.NEEDED]], 700.0)).tolist()
        loss = "Brier score" if self.classifier else "squared error"
        serves, feature = self.serves, ""
        if code == kernels.BROKE:
            serves = "baseline"
        elif code == kernels.STANDS and kept is not None:
            serves = "checkpoint" if serves == "learner" else serves
            feature = self.names[round(kept[kernels.HEAD - 1] / kernels.MARK) - 1]
        why = _SENTENCES[code].format(loss=loss, serves=serves, feature=feature)
        shown = code not in (kernels.BROKE, kernels.STANDS, _RESET)
        if shown:
            why += f" (evidence {evidence:,.3g} : 1, {needed:,.0f} : 1 needed)"
        event = GuardEvent(int(at), _KINDS.get(code, "fallback"), why, serves, evidence * shown, self.samples)
        self._events = [*self._events[1 - _MOST :], event]


class _Stream(NamedTuple):
    """A chunk: its columns, answers in the order known, which are learned, which rows are finite, what is kept."""

    X: np.ndarray
    y: np.ndarray
    moment: np.ndarray
    known: np.ndarray
    rows: np.ndarray
    admitted: np.ndarray
    fine: np.ndarray
    kept: np.ndarray
    waits: int


def _first(own) -> float:
    """The prediction of what a learner keeps."""
    return own if isinstance(own, float) else float(own[0])


def _number(p: float) -> float:
    """A prediction, NaN where it failed."""
    return p if abs(p) < kernels.HUGE else np.nan


def _frozen(model, X: np.ndarray) -> np.ndarray:
    """Predictions of a model that stays as it is."""
    if hasattr(model, "learn_at") or not hasattr(model, "replay"):
        return predictions(model, X)
    return model.replay(X, np.zeros(len(X)), np.zeros(len(X), np.int64), np.full(len(X), NEVER), _NOBODY, NEVER)[0]
