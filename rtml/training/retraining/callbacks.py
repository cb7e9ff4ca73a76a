"""RetrainingCallback: when and why a model that is trained on a schedule was trained, told among what happened."""

from __future__ import annotations

from collections.abc import Mapping

from rtml.core.callbacks import TrainingEvent


class RetrainingCallback:
    """A watcher of learners whose models have a schedule (:class:`rtml.training.retraining.strategy.Strategy`).

    A model that a timer trained is ``trained``; one that drift, a falling performance or a rule trained is a
    ``trigger``, at which a version is saved at once and becomes a candidate. A trainer watches those it trains itself.
    """

    name = "schedule"
    state: dict = {}  # noqa: RUF012, it has none: what was published and not yet told is the model's

    def __init__(self, learners: Mapping) -> None:
        self._models = {target: one.model for target, one in learners.items() if hasattr(one.model, "publications")}

    def push(self, outcome) -> list[TrainingEvent]:
        """Every training since the last outcome, with its cause, in order of time."""
        told = [
            TrainingEvent(made.at, "trained" if _timed(made.cause) else "trigger", _detail(target, made))
            for target, model in self._models.items()
            for made in model.publications()
        ]
        return sorted(told, key=lambda event: event.at)

    def load(self, state: dict) -> None:
        """Nothing to go on from."""


def _timed(cause: str) -> bool:
    return cause.startswith(("every ", "after ", "first ", "publish", "told", "history"))


def _detail(target: str, made) -> dict:
    return {"target": target, "why": made.cause, "how": made.kind, "samples": made.samples, "number": made.version}
