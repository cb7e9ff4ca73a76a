"""What each store does, whatever system keeps it: one protocol a store, and opening one by its URL.

SQLite files are the default. ``redis://``, ``postgres://``, ``nats://`` and ``kafka://`` name servers, each in the
module of ``rtml/integrations`` that is called like the scheme; what is named ``module:attribute`` or
``file.py:attribute``, or installed as an entry point of ``rtml.stores``, is one of your own. Every implementation
passes the contract tests of ``tests/store/test_protocols.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote, urlsplit

from rtml.core.plugin import load
from rtml.core.run_folder import claim
from rtml.store.names import ENDING, Names

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SAME = {"postgresql": "postgres", "rediss": "redis"}  # schemes with a second name
_SERVERS = ("redis", "postgres", "nats", "kafka")


class EventLog(Protocol):
    """Parts of fixed-size records, each numbered 1, 2, 3, ... in order of arrival; nothing is ever taken out.

    An append is there whole or not at all, and once acknowledged outlives the death of writer and server. A consumer
    keeps its offset in the transaction of its own state (:class:`CheckpointStore`), so it misses nothing and sees
    nothing twice, and replays from any offset.
    """

    name: str  #: what messages call it, without a password
    names: Names | None  #: texts of ids, in the folder of the run

    def append(self, part: str, rows: np.ndarray, rejected: pd.DataFrame | None = None, durable: bool = True) -> int:
        """Write rows, and those rejected among them; the last offset of the part."""

    def sync(self) -> None:
        """Wait until everything that was appended is on the disk."""

    def read(self, part: str, after: int = 0, n: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and rows of the next ``n`` events behind an offset; both empty where there are none yet."""

    def quarantine(self, part: str, rejected: pd.DataFrame, after_offset: int) -> None:
        """Keep rejected rows (``reason``, ``row``) with the offset behind which they arrived."""

    def rejected(self, part: str) -> pd.DataFrame:
        """The quarantine of a part: ``after``, ``reason``, ``row``."""

    def refused(self, part: str) -> int:
        """Number of rows in the quarantine of a part."""

    def count(self, part: str) -> int:
        """Number of events in a part."""

    def last(self, part: str) -> int:
        """Offset of the newest event of a part, 0 when it has none."""

    def count_posted(self, part: str) -> int:
        """Number of events in a part that clients sent over HTTP, and no source."""

    def parts(self) -> list[str]:
        """Names of the parts, in the order in which they were begun."""

    def dtype(self, part: str) -> np.dtype:
        """Record type of a part."""

    def close(self) -> None:
        """Let go of the file or the connection."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_) -> None: ...


class CheckpointStore(Protocol):
    """What one consumer has done: offset, state and outputs, committed as one and fenced against a second consumer."""

    def begin(self, offset: int, state: bytes) -> None:
        """Commit the state to start from, unless there is progress already."""

    @property
    def offset(self) -> int:
        """Offset of the log up to which everything is done."""

    @property
    def state(self) -> bytes:
        """State at that offset."""

    def commit(self, offset: int, state: bytes, asked: Iterable[tuple], answered: Iterable[tuple]) -> None:
        """Store progress and outputs as one; refused where another process made progress meanwhile."""

    def predictions(self, target: str) -> pd.DataFrame:
        """Every prediction of a target with its answer."""

    def close(self) -> None:
        """Let go of it."""


class PredictionLog(Protocol):
    """What was predicted from which frozen features, and the answers that came later, joined by id once."""

    def define(self, version: str, names: tuple[str, ...], features: str = "", targets: Sequence = ()) -> None:
        """Keep what a version's features are called."""

    def append(self, *row, propensity: float = 1.0) -> str:
        """Hand over a prediction; its id, which is never given again."""

    def answer(self, id: int, y: float, at: int) -> Future:
        """Join an answer; the future gives "joined", "repeated", "unknown" or the ``y`` told before."""

    def answers(self, after: int = 0, n: int = 1000) -> list:
        """Answers behind a place, in the order they came."""

    def find(self, id: int) -> dict | None:
        """One prediction with what belongs to it."""

    def flush(self) -> None:
        """Wait until everything handed over is written."""

    def close(self) -> None:
        """Write what waits and let go of it."""


