"""What the endpoint tells as it happens, and what it takes to change what serves."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from rtml.serving.schemas import invalid, refuse
from rtml.serving.sse import KEPT

STATES = ("starting", "backfilling", "live", "reconnecting", "stopped", "replay")  # of a source
_MS = Meta(description="event time, ms since 1970, UTC")
_BP = Meta(description="log return, basis points")
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Why = Annotated[str, Meta(min_length=3, max_length=400, description="for the ledger")]


class Score(Struct, frozen=True):
    """How good the predictions have been, beside no change."""

    r2_zero: Annotated[float | None, Meta(description="1 - squared error / that of no change; above 0 is better")]
    mae: Annotated[float | None, _BP]
    mae_zero: Annotated[float | None, Meta(description="mean absolute error of no change, basis points")]
    hit_rate: float | None
    answered: int
    asked: int
    coverage: Annotated[float, Meta(description="answered / asked")]


class Bar(Struct, frozen=True):
    """A closed bar, the prediction asked at its end, and the answer that it gave to an earlier one."""

    end: Annotated[int, _MS]
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    n: Annotated[int, Meta(description="trades")]
    empty: bool
    complete: bool
    prediction_bp: Annotated[float | None, _BP]
    low_bp: Annotated[float | None, _BP]
    high_bp: Annotated[float | None, _BP]
    p_up: float | None
    version: str
    y_bp: Annotated[float | None, Meta(description="what came true over the horizon that ends here, basis points")]
    predicted_bp: Annotated[float | None, Meta(description="what had been predicted for it, basis points")]
    score: Score
    lag_s: Annotated[float | None, Meta(description="wall time minus event time when it was published, seconds")]
    latency_ms: Annotated[float | None, Meta(description="trade received to prediction published")]


class Serving(Struct, frozen=True):
    """What serves, since when, why, and what was measured for it against what served before."""

    version: str
    at: Annotated[int, _MS]
    by: Annotated[str, Meta(description="the gate, or a person")]
    why: str
    before: Annotated[str, Meta(description="what served until then; empty where nothing did")]
    learned: Annotated[str, Meta(description="what it learned since its parent, such as log:events@1-20")]
    held: Annotated[str, Meta(description="why only a person may promote; empty where that is not so")]
    gain: Annotated[float | None, Meta(description="how much less squared error a question")] = None
    gain_low: Annotated[float | None, Meta(description="of a 95 % interval valid whenever one looks")] = None
    gain_high: float | None = None
    share: Annotated[float | None, Meta(description="gain as a share of the error of what served before")] = None
    answers: int | None = None
    evidence: Annotated[float | None, Meta(description="capital that the bets came to, to 1")] = None
    needed: float | None = None


class Happened(Struct, frozen=True):
    """A decision, a trigger or an alert."""

    at: Annotated[int, _MS]
    what: Annotated[str, Meta(description="promoted, rolled back, refused, given up, recommended, trigger, alert")]
    by: Annotated[str, Meta(description="who decided it; empty where that is plain")]
    version: str
    why: str


class Status(Struct, frozen=True):
    """What the source and the model are doing."""

    state: Annotated[str, Meta(description=", ".join(STATES))]
    source: str
    message: str
    alarms: list[str]
    version: str
    since: Annotated[int, _MS]
    trained_up_to: Annotated[int, _MS]
    serving: Serving | None = None
    happened: Annotated[list[Happened], Meta(description="the newest entries, newest first")] = []


class Bars(Struct, frozen=True):
    """The newest bars, oldest first, and the newest status: what a page starts with."""

    bars: list[Bar]
    status: Status | None


class PromoteRequest(Struct, forbid_unknown_fields=True):
    """Let a version serve; who and why go into the ledger."""

    version: Annotated[str, Meta(min_length=1, max_length=64, description="such as champion@3")]
    who: Word
    why: Why


class RollbackRequest(Struct, forbid_unknown_fields=True):
    """Let the version before serve again; who and why go into the ledger."""

    who: Word
    why: Why


class Promoted(Struct, frozen=True):
    """The version that serves now."""

    serving: str


class Act(Struct, frozen=True):
    """A promotion or a rollback: what served from then on, who decided it, and why."""

    at: Annotated[int, _MS]
    action: Annotated[str, Meta(description="promote or rollback")]
    version: str
    before: Annotated[str, Meta(description="what served until then; empty where nothing did")]
    by: Annotated[str, Meta(description="the gate, or a person")]
    why: str
    evidence: Annotated[dict, Meta(description="what the gate had seen: gain a question, its interval, and more")]


class Acts(Struct, frozen=True):
    """The ledger, oldest first; ``held`` says why only a person may promote, where that is so."""

    acts: list[Act]
    held: str


_promote, _rollback = msgspec.json.Decoder(PromoteRequest), msgspec.json.Decoder(RollbackRequest)


def read_promote(body: bytes) -> PromoteRequest:
    """Promotion of a JSON body."""
    return _read(_promote, body)


def read_rollback(body: bytes) -> RollbackRequest:
    """Rollback of a JSON body."""
    return _read(_rollback, body)


def _read(decoder: msgspec.json.Decoder, body: bytes):
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as ex:
        refuse(ex, body)


def read_number(query: bytes, name: str, default: int | None, highest: int) -> int | None:
    """The one whole number that a query may hold, from 0 to ``highest``.

    Examples
    --------
    >>> read_number(b"n=20", "n", 300, highest=1000), read_number(b"", "n", 300, highest=1000)
    (20, 300)
    """
    try:
        fields = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=8)
    except ValueError as ex:
        raise invalid("query", f"must be {name}=... in UTF-8", query.decode("utf-8", "replace")) from ex
    for field, value in fields:
        whole = value.isascii() and value.isdigit() and len(value) <= 19
        if field != name or len(fields) > 1:
            raise invalid("query", f"may hold {name} once, and nothing else", field)
        if not whole or int(value) > highest:
            raise invalid(name, f"must be a whole number from 0 to {highest}", value)
    return int(fields[0][1]) if fields else default


def read_bars(query: bytes) -> int:
    """How many bars are asked for."""
    return read_number(query, "n", 300, KEPT)


def read_moment(query: bytes) -> int | None:
    """The event time in ms that is asked about, if any."""
    return read_number(query, "at", None, 2**43)


def read_after(query: bytes, last_event_id: bytes) -> int | None:
    """The bar that a client saw last: as its browser tells it, or as its query does; a strange id is none."""
    if last_event_id.isdigit() and len(last_event_id) <= 19:
        return int(last_event_id)
    return read_number(query, "after", None, 2**63 - 1)
