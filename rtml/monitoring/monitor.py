"""Alerts ranked by damage: what moved, what that does to the loss, and which features it comes from.

That something moved is no reason to act; most moves do no harm. So an alert states by how much the loss changes:
measured on answers where they have come, estimated from where the questions lie where they have not. Once enough
answers to questions asked after an alert have come, it is assessed again. Missing labels are no alarm: what is not
answered is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rtml.core.callbacks import TrainingEvent
from rtml.core.state import Stateful
from rtml.monitoring.alert_table import alert_text, ranked
from rtml.monitoring.drift.distance import Psi
from rtml.monitoring.drift.joint import Joint
from rtml.monitoring.label_buffer import Join, Joined
from rtml.monitoring.loss_monitor import ENOUGH, Losses

__all__ = ["Monitor", "alert_text", "ranked"]

ASSESSED = 100  # answers to later questions by which an alert is assessed
_HUGE = 1e150  # its square is still a number
_WAITING = 64  # alerts that wait to be assessed, at most
_PREDICTIONS = 0.4  # a learning model's predictions spread out as it learns: less of a move is no news


class Monitor(Stateful):
    """Watches the questions, predictions and losses of a flow; a callback for ``Trainer(..., callbacks=[monitor])``.

    Its events are ``alert`` and, when answers have come, ``assessed`` with the same number; :func:`ranked` makes a
    table of them. Each speaks of one target. ``what`` is ``loss`` (it rose), ``features`` or ``prediction`` (left the
    reference) or ``joint`` (the correlation of two features changed); ``damage`` the change of the mean squared error
    (of a probability: the Brier score) and ``basis`` how it is known; ``harm`` the same in units of the usual error;
    ``features`` the causes with their shares and ``moved`` what is away from its reference at that time.

    Parameters
    ----------
    names
        Names of the features.
    targets
        What each target learns from an answer; ``Monitor.of(flow)`` takes both from a flow.
    settle, reference, window
        Questions that are left out at the start, that make the reference, and that are compared with it.
    delta
        How sure it must be that the loss rose (see :class:`rtml.monitoring.drift.change.Adwin`).

    Examples
    --------
    >>> Monitor(["x1", "x2"], {"y": lambda y: y}).columns
    ('x1', 'x2', 'prediction of y')
    """

    kept = ("_moves", "_joint", "_losses", "_alerts")

    def __init__(
        self,
        names: Sequence[str],
        targets: Mapping[str, Callable],
        *,
        name: str = "monitor",
        settle: int = 500,
        reference: int = 1000,
        window: int = 500,
        delta: float = 0.0002,
    ) -> None:
        self.name = name
        self.targets = dict(targets)
        self._d = len(names)
        self.columns = (*names, *(f"prediction of {target}" for target in targets))
        self._moves = Psi(reference, window)
        if settle % self._moves.every or reference % self._moves.every:
            raise ValueError(
                f"settle and reference must be multiples of {self._moves.every}, got {settle} and {reference}"
            )
        self._joint, self._lately = Joint(reference, window, 2 * self._moves.every), 2 * ENOUGH
        self._join = Join(len(self.columns), len(self.targets), settle, reference)
        self._losses = [Losses(self._d, self._d + k, reference, window, delta) for k in range(len(self.targets))]
        self._alerts, self._waiting = 0, []  # alerts so far, and those that are to be assessed

    @classmethod
    def of(cls, flow, **how) -> Monitor:
        """A monitor of all that a flow predicts."""
        watched = [flow.targets[name] for name in flow.learners if not flow.label_of[name]]
        plain = {target.name: target.learned for target in watched if target.outputs == 1}
        return cls(flow.features.names, plain, **how)

    def push(self, outcome) -> list[TrainingEvent]:
        """Take what a chunk of events led to; any cutting of them gives the same events and state."""
        rows = np.column_stack([outcome.X, *(outcome.predictions[target] for target in self.targets)])
        if not np.isfinite(rows).all():  # a model that left the numbers is an alarm
            rows = np.nan_to_num(rows, nan=_HUGE, posinf=_HUGE, neginf=-_HUGE)
        answers, new_events = outcome.answers(0), []
        done = start = 0
        while start < len(rows):
            end = min(start + self._moves.every - self._join.asked % self._moves.every, len(rows))
            at, watched = int(outcome.moment[end - 1]), self._join.asked >= self._join.fixed_at
            self._ask(outcome.id[start:end], rows[start:end])
            part = slice(done, max(done, int(np.searchsorted(answers[2], at, side="left"))))
            new_events += self._answer(self._join.answered(*(column[part] for column in answers)))
            new_events += self._look(rows[start:end], at) if watched else []
            done, start = part.stop, end
        return new_events + self._answer(self._join.answered(*(column[done:] for column in answers)))

    @property
    def state(self) -> dict:
        """Everything the next outcome depends on."""
        waiting = [alert | {"losses": list(alert["losses"])} for alert in self._waiting]
        return super().state | {"join": self._join.state, "waiting": waiting}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        super().load(state)
        fixed = state["join"]["asked"] >= self._join.fixed_at
        self._join.load(state["join"], self._moves.bins if fixed else None)
        self._waiting = [alert | {"losses": list(alert["losses"])} for alert in state["waiting"]]

    def _ask(self, ids: np.ndarray, rows: np.ndarray) -> None:
        self._join.ask(ids, rows)
        if self._join.full:
            self._moves.freeze(self._join.kept)
            self._joint.freeze(self._join.kept[:, : self._d])
            for column in range(self._d, len(self.columns)):
                self._moves.at_least(column, _PREDICTIONS)
            self._answer(self._join.fix(self._moves.bins))  # all of the reference: no alert yet

    def _answer(self, joined: Joined | None) -> list[TrainingEvent]:
        """See whether the loss of a target rose, and assess earlier alerts."""
        found: list[tuple[int, int, str, dict]] = []
        if joined is None:
            return []
        for k, learned in enumerate(self.targets.values()):
            y = np.asarray(learned(joined.y), dtype=np.float64)
            here = ~np.isnan(y)
            number, codes, predicted, known = (
                c[here] for c in (joined.number, joined.codes, joined.predicted[:, k], joined.known)
            )
            found += [(int(known[i]), k, *event) for i, *event in self._assess(k, number, (y[here] - predicted) ** 2)]
            rises = self._losses[k].push(self._join.bins, codes, number, predicted, y[here])
            found += [(int(known[i]), k, "alert", self._risen(k)) for i in rises]
        return [self._event(at, kind, detail) for at, _, kind, detail in sorted(found, key=lambda one: one[:2])]

    def _look(self, rows: np.ndarray, at: int) -> list[TrainingEvent]:
        """See whether features or predictions left their reference, or each other."""
        self._moves.push(rows)
        self._joint.push(rows[:, : self._d])
        columns = [column for _, column, _ in self._moves.raised]
        found = [("features" if min(columns) < self._d else "prediction", columns)] if columns else []
        found += [("joint", [column for _, column, _ in self._joint.raised])] if self._joint.raised else []
        new_events = []
        for what, columns in found:
            for k in range(len(self.targets)):
                alert = self._moved(k, what, columns)
                if what == "prediction" and alert["damage"] is not None and alert["damage"] <= 0.0:
                    continue  # the model learns, and is the better for it
                new_events.append(self._event(at, "alert", alert))
                waits = {"target": k, "from": self._join.asked, "losses": [], "usual": self._losses[k].usual}
                self._waiting.append(waits | {"alert": new_events[-1].detail})
        self._waiting = self._waiting[-_WAITING:]
        return new_events

    def _event(self, at: int, kind: str, detail: dict) -> TrainingEvent:
        if kind == "alert":
            self._alerts += 1
        return TrainingEvent(at, kind, {"number": self._alerts} | detail)

    def _risen(self, k: int) -> dict:
        """The alert of a loss that rose, by the answers up to here."""
        losses, (damage, n) = self._losses[k], self._losses[k].risen()
        shares = losses.causes(self._join.bins, n)
        moved = [column for column in self._away() if column < self._d]
        if not shares.any():
            shares = self._shifts(k, moved)
        return self._detail(k, "loss", damage, "measured", n, shares, moved)

    def _moved(self, k: int, what: str, columns: list[int]) -> dict:
        """The alert of columns that moved: the damage is measured where answers have come, else estimated."""
        losses, away = self._losses[k], sorted({*columns, *self._away()})
        shares = self._shifts(k, columns)
        if what == "joint":  # neither moved: both take part alike
            shares, away = np.bincount(columns, minlength=self._d) / len(columns), self._away()
        damage, n = losses.since(self._join.asked - self._lately) if losses.settled else (None, 0)
        basis = "measured"
        if losses.settled and damage != damage:
            change, basis = losses.estimated(self._moves.lately(self._lately)), "estimated"
            damage = float(change[[column for column in away if column < self._d]].sum() + change[-1])
        return self._detail(k, what, damage, basis if losses.settled else "unknown", n, shares, away)

    def _assess(self, k: int, number: np.ndarray, loss: np.ndarray) -> list[tuple[int, str, dict]]:
        """Earlier alerts of which enough later answers are there now, and with which of these."""
        found = []
        for alert in [one for one in self._waiting if one["target"] == k]:
            later = np.flatnonzero(number >= alert["from"])[: ASSESSED - len(alert["losses"])]
            alert["losses"] += loss[later].tolist()
            if len(alert["losses"]) == ASSESSED:
                self._waiting.remove(alert)
                usual = alert["usual"]  # when it was raised
                if usual == usual:
                    damage = float(np.mean(alert["losses"]) - usual)
                    known = {
                        "damage": damage,
                        "harm": damage / usual if usual > 0 else 0.0,
                        "basis": "measured",
                        "answers": ASSESSED,
                    }
                    detail = alert["alert"] | known
                    found.append((int(later[-1]), "assessed", detail | {"text": alert_text(detail)}))
        return found

    def _away(self) -> list[int]:
        """Columns that are beyond their limit now."""
        return np.flatnonzero(self._moves.scores > self._moves.limits).tolist()

    def _shifts(self, k: int, columns: list[int]) -> np.ndarray:
        """Shares of the features in what their move does to the loss, or in the move where the loss is unknown."""
        shares, own = np.zeros(self._d), [column for column in columns if column < self._d]
        losses = self._losses[k]
        weight = np.abs(losses.estimated(self._moves.lately(self._lately))) if losses.settled else self._moves.scores
        shares[own] = np.nan_to_num(weight[own])
        return shares / shares.sum() if shares.sum() > 0 else shares

    def _detail(self, k: int, what: str, damage: float | None, basis: str, n: int, shares, away: list[int]) -> dict:
        top = [int(j) for j in np.argsort(-shares, kind="stable")[:5] if shares[j] >= 0.01]
        detail = {"target": list(self.targets)[k], "what": what, "damage": damage, "basis": basis, "answers": n}
        usual = self._losses[k].usual
        detail["harm"] = None if damage is None else damage / usual if usual > 0 else 0.0
        detail["features"] = {self.columns[j]: round(float(shares[j]), 3) for j in top}
        detail["moved"] = [self.columns[column] for column in away]
        return detail | {"text": alert_text(detail)}
