"""Online training: a flow that follows the log, learns every answer when it is known and saves a version every T.

A restart is no special case. Every commit holds all that the next step depends on, and every step starts from what
was committed, so a process killed anywhere ends with the same state, predictions, scores and versions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rtml import checkpoint
from rtml.clock import span, span_text
from rtml.flow import Flow, Outcome
from rtml.gate import Gate, gate
from rtml.outputs import bar_rows
from rtml.process import awaited, quitting, stopping
from rtml.recipe import PART, Recipe
from rtml.registry import Registry
from rtml.scoreboard import Scoreboard
from rtml.store.journal import Journal
from rtml.store.log import EventLog


@dataclass(frozen=True)
class Status:
    """Where the training stands: events done and there, the newest version, and the scores so far by target."""

    offset: int
    last: int
    version: str
    scores: dict[str, dict[str, float]]

    def __str__(self) -> str:
        mse = ", ".join(f"{target} {score['mse']:.3g}" for target, score in self.scores.items())
        return f"{self.offset:,} of {self.last:,} events, newest version {self.version or 'none'}, mse {mse}"


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
    every
        Event time between two versions, ns.
    publish
        "always" promotes every version, "never" none; a callable says why a version shall serve, or "".
    after, parent
        Offset of the log behind which a new training starts, and the version, if any, that its flow's state is of.
    chunk
        Events between two commits, at most.
    told
        Is told what each chunk led to before it is committed, so that whoever waits for a prediction has it at once.
        After a crash or an error it is told of the same bars again, with the same bits.
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
        publish: str | Gate = "always",
        after: int = 0,
        parent: str = "",
        chunk: int = 5000,
        told: Callable[[Outcome], object] = lambda outcome: None,
    ) -> None:
        self._flow, self._log, self._part, self._chunk, self._told = flow, log, part, chunk, told
        self._registry, self._model, self._every = registry, model_name, int(every)
        self._gate = gate(publish, self._every)
        self._journal = Journal(store_path, self._identity() | {"after": after, "every": span_text(self._every)})
        self._scoreboard, self._names, self._whole = Scoreboard(flow.learners, flow.targets), {"": ""}, True
        self._due, self._version, self._since = -1, parent, {}  # no event, nothing learned yet
        self.newest: Outcome | None = None  #: the last chunk that asked a question, for whoever serves
        self._journal.begin(after, self._checkpoint())
        self._restore()

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
        while len(rows := self._next(until_offset)):
            if rows["time"][0] >= self._due:
                self._save(int(rows["time"][0]))
            else:
                self._learn(rows[: np.append(rows["time"] >= self._due, True).argmax()], settle)
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

    def predictions(self, target: str = "return") -> pd.DataFrame:
        """Every question of a target: moment and known in ns UTC, the prediction, and y, NaN while unknown."""
        return self._journal.predictions(target)

    def close(self) -> None:
        """Close the store; the log and the registry are the caller's."""
        self._journal.close()

    def _next(self, until: int | None) -> np.ndarray:
        """Events not yet done, up to the next multiple of the chunk: a restart cuts where it would have been cut."""
        if not len(self._read):
            end = (self._offset // self._chunk + 1) * self._chunk
            n = min(end, end if until is None else until) - self._offset
            self._read = self._log.read(self._part, self._offset, max(n, 0))[1]
        if len(self._read) and self._due < 0:
            self._due = self._boundary(self._read["time"][0]) + self._every
        return self._read

    def _learn(self, rows: np.ndarray, settle: bool = True) -> None:
        """Push events, and commit everything they led to."""
        self._read = self._read[len(rows) :]
        outcome = self._flow.push(rows)
        self.newest = outcome if len(outcome.moment) else self.newest
        self._told(outcome)
        first = {"first_offset": self._offset + 1, "first_time": int(rows["time"][0]), "last_time": 0}
        self._since = self._since or first
        self._since["last_time"] = max(self._since["last_time"], int(rows["time"].max()))
        end, outputs = self._offset + len(rows), (*self._scoreboard.take(outcome), bar_rows(outcome))
        self._offset, self._ahead = end, not (settle or any(outputs) or end % self._chunk == 0)
        if not self._ahead:
            self._commit(end, *outputs)

    def _save(self, time: int) -> None:
        """Save a version of the state before the first event of a new period, let the gate decide, and commit.

        Killed before the commit it is done again: saving is idempotent, and what was promoted is not promoted again.
        """
        at = self._boundary(time)
        version = self._registry.save(
            self._model,
            self._flow.snapshot(),
            at=at,
            features=self._flow.features.definition,
            parent=self._version or None,
            data={"part": self._part, "last_offset": self._offset, **self._since},
            metrics=self._scoreboard.metrics(),
            format="pickle" if any(m.kind == "river" for m in self._models().values()) else "flat",
            describe={"models": {target: model.describe() for target, model in self._models().items()}},
        )
        if not self._registry.promoted(version) and (why := self._gate(version)):
            self._registry.promote(self._model, version, why, at)
        self._names[version.id] = version.name
        self._version, self._due, self._since = version.id, at + self._every, {}
        self._scoreboard.renew()
        self._commit(self._offset)

    def _commit(self, offset: int, asked=(), answered=(), bars=()) -> None:
        """Make the step durable, then go on from the very bytes that a restart would go on from."""
        self._offset, self._ahead = offset, False
        state = self._checkpoint()
        self._log.sync()  # a power cut must not leave a state of events that are gone
        self._journal.commit(offset, state, asked, answered, bars)
        self._load(state)

    def _restore(self) -> None:
        """Take up the last commit, whatever happened in memory since."""
        self._offset, self._read, self._ahead = self._journal.offset, np.empty(0), False
        if (last := self._log.last(self._part)) < self._offset:
            raise ValueError(
                f"{self._log.path} holds {self._part!r} up to offset {last}, but {self._journal.path} was trained up "
                f"to {self._offset}: it is another log, or was cut off; start a new run"
            )
        self._load(self._journal.state)

    def _checkpoint(self) -> bytes:
        """All that the next step depends on."""
        mine = {"due": self._due, "version": self._version, "since": self._since}
        return checkpoint.dumps(mine | {"flow": self._flow.state, "scoreboard": self._scoreboard.state})

    def _load(self, blob: bytes) -> None:
        state = checkpoint.loads(blob)
        self._flow.load(state["flow"])
        self._scoreboard.load(state["scoreboard"])
        self._due, self._version, self._since = state["due"], state["version"], state["since"]

    def _boundary(self, time: int) -> int:
        return int(time) // self._every * self._every

    def _models(self) -> dict:
        return {target: learner.model for target, learner in self._flow.learners.items()}

    def _identity(self) -> dict:
        """What must be the same when a store is taken up again."""
        models = {target: model.describe() for target, model in self._models().items()}
        where = {"part": self._part, "model": self._model, "models": models}
        return where | {"features": self._flow.features.definition}


def main(arguments: list[str] | None = None) -> None:
    """Train a run on its log: ``python -m rtml.training RUN_DIR``."""
    parser = argparse.ArgumentParser(prog="python -m rtml.training", description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path, help="folder of a run that holds recipe.json and events.db")
    parser.add_argument("--every", default="10m", help="event time between two versions, such as 10m")
    parser.add_argument("--model", default="champion", help="name of the model in the registry")
    parser.add_argument("--follow", action="store_true", help="go on with what arrives, until Ctrl-C or SIGTERM")
    chosen = parser.parse_args(arguments)
    folder = chosen.run_dir
    with stopping() as stop, quitting(parser.prog), ExitStack() as stack:
        recipe = Recipe.read(awaited(folder / "recipe.json", stop) if chosen.follow else folder / "recipe.json")
        log = stack.enter_context(EventLog(folder / "events.db"))
        registry = stack.enter_context(closing(Registry(folder / "registry")))
        places = (log, PART, folder / "training.db", registry, chosen.model)
        trainer = stack.enter_context(closing(Trainer(recipe.flow(), *places, span(chosen.every))))
        print(trainer.run(on_commit=print), flush=True)
        while chosen.follow and not stop.wait(0.05):
            trainer.run(on_commit=lambda status: print(status, flush=True))


if __name__ == "__main__":
    main()
