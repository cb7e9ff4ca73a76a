"""What served and why, and what happened, for the page: the registry's ledger and what watchers said in the journal."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from json import loads
from pathlib import Path

from rtml.core.clock import span, utc
from rtml.monitoring.alert_trigger import does_harm
from rtml.registry.ledger import decided_by
from rtml.registry.registry import Registry
from rtml.serving.schemas import without_paths
from rtml.serving.stream_schemas import Happened, Serving
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.database import exists

SHOWN = 8  # entries on the page
RECENT = span("1h")  # event time for which an alert that does harm is an alarm
_KEPT = 64  # alerts and decisions that are remembered
_DONE = {"promote": "promoted", "rollback": "rolled back"}
_EVENTS = ("refused", "given up", "recommended", "trigger")  # what the ledger does not know
_NUMBERS = ("gain", "gain_low", "gain_high", "share", "answers", "evidence", "needed")
_MS = 10**6


class History:
    """Reads on in a registry and a journal that this or another process writes.

    Parameters
    ----------
    registry, model
        Whose ledger it is.
    journal
        File of the training; it may appear later. Without it only the ledger is told.
    """

    def __init__(self, registry: Registry, model: str, journal: Path | None = None) -> None:
        self._registry = registry
        self._model = model
        self._journal = journal
        self._acts: deque = deque(maxlen=SHOWN + 1)
        self._events: deque[tuple[int, str, dict]] = deque(maxlen=_KEPT)  # at, kind, detail
        self._act_seq = 0
        self._seq = 0
        self._held = ""
        self._names: dict[str, str] = {}
        self.serving: Serving | None = None  #: what serves, since when and why

    def read(self) -> tuple[str, ...]:
        """Take note of what was entered and said since; gives what stands in the way, as a sentence."""
        try:
            self._read()
        except OSError as error:  # no file handle is left, or the disk fails
            return (without_paths(f"the history of the run cannot be read now: {error}"),)
        return ()

    def _read(self) -> None:
        fresh = self._registry.acts.behind(self._model, self._act_seq)
        if fresh:
            self._acts.extend(fresh)
            self._act_seq, self._held = fresh[-1].seq, self._registry.held(self._model)
            self.serving = self._serving_of(self._acts[-1])
        if self._journal is not None and exists(self._journal):
            with closing(CheckpointReader(self._journal)) as reading:
                rows = reading.history(self._seq)
            for seq, at, _, _, kind, detail in rows:
                self._seq = seq
                self._take(at, kind, loads(detail))

    def newest(self) -> list[Happened]:
        """The newest entries of both in one list, newest first."""
        events = [Happened(at // _MS, kind, "", d.get("version") or "", _text(kind, d)) for at, kind, d in self._events]
        acts = [self._entry(act) for act in list(self._acts)[-SHOWN:]]
        return sorted([*events, *acts], key=lambda entry: entry.at)[::-1][:SHOWN]

    def learner(self, version: str, since: int) -> Serving:
        """What serves where the ledger is empty: the learner of the run."""
        return Serving(version, since // _MS, "run", "it has learned every answer known so far", "", "", self._held)

    def alarms(self, now: int) -> list[str]:
        """Alerts that do harm and are recent at an event time, newest first."""
        recent = [(at, d) for at, kind, d in self._events if kind == "alert" and at > now - RECENT and does_harm(d)]
        return [f"{utc(at):%H:%M} {_text('alert', d)}" for at, d in reversed(recent)]

    def _take(self, at: int, kind: str, detail: dict) -> None:
        """Remember what the page tells: of alerts at one time the one of most harm, and what was measured since."""
        if kind in _EVENTS:
            self._events.append((at, kind, detail))
        if kind not in ("alert", "assessed"):
            return
        for before, what, known in self._events:
            if what == "alert" and known.get("number") == detail.get("number"):
                return known.update(detail)
            if (before, what) == (at, "alert"):
                worse = kind == "alert" and (detail.get("harm") or 0.0) > (known.get("harm") or 0.0)
                return known.update(detail) if worse else None
        if kind == "alert":
            self._events.append((at, kind, detail))

    def _entry(self, act) -> Happened:
        by = decided_by(act)
        why = act.why.removeprefix(f"{by}: ")
        return Happened(act.at // _MS, _DONE.get(act.action, act.action), by, self._name(act.version), why)

    def _serving_of(self, act) -> Serving:
        """The entry in force, with what was measured for it and what its version was learned from."""
        entry, acts = self._entry(act), list(self._acts)
        before = self._name(acts[-2].version) if len(acts) > 1 else ""
        about = {name: act.evidence.get(name) for name in _NUMBERS}
        learned = self._registry.get(act.version).learned
        return Serving(entry.version, entry.at, entry.by, entry.why, before, learned, self._held, **about)

    def _name(self, id: str) -> str:
        if id not in self._names:
            self._names[id] = self._registry.get(id).name
        return self._names[id]


def _text(kind: str, detail: dict) -> str:
    return str((detail.get("text") if kind == "alert" else detail.get("why")) or "")
