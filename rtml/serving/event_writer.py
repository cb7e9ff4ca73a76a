"""New events over HTTP into the log: checked by the schema, each once, on the disk before they are acknowledged."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from rtml.core.later import pd
from rtml.serving.schemas import EventsReply, Refused, encode, invalid, shown
from rtml.serving.snapshot import iso
from rtml.serving.view import View
from rtml.sources.columns import Schema
from rtml.sources.records import schema_of
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART

MOST = 10_000  # events that may wait to be written
AT_ONCE = 1000  # events of a request
ID = "event_id"  # what a client calls an event
FULL = f"{MOST:,} events wait to be written: come again in a second"
_LONGEST = 200  # characters of an id
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}

#: Writes events with the id and digest of each; the log does not wait for the disk.
Write = Callable[[np.ndarray, Sequence[tuple[str | None, bytes]]], object]


class _Post(NamedTuple):
    """What one request brought."""

    rows: list[dict[str, Any]]
    clients: list[tuple[str | None, bytes]]
    durable: bool
    future: Future


class EventWriter:
    """Takes events of requests on any thread and writes them on its own, all that wait in one transaction.

    A request is written whole or refused whole. An event with an ``event_id`` counts once, however often it is sent,
    also after a restart; one that says something else under the same id is refused. An event without a time gets that
    of the service.

    Parameters
    ----------
    log
        That the learner follows.
    view
        Of the use case: what a row must hold, and the keys of the run.
    now
        Gives events without a time theirs, ns UTC.
    write
        Writes into the log and does what follows at once; :meth:`EventLog.append_posted` unless given.
    on_written
        Is called when events were written, such as to wake a learner.
    most
        Events that may wait; more are refused with 429.
    """

    def __init__(
        self,
        log: EventLog,
        view: View,
        now: Callable[[], int],
        write: Write | None = None,
        on_written: Callable[[], object] = lambda: None,
        most: int = MOST,
    ) -> None:
        self._schema, self._keys = view.schema or schema_of(view.config.case.event), view.config.symbols
        self._log, self._now = log, now
        self._most, self._waiting = most, 0
        self._write = write or (lambda rows, clients: log.append_posted(PART, rows, clients))
        self._on_written, self._posts = on_written, deque[_Post]()
        self._news, self._closing = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="rtml-events", daemon=True)
        self._thread.start()

    def send(self, query: bytes, body: bytes) -> Future[EventsReply]:
        """Take the events of a request; the future gives the reply, or the refusal, once they are where they belong."""
        durable, rows = read_durable(query), read_events(body, self._schema)
        clients = [(row.pop(ID, None), blake2b(encode(sorted(row.items())), digest_size=8).digest()) for row in rows]
        post = _Post(rows, clients, durable, Future())
        post.future.set_running_or_notify_cancel()  # what was taken is written, whoever stops waiting for it
        with self._news:
            if self._closing:
                raise Refused(503, "the endpoint is stopping: send the events again")
            if self._waiting + len(rows) > self._most:
                raise Refused(429, FULL)
            self._waiting += len(rows)
            self._posts.append(post)
            self._news.notify()
        return post.future

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._posts or self._closing)
                posts = list(self._posts)
                self._posts.clear()
            if not posts:
                return
            try:
                self._take(posts)
            except Exception as ex:
                why = Refused(503, f"the events could not be written: {type(ex).__name__}: {ex}")
                for post in posts:
                    if not post.future.done():
                        post.future.set_exception(why)
            with self._news:
                self._waiting -= sum(len(post.rows) for post in posts)

    def _take(self, posts: list[_Post]) -> None:
        """Judge, write and acknowledge what waits."""
        rows = self._timed(posts)
        self._schema.keep_names(frame := pd.DataFrame(rows, dtype=object), self._log)
        events, rejected = self._schema.accept(frame, self._keys)
        reasons = dict(zip(rejected.index.tolist(), rejected["reason"], strict=True))
        places = np.cumsum([place not in reasons for place in range(len(rows))]) - 1
        known = self._log.posted(PART, {id for post in posts for id, _ in post.clients if id is not None})
        chosen, clients, replies = [], [], []
        first = 0
        for post in posts:
            own = range(first, first + len(post.rows))
            first += len(post.rows)
            try:
                fresh = _fresh(post, own, reasons, known)
            except Refused as ex:
                post.future.set_exception(ex)
                continue
            chosen += [int(places[place]) for place in fresh]
            clients += [post.clients[place - own.start] for place in fresh]
            newest = iso(int(events["time"][places[fresh]].max())) if fresh else None
            replies.append((post, EventsReply(len(fresh), len(own) - len(fresh), newest, post.durable)))
        if chosen:
            self._write(events[chosen], clients)
            self._on_written()
        self._acknowledge(replies)

    def _timed(self, posts: list[_Post]) -> list[dict[str, Any]]:
        """The rows of requests, those without a time at this moment."""
        now = self._now()
        return [row | {"time": now} if row.get("time") is None else row for post in posts for row in post.rows]

    def _acknowledge(self, replies: list[tuple[_Post, EventsReply]]) -> None:
        """Tell those who do not wait for the disk, then the others once all of it is there."""
        for waits in (False, True):
            some = [(post, reply) for post, reply in replies if post.durable == waits]
            if waits and some:
                self._log.sync()
            for post, reply in some:
                post.future.set_result(reply)


def _fresh(post: _Post, own: range, reasons: dict[int, str], known: dict[str, bytes]) -> list[int]:
    """Places of a request's events that are not there yet, whose ids then are; a fault of one refuses them all."""
    fresh, added = [], {}
    for place, (id, content) in zip(own, post.clients, strict=True):
        name = f"events[{place - own.start}]"
        if place in reasons:
            raise Refused(422, f"{name}: {reasons[place]}; nothing was written", field=name, rule=reasons[place])
        before = None if id is None else added.get(id) or known.get(id)
        if before is None:
            fresh.append(place)
            added |= {id: content} if id is not None else {}
        elif before != content:
            raise Refused(409, f"{name}: event {shown(id)!r} was sent before with another content: nothing was written")
    known |= added
    return fresh


