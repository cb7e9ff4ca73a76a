"""What an alert leads to: one that does harm is a trigger, at which a candidate is saved at once."""

from __future__ import annotations

from argparse import ArgumentParser

from rtml.core.callbacks import Callback, TrainingEvent
from rtml.core.clock import span
from rtml.monitoring.monitor import Monitor
from rtml.training.flow import Flow

HARM = 0.1  # least harm of an alert that counts, in units of the usual error
PUBLISH = ("learner", "gate", "recommend", "always", "never")


def monitoring_callbacks(flow: Flow) -> list[Callback]:
    """The watchers of a training that nobody looks at: a monitor of all that its flow predicts, whose alerts respond.

    In one process or three they are the same, so that both leave the same.
    """
    return [AlertTrigger(Monitor.of(flow))]


def add_publish(parser: ArgumentParser) -> None:
    """The option that says which versions serve."""
    says = (
        "what serves: the learner, or frozen versions: those that proved better in shadow, the same by hand, all, none"
    )
    parser.add_argument("--publish", choices=PUBLISH, default="learner", help=says)


def does_harm(alert: dict, least: float = HARM) -> bool:
    """Whether the detail of an alert tells of harm; a rising loss always does.

    Examples
    --------
    >>> does_harm({"what": "loss", "harm": None}), does_harm({"what": "features", "harm": 0.02})
    (True, False)
    """
    return alert.get("what") == "loss" or (alert.get("harm") or 0.0) >= least


class AlertTrigger:
    """A monitor whose alerts lead to something: one that does harm is a trigger, at which a version is saved at once.

    Parameters
    ----------
    monitor
        The watcher whose alerts are heard.
    harm
        Least harm of an alert, in units of the usual error; a rising loss always counts.
    cool_down
        Event time in which it triggers once.
    """

    def __init__(self, monitor: Callback, harm: float = HARM, cool_down: str = "30m") -> None:
        self.name, self._monitor, self._harm, self._pause = monitor.name, monitor, harm, span(cool_down)
        self._last = -self._pause

    def push(self, outcome) -> list[TrainingEvent]:
        """What the monitor says, each alert that does harm followed by a trigger."""
        said: list[TrainingEvent] = []
        for event in self._monitor.push(outcome):
            said.append(event)
            if event.kind == "alert" and does_harm(event.detail, self._harm) and self._may(event.at):
                self._last = event.at
                said.append(TrainingEvent(event.at, "trigger", {"why": self._why(event.detail)}))
        return said

    @property
    def state(self) -> dict:
        """The monitor's, and when it triggered last."""
        return {"monitor": self._monitor.state, "last": self._last}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        self._monitor.load(state["monitor"])
        self._last = state["last"]

    def _may(self, at: int) -> bool:
        return at >= self._last + self._pause

    def _why(self, alert: dict) -> str:
        target = f" of {alert['target']}" if alert.get("target") else ""
        return f"alert {alert.get('number')}: {alert.get('what')}{target} moved"