class OnlineStore(Protocol):
    """Latest values by group and key; newer ones are never overwritten by older, whoever writes in whatever order."""

    def declare(
        self, group: str, names: Sequence[str], *, ttl: Any, defaults: Any = None, definition: str = ""
    ) -> None:
        """Say what a group holds."""

    def put(self, group: str, key: int | str, moment: int, values, known: int | None = None) -> bool:
        """Store the values of a key; False when newer ones are there."""

    def put_many(
        self, group: str, keys, moments, values, known=None, *, definition: str = "", progress: tuple | None = None
    ) -> int:
        """Store many as one, with the ``(source, offset)`` they came from; the number that was not older."""

    def get(self, group: str, key: int | str, now: int) -> Any:
        """The values of a key with their ages."""

    def table(self, group: str, now: int) -> pd.DataFrame:
        """Every key of a group."""

    def progress(self, source: str) -> int:
        """Offset up to which a source was stored, 0 when it never was."""

    def close(self) -> None:
        """Let go of it."""


class RegistryTables(Protocol):
    """Transactions of SQLAlchemy on the tables of versions, lineage and promotions."""

    def write(self) -> AbstractContextManager[Any]:
        """A transaction that holds the only write lock from its start, kept whole or not at all."""

    def read(self) -> AbstractContextManager[Any]:
        """A consistent view that waits for no writer."""

    def close(self) -> None:
        """Let go of it."""


def open_log(url: str | Path) -> EventLog:
    """The event log at a URL; a path is a SQLite file.

    Parameters
    ----------
    url
        Path of a file, ``redis://HOST:PORT/0?log=NAME`` (likewise ``postgres``, ``nats``, ``kafka``), or a class of
        your own as ``module:attribute``, which is called with the text. A password that is not in it is taken from the
        environment variable RTML_PASSWORD.

    Raises
    ------
    LookupError
        Where nothing has this name.
    ConnectionError, PermissionError
        Where a server cannot be reached or refuses; it has been tried for 10 s.

    Examples
    --------
    >>> import tempfile
    >>> with open_log(Path(tempfile.mkdtemp()) / "events.db") as log:
    ...     log.last("events")
    0
    >>> open_log("carrier-pigeon://loft")
    Traceback (most recent call last):
    LookupError: no store 'carrier-pigeon'; there are: file, redis, postgres, nats, kafka; or name your own: \
module:attribute, path/to/file.py:attribute
    """
    return _opened("EventLog", url, "rtml.store.event_log")


def open_online(url: str | Path) -> OnlineStore:
    """The online store at a URL, see :func:`open_log`; ``file`` and ``redis`` ship.

    Examples
    --------
    >>> store = open_online(":memory:")
    >>> store.declare("card", ["spend"], ttl="1h")
    >>> store.put("card", 7, 10, [5.0]), store.put("card", 7, 9, [4.0])
    (True, False)
    """
    return _opened("OnlineStore", url, "rtml.store.online")


def open_predictions(url: str | Path, **how: Any) -> PredictionLog:
    """The prediction log at a URL, see :func:`open_log`; ``file`` and ``postgres`` ship.

    Examples
    --------
    >>> log = open_predictions(":memory:")
    >>> log.define("v1", ("a",))
    >>> log.append(0, 0, "north", "v1", 12, None, b"", 0.5, None, 900)
    '1-1'
    >>> log.close()
    """
    return _opened("PredictionLog", url, "rtml.store.prediction_log", **how)


def open_checkpoints(url: str | Path, identity: dict) -> CheckpointStore:
    """The checkpoint store of a consumer at a URL, see :func:`open_log`; ``file`` and ``postgres`` ship.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = open_checkpoints(Path(folder) / "training.db", {"part": "events"})
    ...     store.begin(offset=5, state=b"fresh")
    ...     store.offset, store.state
    (5, b'fresh')
    """
    return _opened("CheckpointStore", url, "rtml.store.checkpoint_store", identity=identity)


def open_database(url: str, tables: Sequence[str] = ()) -> Any:
    """What takes the statements of a SQLite file on a server; ``postgres`` ships."""
    return _opened("Database", url, "rtml.store.database", tables=tables)


def open_group(url: str | Path, group: str = "group", **how: Any) -> Any:
    """Membership in a consumer group of the log at a URL, see :class:`rtml.integrations.groups.Membership`."""
    return _opened("Leases", url, "rtml.integrations.groups", group=group, **how)


