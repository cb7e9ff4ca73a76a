"""Model versions that never change: what each was made of, which one serves, since when and why.

The state of a version is a file named by its hash, its id the hash of its content and lineage. Times are event time,
ns UTC, so a replay of the same stream writes the same registry.
"""

from __future__ import annotations

from pathlib import Path

from rtml.core.clock import utc
from rtml.core.later import pd
from rtml.core.run_folder import plain
from rtml.registry.blobs import Blobs, TableBlobs
from rtml.registry.learners import LEARNER, is_learner, lineage_of
from rtml.registry.ledger import AUTOMATIC, CHAMPION, ROUTE, Ledger, decided_by
from rtml.registry.metadata import checked
from rtml.registry.tables import VERSION, Tables
from rtml.registry.versions import Version, Versions
from rtml.store.database import server
from rtml.store.protocols import without_password

FORMATS = ("flat", "pickle")


class Registry:
    """Versions, their lineage and the ledger of promotions, in one folder, or in a PostgreSQL database by its URL.

    A file ``registry.url`` beside the folder ``registry`` holds the URL of the database to use instead of it.

    A version is named by its id, by four or more first digits of it, as ``model@number`` or as ``model@champion``;
    ``model@learner`` stands in the ledger for the newest state of the learner, which is kept elsewhere, and
    ``model@learner:<lineage>`` for that of a challenger.
    Saving is idempotent and all or nothing: a process killed while saving leaves no half version.

    Examples
    --------
    >>> import tempfile
    >>> registry = Registry(tempfile.mkdtemp())
    >>> first = registry.save("eth", b"weights", at=10, features="f1")
    >>> registry.save("eth", b"weights", at=10, features="f1") == first
    True
    >>> second = registry.save("eth", b"better weights", parent=first, at=20, features="f1")
    >>> for version in (first, second):
    ...     _ = registry.promote("eth", version, "gate passed", at=version.at)
    >>> registry.champion("eth").name, registry.rollback("eth", "errors doubled", at=30).name
    ('eth@2', 'eth@1')
    >>> registry.load("eth@champion"), registry.served_at("eth", 25).name
    (b'weights', 'eth@2')
    """

    def __init__(self, path: str | Path):
        url = server(path)
        self.path = Path(without_password(url).partition("://")[2] if url else path)
        if not url:
            self.path.mkdir(parents=True, exist_ok=True)
        self._tables = Tables(url or self.path / "registry.db")
        self._versions = Versions(self._tables, TableBlobs(self._tables) if url else Blobs(self.path / "blobs"))
        self.acts = Ledger(self._tables)  #: the ledger's entries as they are, for the gate and the endpoint

    def save(
        self,
        model: str,
        state: bytes,
        *,
        at: int,
        features: str,
        parent: Version | str | None = None,
        data: dict | None = None,
        metrics: dict | None = None,
        format: str = "flat",
        describe: dict | None = None,
    ) -> Version:
        """Keep a state durably as a version; the same state with the same lineage is the same version.

        Parameters
        ----------
        model : name of the model, without "@".
        state : the state's bytes, as of ``checkpoint.dumps``.
        at : event time, ns UTC, at which the state was complete.
        features : hash of the feature definitions.
        parent : the version it was trained on from.
        data : what was learned since the parent: part, first_offset, last_offset, first_time, last_time.
        metrics, describe : recorded beside it, as given when it was first saved.
        format : "flat" for arrays, "pickle" where the state holds pickled objects.
        """
        _check(model, format)
        above = None if parent is None else self.get(parent.id if isinstance(parent, Version) else parent).id
        made = dict(model=model, at=int(at), format=format, features=features, data=data or {}, parent=above)
        made["data"], metrics, describe = checked(made["data"], metrics or {}, describe or {})
        return self.get(self._versions.add(state, dict(metrics=metrics, describe=describe), **made))

    def get(self, version: Version | str) -> Version:
        """Version of an id, an id's first digits, ``model@number`` or ``model@champion``."""
        if isinstance(version, Version):
            return version
        model, _, which = version.partition("@")
        if model and which == CHAMPION:
            return self.champion(model)
        if model and is_learner(version):
            return Version(version, model, 0, 0, None, "", "flat", "", {}, {}, {}, "", {})
        if model and which.isascii() and which.isdecimal() and len(which) < 19:
            found = self._versions.find(VERSION.c.model == model, VERSION.c.number == int(which))
        else:
            found = self._versions.find(VERSION.c.id.startswith(version, autoescape=True)) if len(version) >= 4 else []
        if len(found) != 1:
            raise LookupError(
                f"{'no' if not found else 'more than one'} version {version!r} in {self.path}; {self._have()}"
            )
        return found[0]

    def load(self, version: Version | str) -> bytes:
        """State of a version, refused when the state or what it came from is not what was saved."""
        return self._versions.state(self.get(version))

    def promote(self, model: str, version: Version | str, why: str, at: int, evidence: dict | None = None) -> Version:
        """Let a version serve from an event time on; promoting the champion changes nothing."""
        chosen = self.get(version)
        if chosen.model != model:
            raise ValueError(f"{chosen.name} is no version of {model!r}: promote it as {chosen.model!r}")
        self.acts.promote(model, chosen.id, at=int(at), why=why, evidence=plain(evidence or {}))
        return chosen

    def promoted(self, version: Version | str) -> bool:
        """Whether a version was ever promoted."""
        return self.acts.promoted(self.get(version).id)

    def rollback(self, model: str, why: str, at: int, evidence: dict | None = None) -> Version:
        """Let the champion before this one serve again; once more goes one further back, never forth.

        A person's rollback is not overridden: the gate only recommends until a person promotes something.
        """
        before = self.acts.rollback(model, at=int(at), why=why, evidence=plain(evidence or {}))
        if before is None:
            raise LookupError(f"no earlier champion of {model!r} to roll back to: promote a version; {self._have()}")
        return self.get(before)

    def held(self, model: str) -> str:
        """Why only a person may promote: a person took back what served. Empty where nothing is held."""
        decided = [entry for entry in self.acts.entries(model) if entry.action in ("promote", "rollback")]
        last = decided[-1] if decided else None
        if last is None or last.action != "rollback" or decided_by(last) in AUTOMATIC:
            return ""
        return f"{decided_by(last)} rolled back ({last.why}): until a person promotes, nothing is promoted"

    def champion(self, model: str) -> Version:
        """Version that serves now."""
        if (id := self.acts.serving(model)) is None:
            raise LookupError(f"no champion of {model!r}: run 04_online_train first (make run-04); {self._have()}")
        return self.get(id)

    def as_of(self, model: str, time: int) -> Version:
        """Version that answered at an event time."""
        return self.get(self.act_at(model, time).version)

    served_at = as_of

    def act_at(self, model: str, time: int):
        """Entry of the ledger that was in force at an event time: what served, since when, and why."""
        inside = [act for act in self.acts.entries(model) if act.at <= time]
        if not inside:
            raise LookupError(f"no champion of {model!r} at {utc(time).isoformat()}: see ledger({model!r})")
        return inside[-1]

    def iteration(self, version: Version | str) -> str:
        """Whether a version is a "model" iteration, with other features or another architecture, or a "data" one."""
        version = self.get(version)
        return _iteration(version, self.get(version.parent) if version.parent else None)

    def all(self, model: str) -> list[Version]:
        """Every version of a model, oldest first."""
        return self._versions.find(VERSION.c.model == model)

    def models(self) -> list[str]:
        """Names of the models that have versions."""
        return list(self._versions.newest())

    def kept(self, version: Version | str) -> bool:
        """Whether the state of a version is still there, and was not collected."""
        return self._versions.kept(self.get(version))

    def collect(self, model: str, keep: int = 20) -> list[Version]:
        """Drop the states of versions that never served, are in no test and not among the newest; their rows stay.

        What was dropped can be built again: :func:`rtml.training.rebuild.rebuild`.
        """
        used = {act.version for act in self.acts.entries(model)}
        for route in self.acts.behind(model, 0, ROUTE)[-1:]:
            used |= set(route.evidence["route"]["arms"])
        old = [v for v in self.all(model)[: -keep or None] if not {v.id, v.name} & used and self._versions.kept(v)]
        self._versions.drop(old)
        return old

    def put_back(self, version: Version | str, state: bytes) -> None:
        """Keep the state of a version again that was collected or lost; another state than its own is refused."""
        self._versions.put_back(self.get(version), state)

    def lineage(self, version: Version | str) -> list[Version]:
        """The version, its parent, and so on up to the root."""
        return self._versions.lineage(self.get(version).id)

    def versions(self, model: str) -> pd.DataFrame:
        """All versions of a model, oldest first, one column a metric."""
        found = self._versions.find(VERSION.c.model == model)
        numbers, by_id = {v.id: v.number for v in found}, {v.id: v for v in found}
        champion = self.acts.serving(model)
        rows = [
            {
                "number": version.number,
                "id": version.id,
                "parent": numbers.get(version.parent, 0),  # 0: a root
                "at": pd.Timestamp(version.at, tz="UTC"),
                "champion": version.id == champion,
                "iteration": _iteration(version, by_id.get(version.parent)),
                "rows": version.data.get("last_offset", 0) - version.data.get("first_offset", 1) + 1,
                **version.metrics,
            }
            for version in found
        ]
        return pd.DataFrame(
            rows, columns=None if rows else ["number", "id", "parent", "at", "champion", "iteration", "rows"]
        )

    def ledger(self, model: str) -> pd.DataFrame:
        """Every promotion, rollback and act of the guard, oldest first: what served from when on, and why.

        Learners have the number 0; a column ``lineage`` names the challenger where one serves.
        """
        numbers = {version.id: version.number for version in self._versions.find(VERSION.c.model == model)}
        rows = self.acts.entries(model)
        numbers |= {row.version: 0 for row in rows if is_learner(row.version)}
        before = [0, *(numbers[row.version] for row in rows)]  # 0: nothing served before
        entries = [
            {
                "at": pd.Timestamp(row.at, tz="UTC"),
                "action": row.action,
                "before": before[i],
                "number": numbers[row.version],
                "by": decided_by(row),
                "why": row.why,
                **({"lineage": one} if (one := lineage_of(row.version)) not in ("", LEARNER) else {}),
                **{name: value for name, value in row.evidence.items() if name not in ("by", "who")},
            }
            for i, row in enumerate(rows)
        ]
        return pd.DataFrame(entries, columns=None if rows else ["at", "action", "before", "number", "by", "why"])

    def close(self) -> None:
        """Close the database connections; the next call opens new ones."""
        self._tables.close()

    def _have(self) -> str:
        models = [f"{model}@1 to {model}@{newest}" for model, newest in self._versions.newest().items()]
        return f"it holds {', '.join(models)}" if models else "it holds no version yet"


def _iteration(version: Version, above: Version | None) -> str:
    """What changed since the parent: features or architecture ("model"), or only what was learned ("data")."""
    if above is None:
        return "model"
    before, now = ((v.features, v.describe.get("models")) for v in (above, version))
    return "data" if before == now else "model"


def _check(model: str, format: str) -> None:
    if not model or "@" in model:
        raise ValueError(f"a model's name is not empty and has no '@', got {model!r}: choose one such as 'eth-rls'")
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
