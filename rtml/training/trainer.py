"""Online training: a flow that follows the log, learns every answer when it is known and saves a version every T.

A restart is no special case. Every commit holds all that the next step depends on, and every step starts from what
was committed, so a process killed anywhere ends with the same state, predictions, scores and versions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rtml.core import state as checkpoint
from rtml.core.callbacks import Callback, Callbacks, frame
from rtml.core.clock import span_text
from rtml.core.later import pd
from rtml.registry.learners import SERVES, is_learner, learner_version
from rtml.registry.ledger import GUARD
from rtml.registry.promotion.gate import Rule, gate
from rtml.registry.promotion.lineage_gate import LineageGate
from rtml.registry.registry import Registry
from rtml.store.checkpoint_store import CheckpointStore
from rtml.store.protocols import EventLog
from rtml.training.flow import Flow, Outcome
from rtml.training.outputs import Status, closed_rows, question_rows
from rtml.training.retraining.callbacks import GuardCallback, RetrainingCallback, Silenced
from rtml.training.scoreboard import Scoreboard
from rtml.training.versioning import identity, save

_NEAR = 32  # events that are tried first where the one that led to a version must be close


class Trainer:
    """Trains a flow on one part of the log.

    Parameters
    ----------
    flow
        Starts from the state it has when the store is new, otherwise from the store's.
    log, part
        Where the events come from.
    store_path
        File of the training's own offset, state and predictions.
    registry, model_name
        Where versions go.
    every, chunk
        Event time between two versions, ns, and events between two commits, at most.
    publish
        Which versions shall serve, see :func:`rtml.registry.promotion.gate.gate`: "gate", "recommend", "always",
        "never" or a rule.
    after, parent
        Offset of the log behind which a new training starts, and the version, if any, that its flow's state is of.
    on_outcome
        Gets what each chunk led to before it is committed; the same questions again after a crash, and where a version
        is saved before they are learned, with the same bits.
    callbacks
        Look at every outcome; what they say is committed with it, see :meth:`history`.
    save_on
        Kinds of events of callbacks at which a version is saved besides, of the state behind the very event of the log
        that led to it.
    """

    def __init__(
        self,
        flow: Flow,
        log: EventLog,
        part: str,
        store_path: str | Path,
        registry: Registry,
        model_name: str,
        every: int,
        *,
        publish: str | Rule = "always",
        after: int = 0,
        parent: str = "",
        chunk: int = 5000,
        on_outcome: Callable[[Outcome], object] = lambda outcome: None,
        callbacks: Sequence[Callback] = (),
        save_on: Sequence[str] = ("trigger",),
    ) -> None:
        self._flow, self._log, self._part, self._chunk, self._on_outcome = flow, log, part, chunk, on_outcome
        self._registry, self._model, self._every, self._scoreboard = registry, model_name, int(every), Scoreboard(flow)
        self._decides, self._publish = _deciding(publish, registry, model_name, flow, every), publish
        self._callbacks, self._save_on = _all(callbacks, flow, self._decides), frozenset([*save_on, SERVES])
        same = {"part": part, "model": model_name, "after": after, "every": span_text(self._every)}
        self._store = CheckpointStore(store_path, same | identity(flow))
        self._begin(after, parent)

    def run(
        self,
        until_offset: int | None = None,
        on_commit: Callable[[Status], object] = lambda status: None,
        *,
        settle: bool = True,
    ) -> Status:
        """Train on all that the log holds, or up to an offset; ``on_commit`` is told the status after every commit.

        Without ``settle`` only what leads to something, a bar, a question or an answer, is committed at once, so that
        nobody waits for the writing of a state; a restart takes the events behind it again, to the same bits.
        """
        if not self._whole:  # what is in memory is not what was committed: the last run was broken off
            self._restore()
        self._whole = False
        while self._cause or len(rows := self._next(until_offset)):
            if self._cause:
                self._save(self._since["last_time"] + 1, self._cause)
            elif rows["time"][0] >= self._due:
                if not settle:
                    self._foretell(rows)
                self._save(self._boundary(rows["time"][0]), f"every {span_text(self._every)}")
            else:
                self._learn(_before(rows, self._due), settle)
            if not self._ahead:
                on_commit(self.status())
        if settle and self._ahead:
            self._commit(self._offset)
        self._whole = True
        return self.status()

    def status(self) -> Status:
        """Where the training stands."""
        if self._version not in self._names:
            self._names[self._version] = self._registry.get(self._version).name
        last = self._log.last(self._part)
        return Status(self._offset, last, self._names[self._version], self._scoreboard.scores())

    def ignored(self) -> dict[str, int]:
        """Events that changed nothing, by reason, as far as the operator counts them; such as late, ahead."""
        return getattr(self._flow.operator, "counts", dict)()

    def predictions(self, target: str = "") -> pd.DataFrame:
        """Every question of a target, the first unless named: moment and known in ns UTC, prediction, y."""
        return self._store.predictions(target or next(iter(self._flow.targets)))

    def by_key(self, target: str = "") -> dict[int, dict[str, float]]:
        """Scores of a target, the first unless named, for each key by its place in the run's keys."""
        return self._scoreboard.by_key()[target or next(iter(self._flow.targets))]

    def history(self) -> pd.DataFrame:
        """What happened, in order of event time: at, who said it, kind, and a column a detail."""
        return frame(self._store.history())

    @property
    def serves(self) -> tuple[str, str]:
        """Lineage that serves, and the one before."""
        return self._flow.lineages.serves, self._flow.lineages.before

    def close(self) -> None:
        """Close the store; the log and the registry are the caller's."""
        self._store.close()

    def _begin(self, after: int, parent: str) -> None:
        """Take up what was committed, or commit what to start from: no event, nothing learned yet."""
        self._names = {"": ""}
        self._whole = True
        self._held = (0, np.empty(0))
        self._narrow = 0
        self._guilty = 0
        self._step = _NEAR
        self._due = -1
        self._version = parent
        self._since = {}
        self._cause = ""
        self.newest: Outcome | None = None  #: the last chunk that asked a question, for whoever serves
        self._store.begin(after, self._checkpoint())
        self._restore()

    def _next(self, until: int | None) -> np.ndarray:
        """Events not yet done, up to the next multiple of the chunk: a restart cuts where it would have been cut."""
        if not len(self._read):
            end = self._narrow or (self._offset // self._chunk + 1) * self._chunk
            n = min(end, end if until is None else until) - self._offset
            self._read = self._rows(max(n, 0))
        if len(self._read) and self._due < 0:
            self._due = self._boundary(self._read["time"][0]) + self._every
        return self._read

    def _rows(self, n: int) -> np.ndarray:
        """The next events, from the last ones read where they were among them."""
        first = self._offset - self._held[0]
        if not 0 <= first <= first + n <= len(self._held[1]):
            self._held, first = (self._offset, self._log.read(self._part, self._offset, n)[1]), 0
        return self._held[1][first : first + n]

    def _learn(self, rows: np.ndarray, settle: bool = True) -> None:
        """Push events, and commit everything they led to."""
        self._read, end = self._read[len(rows) :], self._offset + len(rows)
        alone = len(rows) == 1 or not self._flow.challenged  # of others a swap among them may be another's to predict
        outcome = self._flow.push(rows, self._on_outcome if alone else None)
        self.newest = outcome if len(outcome.moment) else self.newest
        new_events = [*self._callbacks.push(outcome), *self._swap(outcome)]
        at, self._cause = next(((at, kind) for at, *_, kind, _ in new_events if kind in self._save_on), (0, ""))
        if self._cause and len(rows) > 1:
            return self._undo(end, int((rows["time"] < at).argmin()))
        if not alone:
            self._on_outcome(outcome)
        first = {"first_offset": self._offset + 1, "first_time": int(rows["time"][0]), "last_time": 0}
        self._since = self._since or first
        self._since["last_time"] = max(self._since["last_time"], int(rows["time"].max()))
        outputs = (*self._scoreboard.take(outcome), question_rows(outcome), closed_rows(outcome), new_events)
        settle = settle or any(outputs) or end % self._chunk == 0 or end == self._narrow
        self._offset, self._ahead = end, not settle
        if settle:
            self._commit(end, *outputs)

    def _swap(self, outcome: Outcome) -> list[tuple]:
        """Let the lineage that was decided on serve from the next event on; what happened, as a row of the journal."""
        lineages, (serves, before) = self._flow.lineages, getattr(self._decides, "serves", ("", ""))
        if serves in ("", lineages.serves):
            return []
        lineages.serve(serves, before)
        at = max([*outcome.moment.tolist()[-1:], *outcome.known.tolist()])
        return [(at, 0, "trainer", SERVES, json.dumps({"lineage": serves, "before": before}, sort_keys=True))]

    def _foretell(self, rows: np.ndarray) -> None:
        """Tell what the next events lead to before the version of the state behind them is saved: nobody waits."""
        state, rows = self._checkpoint(), rows[:1] if self._flow.challenged else rows
        self._flow.push(_before(rows, self._boundary(rows["time"][0]) + self._every), self._on_outcome)
        self._load(state)

    def _undo(self, end: int, before: int) -> None:
        """Take the events since the last commit again, in ever fewer at once, until the one that did it stands alone.

        ``before`` of them are earlier than what happened: they come first, and the one looked for is close behind.
        """
        stretch = end - self._offset
        self._restore()
        self._guilty, self._step = end, _NEAR if before else max(min(self._step, stretch) // 4, 1)
        self._narrow = self._offset + (before or self._step)

    def _save(self, at: int, cause: str) -> None:
        """Save a version of the state before the next event, let the gate decide, and commit.

        Killed before the commit it is done again: saving is idempotent, and what was promoted is not promoted again.
        """
        data = {"part": self._part, "last_offset": self._offset, **self._since}
        if self._flow.challenged:
            data["lineage"] = self._flow.lineages.serves
        about = {"parent": self._version, "data": data, "metrics": self._scoreboard.metrics(), "cause": cause}
        version = save(self._registry, self._model, self._flow, at, **about)
        new_events = self._callbacks.saved(version, cause)
        self._names[version.id] = version.name
        self._due = self._due if self._cause else at + self._every
        self._version = version.id
        self._since = {}
        self._cause = ""
        self._scoreboard.renew()
        self._commit(self._offset, new_events=new_events)

    def _commit(self, offset: int, asked=(), answered=(), questions=(), closed=(), new_events=()) -> None:
        """Make the step durable, then go on from the very bytes that a restart would go on from."""
        self._offset = offset
        self._ahead = False
        self._narrow = 0
        if left := max(self._guilty - offset, 0):
            self._narrow = offset + max(min(self._step, left // 2), 1)
            self._step *= 2
        state = self._checkpoint()
        if acts := [event for event in new_events if event[2] == GuardCallback.name]:
            self._enter(acts)
        self._log.sync()  # a power cut must not leave a state of events that are gone
        self._store.commit(offset, state, asked, answered, questions, closed, new_events)
        self._load(state)

    def _enter(self, acts: Sequence[tuple]) -> None:
        """Enter what the guard did into the ledger, where it is the learner that serves."""
        default = learner_version(self._model) if self._publish == "learner" else ""  # what an empty ledger means
        if is_learner(self._registry.acts.serving(self._model) or default):
            for at, _, _, kind, detail in acts:
                about = json.loads(detail)
                self._registry.acts.note(self._model, kind, at, about.pop("why"), {"by": GUARD} | about)

    def _restore(self) -> None:
        """Take up the last commit, whatever happened in memory since."""
        self._offset = self._store.offset
        self._read = np.empty(0)
        self._ahead = False
        if (last := self._log.last(self._part)) < self._offset:
            raise ValueError(
                f"{self._log.name} holds {self._part!r} up to offset {last}, but {self._store.path} was trained up "
                f"to {self._offset}: it is another log, or was cut off; start a new run"
            )
        self._load(self._store.state)

    def _checkpoint(self) -> bytes:
        """All that the next step depends on."""
        mine = {"due": self._due, "version": self._version, "since": self._since, "cause": self._cause}
        return checkpoint.dumps(mine | {name: part.state for name, part in self._parts().items()})

    def _load(self, blob: bytes) -> None:
        state = checkpoint.loads(blob)
        for name, part in self._parts().items():
            part.load(state[name])
        self._due, self._version, self._since, self._cause = (state[n] for n in ("due", "version", "since", "cause"))

    def _parts(self) -> dict:
        """What has a state of its own, by its name in the checkpoint."""
        return {"flow": self._flow, "scoreboard": self._scoreboard, "watchers": self._callbacks}

    def _boundary(self, time: int) -> int:
        return int(time) // self._every * self._every


def _deciding(publish: str | Rule, registry: Registry, model: str, flow: Flow, every: int) -> Callback:
    """What decides what serves: between learners where there are challengers."""
    if not flow.challenged:
        return gate(publish, registry, model, flow, every)
    if publish != "learner":
        raise ValueError(f"challengers are compared with the learner, so publish is 'learner', got {publish!r}")
    return LineageGate(registry, model, flow)


def _all(callbacks: Sequence[Callback], flow: Flow, decides: Callback) -> Callbacks:
    own = [
        RetrainingCallback(flow.learners),
        GuardCallback(flow.learners),
        *([Silenced(flow)] if flow.challenged else []),
    ]
    return Callbacks([*own, *callbacks, decides])


def _before(rows: np.ndarray, time: int) -> np.ndarray:
    """The first rows, up to one that has come to a time, but one at least."""
    if len(rows) == 1:
        return rows
    return rows[: np.append(rows["time"] >= time, True).argmax()]