def run_log(run: Path, url: str = "") -> EventLog:
    """The event log of a run: at a URL, which its folder remembers, or else ``events.db`` in the folder.

    The password of a URL is not remembered: see RTML_PASSWORD. Without ``log=NAME`` the run's own name is used.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, run_log(Path(folder)) as log:
    ...     log.append("events", np.zeros(3, [("time", "<i8")])), Path(log.path).name
    (3, 'events.db')
    """
    kept, files = run / "log.url", run / "events.db"
    before = kept.read_text().strip() if kept.exists() else ""
    if not url:
        return _named(open_log(before or files), run)
    if "?" not in url and "://" in url:
        url += f"?log={quote(run.resolve().name, safe='')}"
    bare = without_password(url)
    if (before or files.exists()) and before != bare:
        raise ValueError(
            f"the log of {run.name} is {before or files.name}, got {bare}: name another RUN, or leave it out"
        )
    log = open_log(url)
    run.mkdir(parents=True, exist_ok=True)
    kept.write_text(bare)
    return _named(log, run)


def _named(log: EventLog, run: Path) -> EventLog:
    """The log with the texts of its ids in the run's folder, wherever the log itself is."""
    log.names = Names(run / f"events.db{ENDING}")
    return log


def run_stores(run: Path, url: str) -> None:
    """Let a run keep training, predictions and registry in a database: its folder remembers where.

    ``training.db.url``, ``predictions.db.url`` and ``registry.url`` stand for the files of these names. Hosts whose
    runs bear one name, or one ``log=NAME`` in the URL, share all three; a password is not remembered.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run_stores(Path(folder), "postgres://me:secret@host/ml?log=bikes")
    ...     (Path(folder) / "training.db.url").read_text()
    'postgres://me@host/ml?log=bikes-training'
    """
    if not url:
        return
    bare = without_password(url if "?" in url else f"{url}?log={quote(run.resolve().name, safe='')}")
    places = {run / name: f"{bare}-{name.partition('.')[0]}" for name in ("training.db", "predictions.db", "registry")}
    for path, place in places.items():
        kept = Path(f"{path}.url")
        before = kept.read_text().strip() if kept.exists() else path.name if path.exists() else place
        if before != place:
            raise ValueError(f"{run.name} keeps {path.name} in {before}, got {place}: name another RUN")
    claim(run)
    for path, place in places.items():
        Path(f"{path}.url").write_text(place)


def without_password(url: str) -> str:
    """A URL as it may be shown and written down.

    Examples
    --------
    >>> without_password("redis://me:secret@host:6379/0")
    'redis://me@host:6379/0'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username or ''}@{parts.netloc.rpartition('@')[2]}".lstrip("@")).geturl()


def with_password(url: str) -> str:
    """A URL with the password of RTML_PASSWORD, where it has none of its own.

    Examples
    --------
    >>> with_password("redis://me:secret@host:6379/0")
    'redis://me:secret@host:6379/0'
    """
    secret, parts = os.environ.get("RTML_PASSWORD", ""), urlsplit(url)
    if not secret or parts.password:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(secret, safe='')}@{host}").geturl()


def _opened(kind: str, url: str | Path, embedded: str, **how: Any) -> Any:
    text = str(url)
    scheme, colon, _ = text.partition("://")
    if not colon:
        name = text.partition("?")[0]
        own = ":" in name and not Path(text).exists() and name != ":memory:"
        return load(name if own else f"{embedded}:{kind}", {}, "stores")(text if own else url, **how)
    if scheme == "file":
        return load(f"{embedded}:{kind}", {}, "stores")(Path(text.removeprefix("file://")), **how)
    scheme = _SAME.get(scheme, scheme)
    module = f"rtml.integrations.{scheme}"
    if scheme not in _SERVERS or not find_spec(module):
        return load(scheme, dict.fromkeys(("file", *_SERVERS)), "stores")(text, **how)
    try:
        opens = load(f"{module}:{kind}", {}, "stores")
    except ModuleNotFoundError as ex:
        raise ModuleNotFoundError(f"{scheme} needs {ex.name}: pip install 'rtml[servers]'", name=ex.name) from ex
    return opens(with_password(text), **how)
