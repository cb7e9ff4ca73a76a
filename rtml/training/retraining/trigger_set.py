"""TriggerSet to train: several triggers as one, with a cool-down, and what each of them needs to know of an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtml.core.clock import span
from rtml.core.state import Stateful
from rtml.training.retraining.triggers import Answers, Trigger

_BEFORE = -(2**63)  # no version was trained yet


class TriggerSet(Stateful):
    """Triggers of which the first to fire counts.

    Parameters
    ----------
    triggers
        None of them for a model that is trained when it is told to.
    cooldown
        How long a condition (a rule or a drift) may not fire after a training: a span of event time or a number of
        answers; nothing unless given. Timers go on.
    """

    kept = ("number", "trained_number", "trained_at", "triggers")

    def __init__(self, triggers: Sequence[Trigger], cooldown: str = "") -> None:
        self.triggers = tuple(triggers)
        self._quiet_answers = int(cooldown) if cooldown.isdigit() else 0
        self._quiet_span = span(cooldown) if cooldown and not cooldown.isdigit() else 0
        self.number = self.trained_number = 0
        self.trained_at = _BEFORE

    @property
    def due(self) -> int:
        """The event time up to which no timer fires, ns."""
        return min(trigger.due for trigger in self.triggers)

    def tick(self, at: int) -> tuple[int, str] | None:
        """Let time come to an event at ``at``; the last moment at which a timer was due before it, and which."""
        due = [(when, trigger.text) for trigger in self.triggers if (when := trigger.tick(at)) is not None]
        return max(due, key=lambda d: d[0]) if due else None

    def first(self, X, y, predictions, moment, known) -> tuple[int, str]:
        """Place of the first answer at which something fires, and why; answers behind it are not counted."""
        n = len(y)
        number = self.number + 1 + np.arange(n)
        since, own = number - self.trained_number, moment > self.trained_at
        trained = self.trained_at > _BEFORE  # a condition judges a version that was trained
        age = known - self.trained_at if trained else np.zeros(n, np.int64)
        loud = (since > self._quiet_answers) & (age >= self._quiet_span) & trained
        answers = Answers(X, y, predictions, known, number, since, loud, own, age)
        place, cause = min((trigger.first(answers) for trigger in self.triggers), key=lambda hit: hit[0])
        self.number += min(place + 1, n)
        return place, cause

    def trained(self, at: int) -> None:
        """A version was trained at an event time: every trigger begins anew."""
        self.trained_at, self.trained_number = at, self.number
        for trigger in self.triggers:
            trigger.trained()
