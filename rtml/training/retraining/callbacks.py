"""What models do of themselves, as events of the training: trained on a schedule, or taken out of service.

None of these callbacks has a state: what was not read yet is kept by the model.
"""

from __future__ import annotations

from collections.abc import Mapping

from rtml.core.callbacks import TrainingEvent
from rtml.core.state import Stateful
from rtml.models.per_key import PerKey
from rtml.registry.promotion.guard import Guarded


class RetrainingCallback(Stateful):
    """A watcher of learners whose models have a schedule (:class:`rtml.training.retraining.strategy.Strategy`).

    A model that a timer trained is ``trained``; one that drift, a falling performance or a rule trained is a
    ``trigger``, at which a version is saved at once and becomes a candidate. A trainer watches those it trains itself.
    """

    name = "schedule"

    def __init__(self, learners: Mapping) -> None:
        self._learners = learners

    def push(self, outcome) -> list[TrainingEvent]:
        """Every training since the last outcome, with its cause, in order of time."""
        events = [
            TrainingEvent(made.at, "trained" if _timed(made.cause) else "trigger", _detail(target, made))
            for target, learner in self._learners.items()
            for made in publications(learner.model)
        ]
        return sorted(events, key=lambda event: event.at)


class GuardCallback(Stateful):
    """Reports what the guards of a flow did: a fallback, a return of the learner, a reset."""

    name = "guard"

    def __init__(self, learners: Mapping) -> None:
        self._learners = learners

    def push(self, outcome) -> list[TrainingEvent]:
        """What every guard did since the last outcome, in order of time."""
        found = [
            TrainingEvent(event.at, event.kind, _of_guard(target, event))
            for target, learner in self._learners.items()
            for guard in guards(learner.model)
            for event in guard.events()
        ]
        return sorted(found, key=lambda event: event.at)


class Silenced(Stateful):
    """Reads what learners in shadow did of themselves, and says nothing of it: it changed nothing that serves."""

    name = "silenced"

    def __init__(self, flow) -> None:
        self._lineages = flow.lineages

    def push(self, outcome) -> list[TrainingEvent]:
        """Nothing."""
        for own in self._lineages.shadows.values():
            for shadow in own.values():
                publications(shadow.learner.model)
                for guard in guards(shadow.learner.model):
                    guard.events()
        return []


def publications(model) -> list:
    """What a model with a schedule published since the last look; nothing of any other.

    Examples
    --------
    >>> from rtml.training.learner import Learner
    >>> from rtml.training.retraining.strategy import build
    >>> learner = Learner(build("rls: stateful every 10s", ["x"]), ["x"])
    >>> for at in range(3):
    ...     _ = learner.ask(at, 6 * at * 10**9, [1.0]), learner.tell(at, 3.0, (6 * at + 1) * 10**9)
    >>> [(made.cause, made.samples) for made in publications(learner.model)], publications(learner.model)
    ([('every 10s', 2)], [])
    """
    return model.publications() if hasattr(model, "publications") else []


def guards(model) -> list[Guarded]:
    """The guards of a model: itself, or those of the models per key."""
    if isinstance(model, PerKey):
        return [guard for one in model.models.values() for guard in guards(one)]
    return [model] if isinstance(model, Guarded) else []


def _of_guard(target: str, event) -> dict:
    about = {"target": target, "why": event.why, "serves": event.serves}
    return about | {"evidence": float(event.evidence), "answers": int(event.answer)}


def _timed(cause: str) -> bool:
    return cause.startswith(("every ", "after ", "first ", "publish", "told", "history"))


def _detail(target: str, made) -> dict:
    return {"target": target, "why": made.cause, "how": made.kind, "samples": made.samples, "number": made.version}
