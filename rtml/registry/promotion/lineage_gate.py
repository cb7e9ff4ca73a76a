"""The gate between learners: challengers that learn in shadow are compared with the one that serves, in rotation."""

from __future__ import annotations

from rtml.core.callbacks import TrainingEvent
from rtml.registry.learners import FORMER, FROM_THE_START, LEARNER, is_learner, learner_version, lineage_of
from rtml.registry.ledger import GATE
from rtml.registry.promotion.gate import Flow, Gate
from rtml.registry.promotion.rules import Rules
from rtml.registry.registry import Registry
from rtml.registry.versions import Version


class LineageGate(Gate):
    """A gate whose candidates are the challengers of a flow, one after the other, on every question.

    A challenger that loses less beyond doubt serves; the lineage before stays in shadow and is taken back where it was
    the better one. What a person promotes or rolls back counts, and is watched likewise. While a person lets a frozen
    version serve, nothing is compared. Snapshots that are saved are no candidates: the learner itself serves.

    Whoever drives the flow lets :attr:`serves` serve behind the event that decided; what else that event led to is not
    looked at, and whoever pushed it with others pushes it again, alone.

    Raises
    ------
    ValueError
        For a target whose prediction is several numbers.
    """

    def __init__(self, registry: Registry, model: str, flow: Flow, rules: Rules | None = None) -> None:
        self._flow = flow
        self._failed = []
        self._place = 0
        self._challenged = [name for name in flow.lineages.names if name != LEARNER]
        super().__init__(registry, model, flow, rules or Rules())

    @property
    def serves(self) -> tuple[str, str]:
        """Lineage that is to serve, and the one before it; those of the flow while a frozen version serves."""
        lineage, lineages = lineage_of(self._champion), self._flow.lineages
        if lineage in ("", lineages.serves):
            return lineages.serves, lineages.before
        return lineage, lineage_of(self._before)

    def push(self, outcome) -> list[TrainingEvent]:
        """Compare on what was asked and answered; the first question lets the first lineage serve."""
        events: list[TrainingEvent] = []
        if not len(outcome.id) + len(outcome.answered):
            return events
        at = min(outcome.moment.tolist()[:1] + outcome.known.tolist()[:1])
        self._follow_ledger(at, events)
        if not self._champion:
            self._decide(at, learner_version(self._model), FROM_THE_START, {}, events)
        elif self._comparison is None:
            self._next(at, events)
        return events + super().push(outcome)

    def saved(self, version: Version, cause: str) -> list[TrainingEvent]:
        """Nothing: a snapshot of what serves is no candidate."""
        return []

    @property
    def state(self) -> dict:
        """Everything the next outcome depends on, but what the registry keeps."""
        return super().state | {"failed": list(self._failed), "place": self._place}

    def load(self, state: dict) -> None:
        """Go on from a state; where another rule decided until now there is none, and it begins."""
        super().load(state)
        state = state or self._fresh
        self._failed, self._place = list(state["failed"]), state["place"]

    def _compared(self, flow: Flow) -> tuple[str, ...]:
        """Targets that challengers are of."""
        for target in flow.lineages.targets:
            if flow.targets[target].outputs > 1:
                raise ValueError(f"a prediction of {target!r} is several numbers, so challengers cannot be compared")
        return flow.lineages.targets

    @property
    def _over(self) -> bool:
        """Whether another lineage is to serve than predicted what is looked at."""
        return self.serves[0] != self._flow.lineages.serves

    def _ask(self, running, id: int, moment: int, row: int, outcome) -> None:
        if not self._over:
            super()._ask(running, id, moment, row, outcome)

    def _answer(self, known: int, id: int, answer: tuple, events: list[TrainingEvent]) -> None:
        if self._over:
            return
        if self._mirror is not None and self._mirror.sequential_test.failure:  # nothing to look back at any more
            self._failed.append(lineage_of(self._before))
            self._before = ""
            self._watch()
            self._next(known, events)
        super()._answer(known, id, answer, events)

    def _close(self, at: int, kind: str, why: str, events: list[TrainingEvent]) -> None:
        """End the comparison; a challenger that failed is not asked again."""
        if self._comparison.sequential_test.failure:
            self._failed.append(self._comparison.lineage)
        super()._close(at, kind, why, events)

    def _turn(self, at: int, champion: str, before: str, events: list[TrainingEvent], probation: bool = False) -> None:
        """Another lineage serves; one that cannot is taken back at once."""
        failure = self._flow.lineages.failure(lineage_of(champion)) if is_learner(champion) else ""
        if failure and len(self._registry.acts.entries(self._model)) > 1:
            why = f"{champion} cannot serve: {failure}"
            if not self._registry.acts.entered(self._model, action="rollback", at=at, why=why):
                self._registry.rollback(self._model, why, at, {"by": GATE})
            events.append(TrainingEvent(at, "rolled back", {"version": champion, "why": why}))
            return
        super()._turn(at, champion, before, events, probation)

    def _watch(self) -> None:
        """Look back at the lineage before, in shadow now; at a frozen version there is no looking back."""
        if not (is_learner(self._before) and is_learner(self._champion)):
            self._before, self._probation = "", False
        self._of = FORMER
        super()._watch()

    def _next(self, at: int, events: list[TrainingEvent]) -> None:
        """Let the next challenger of the rotation be the candidate; the lineage before is looked back at anyway."""
        self._waiting = ["", "", ""]
        left = [name for name in (LEARNER, *self._challenged) if name not in self._failed]
        left = [name for name in left if learner_version(self._model, name) not in (self._champion, self._before)]
        if self._comparison is None and not self._probation and left and is_learner(self._champion):
            lineage, self._place = left[self._place % len(left)], self._place + 1
            self._waiting = [learner_version(self._model, lineage), f"{lineage} learns in shadow", lineage]
        super()._next(at, events)
