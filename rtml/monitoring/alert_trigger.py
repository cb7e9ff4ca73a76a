"""Alerts as triggers: at one that does harm a candidate is saved at once."""

from __future__ import annotations

from rtml.core.callbacks import Callback, TrainingEvent
from rtml.core.clock import span
from rtml.core.state import Stateful
from rtml.monitoring.monitor import Monitor
from rtml.training.flow import Flow

PUBLISH = ("learner", "gate", "recommend", "always", "never")  # what may serve
COOL_DOWN = span("30m")  # event time in which there is one trigger at most
HARM = 0.1  # least harm of an alert that counts, in units of the usual error


def monitoring_callbacks(flow: Flow) -> list[Callback]:
    """The callbacks of an unattended training: a monitor of all its flow predicts, whose alerts are triggers.

    One process or three use the same ones, so that both leave the same results.
    """
    monitor = Monitor.of(flow)
    return [AlertTrigger(monitor)] if monitor.targets else []  # it watches predictions that are one number


def does_harm(alert: dict) -> bool:
    """Whether an alert reports harm, from its detail; a rising loss always does.

    Examples
    --------
    >>> does_harm({"what": "loss", "harm": None}), does_harm({"what": "features", "harm": 0.02})
    (True, False)
    """
    return alert.get("what") == "loss" or (alert.get("harm") or 0.0) >= HARM


class AlertTrigger(Stateful):
    """A monitor whose harmful alerts are triggers, at which a version is saved at once.

    Parameters
    ----------
    monitor
        The callback whose alerts are triggers.

    Examples
    --------
    >>> from rtml.core.callbacks import TrainingEvent
    >>> class Noisy:
    ...     name = "noisy"
    ...     push = staticmethod(lambda at: [TrainingEvent(at, "alert", {"what": "loss", "text": "the loss rose"})])
    >>> trigger = AlertTrigger(Noisy())
    >>> [[event.kind for event in trigger.push(at)] for at in (0, 10, 10**15)]
    [['alert', 'trigger'], ['alert'], ['alert', 'trigger']]
    """

    kept = ("_monitor", "_last")

    def __init__(self, monitor: Callback) -> None:
        self.name = monitor.name
        self._monitor = monitor
        self._last = -COOL_DOWN

    def push(self, outcome) -> list[TrainingEvent]:
        """Events of the monitor, each harmful alert followed by a trigger."""
        found: list[TrainingEvent] = []
        for event in self._monitor.push(outcome):
            found.append(event)
            if event.kind == "alert" and does_harm(event.detail) and event.at >= self._last + COOL_DOWN:
                self._last = event.at
                found.append(TrainingEvent(event.at, "trigger", {"why": self._why(event.detail)}))
        return found

    def _why(self, alert: dict) -> str:
        target = f" of {alert['target']}" if alert.get("target") else ""
        return f"alert {alert.get('number')}: {alert.get('what')}{target} moved"