def read_events(body: bytes, schema: Schema) -> list[dict[str, Any]]:
    """The events of a body, one or a list, with the columns of a schema and no other.

    Examples
    --------
    >>> from rtml.usecases.crypto.schema import TRADES
    >>> read_events(b'{"symbol": "ETH-USD", "size": 1.5}', TRADES)
    [{'symbol': 'ETH-USD', 'size': 1.5}]
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as ex:
        raise Refused(422, f"the body is not JSON: {ex}") from ex
    rows = found if isinstance(found, list) else [found]
    if not 1 <= len(rows) <= AT_ONCE:
        raise invalid("events", f"must be an event or a list of 1 to {AT_ONCE}", len(rows))
    for place, row in enumerate(rows):
        name = f"events[{place}]"
        if not isinstance(row, dict):
            raise invalid(name, f"must be an object with {', '.join(schema.columns)}", row)
        if unknown := next((column for column in row if column not in schema.columns and column != ID), None):
            raise invalid(
                f"{name}.{shown(unknown)}", f"is no column; there are {', '.join(schema.columns)}, {ID}", None
            )
        id = row.get(ID)
        if id is not None and not (isinstance(id, str) and 0 < len(id) <= _LONGEST):
            raise invalid(f"{name}.{ID}", f"must be a text of 1 to {_LONGEST} characters", id)
    return rows


def read_durable(query: bytes) -> bool:
    """Whether a request waits for the disk: yes, unless its query says otherwise.

    Examples
    --------
    >>> read_durable(b""), read_durable(b"durable=false")
    (True, False)
    """
    found = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    value = found.pop("durable", "true")
    if found or value.lower() not in _TRUTHS:
        raise invalid("durable", "must be true or false, and nothing else may be asked", next(iter(found), value))
    return _TRUTHS[value.lower()]
