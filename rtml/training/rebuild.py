"""Build a version again from the log and its lineage: ``rtml rebuild RUN VERSION``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rtml.core import provenance
from rtml.core.state import digest
from rtml.registry.fingerprint import fingerprint
from rtml.registry.learners import LEARNER
from rtml.registry.registry import Registry
from rtml.registry.versions import Version
from rtml.store.protocols import EventLog, run_log
from rtml.training.flow import Flow
from rtml.training.run_config import PART, RunConfig

_AT_ONCE = 20_000  # events


@dataclass(frozen=True)
class Rebuilt:
    """A version, the state that the log led to again, and whether that is the same.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> version = SimpleNamespace(name="run@3", data={"last_offset": 1200}, format="flat", fingerprint="ab12")
    >>> print(Rebuilt(version, b"", "ab12", same_bytes=True, same_code=True))
    run@3 built again from 1,200 events: the same bytes, fingerprint ab12
    >>> Rebuilt(version, b"", "ab12", same_bytes=False, same_code=True).same
    False
    """

    version: Version
    state: bytes
    fingerprint: str
    same_bytes: bool
    same_code: bool

    @property
    def same(self) -> bool:
        """Whether it is the same version: to the last bit, or, of a river model's pickles, to the last prediction."""
        if self.version.format == "pickle":
            return self.fingerprint == self.version.fingerprint
        return self.same_bytes

    def __str__(self) -> str:
        name, events = self.version.name, self.version.data["last_offset"]
        what = "the same bytes" if self.same_bytes else "the same predictions" if self.same else "ANOTHER state"
        code = "" if self.same_code else "; saved by other code than this"
        return f"{name} built again from {events:,} events: {what}, fingerprint {self.fingerprint}{code}"


def rebuild(registry: Registry, log: EventLog, config: RunConfig, version: Version | str) -> Rebuilt:
    """Learn again what a version learned, from the first event of its oldest ancestor on.

    Parameters
    ----------
    registry, log : of the run.
    recipe : the run's; another one than the version was made of is refused.
    version : of any name; its state need not be there any more.

    Raises
    ------
    ValueError
        Where the log or the recipe cannot lead to it, with what is missing.
    """
    version, flow = registry.get(version), config.flow()
    serves = version.data.get("lineage", LEARNER)
    _check(registry.lineage(version), flow, serves)
    part, last = version.data["part"], version.data["last_offset"]
    if log.last(part) < last:
        raise ValueError(f"{version.name} learned {last:,} events of {part!r}, the log holds {log.last(part):,}")
    _pushed(flow, log, part, last)
    flow.lineages.serve(serves, "")  # every lineage learned the same all along, whichever served
    models = {target: learner.model for target, learner in flow.learners.items()}
    state, same_code = flow.snapshot(), version.code == provenance.code()
    mark = fingerprint(models, flow.features.names)
    return Rebuilt(version, state, mark, digest(state) == version.blob, same_code)


def resumed(flow: Flow, state: dict, log: EventLog, until: int) -> Flow:
    """A flow behind an offset: from a state that was kept there, or, for its challengers, from the first event on.

    ``state`` is of a flow without challengers, such as a backtest's. These have learned every answer too then, so that
    a version saved while one of them serves can be built again.
    """
    if flow.challenged:
        return _pushed(flow, log, PART, until)
    flow.load(state)
    return flow


def _pushed(flow: Flow, log: EventLog, part: str, last: int) -> Flow:
    """A flow that took the events of a log up to an offset."""
    after = 0
    while after < last:
        rows = log.read(part, after, min(_AT_ONCE, last - after))[1]
        flow.push(rows)
        after += len(rows)
    return flow


def _check(chain: list[Version], flow: Flow, serves: str) -> None:
    """Refuse a lineage that this log and recipe cannot lead to."""
    version, root = chain[0], chain[-1]
    known = serves in flow.lineages.names
    made = {name: flow.lineages.learner(serves, name).model.describe() for name in flow.learners if known}
    recorded = version.describe.get("models", made)
    if version.features != flow.features.definition or recorded != made:
        what = "features" if version.features != flow.features.definition else "models"
        raise ValueError(f"{version.name} was made of other {what} than this recipe: take the recipe of its run")
    expected = 1
    for one in chain[::-1]:
        if one.data.get("first_offset") != expected:
            raise ValueError(
                f"{one.name} learned {one.learned or 'nothing that was recorded'}, which does not go on from event "
                f"{expected - 1:,}: its lineage to {root.name} has a hole, so it cannot be built again"
            )
        expected = one.data["last_offset"] + 1


def rebuild_run(run: Path, version: str) -> int:
    """Build a version again and say whether it is the same; a state that was collected is put back.

    Parameters
    ----------
    run
        Folder of a run.
    version
        Its name, such as ``crypto@3``.

    Returns
    -------
    The exit code of ``rtml rebuild RUN VERSION``: 1 where it is another one.
    """
    config = RunConfig.read(run / "recipe.json")
    with run_log(run) as log, closing(Registry(run / "registry")) as registry:
        built = rebuild(registry, log, config, version)
        print(built)
        if built.same_bytes and not registry.kept(built.version):
            registry.put_back(built.version, built.state)
            print(f"its state was missing and is back in {registry.path.name}")
    return 0 if built.same else 1
