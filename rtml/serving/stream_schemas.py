"""What the endpoint tells as it happens, and what it takes to change what serves."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from rtml.serving.schemas import Headline, invalid, query_fields
from rtml.serving.sse import KEPT

STATES = ("starting", "backfilling", "live", "reconnecting", "stopped", "replay", "over")  # of a source
_MS = Meta(description="event time, ms since 1970, UTC")
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Why = Annotated[str, Meta(min_length=3, max_length=400, description="for the ledger")]


class ToldQuestion(Struct, frozen=True):
    """A question as it was answered, and the answers that came to its key up to then."""

    at: Annotated[int, _MS]
    key: str
    version: str
    predictions: Annotated[dict[str, dict], Meta(description="by target, the headline first, by the target's kind")]
    answers: Annotated[dict[str, dict], Meta(description="y and predicted of the newest answer, by target")]
    score: Annotated[Headline | None, Meta(description="of what was served so far")]
    lag_s: Annotated[float | None, Meta(description="wall time minus event time when it was published, seconds")]
    latency_ms: Annotated[float | None, Meta(description="event received to prediction published")]
    closed: Annotated[dict, Meta(description="what the use case's view shows of its records")]
    extra: Annotated[dict | None, Meta(description="what the use case adds to a prediction")] = None
    baseline: Annotated[float | None, Meta(description="score of the plainest baseline")] = None


class Serving(Struct, frozen=True):
    """What serves, since when, why, and what was measured for it against what served before."""

    version: str
    at: Annotated[int, _MS]
    by: Annotated[str, Meta(description="the gate, a person, or the run itself")]
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
    """What the source and the learner are doing, and how good what was served is."""

    state: Annotated[str, Meta(description=", ".join(STATES))]
    source: str
    message: str
    alarms: list[str]
    version: str
    since: Annotated[int, _MS]
    trained_up_to: Annotated[int, _MS]
    offset: Annotated[int, Meta(description="events of the log that are learned from")] = 0
    question: str = ""
    keys: list[str] = []
    headline: Headline | None = None
    scores: Annotated[
        dict[str, dict[str, dict]],
        Meta(description="of what was served; of the learner, frozen versions and the baseline where they differ"),
    ] = {}
    serving: Serving | None = None
    happened: Annotated[list[Happened], Meta(description="the newest entries, newest first")] = []


class Questions(Struct, frozen=True):
    """The newest questions, oldest first, and the newest status: what a page starts with."""

    questions: list[ToldQuestion]
    status: Status | None


class Quality(Struct, frozen=True):
    """Accuracy, drift, latency and features at one look."""

    headline: Annotated[Headline | None, Meta(description="accuracy of what was served so far")]
    latency: Annotated[dict[str, dict], Meta(description="p50 and p99 in ms, from the histograms of /metrics")]
    scores: Annotated[dict[str, dict[str, dict]], Meta(description="every score, as in the status")] = {}
    features: Annotated[list[dict], Meta(description="missing, stale, means, PSI and its limit, by feature")] = []
    reference: Annotated[int, Meta(description="first questions that drift is measured against; 0: not yet")] = 0
    window: Annotated[int, Meta(description="newest questions that are looked at")] = 0
    needed: Annotated[int, Meta(description="questions before drift is measured")] = 0


class PromoteRequest(Struct, forbid_unknown_fields=True):
    """Let a version serve, or the learner; who and why go into the ledger.

    Examples
    --------
    >>> from rtml.serving.schemas import read
    >>> read(PromoteRequest, b'{"version": "run@3", "who": "ann", "why": "better"}').version
    'run@3'
    >>> read(PromoteRequest, b'{"version": "run@3", "who": "ann"}')
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: why: is required
    """

    version: Annotated[str, Meta(min_length=1, max_length=64, description="such as crypto@3, or crypto@learner")]
    who: Word
    why: Why


class CandidateRequest(Struct, forbid_unknown_fields=True):
    """Let a pipeline with other features learn in shadow.

    Examples
    --------
    >>> from rtml.serving.schemas import read
    >>> read(CandidateRequest, b'{"name": "wide", "case": "wide_case", "who": "ann", "why": "more features"}').case
    'wide_case'
    """

    name: Annotated[str, Meta(min_length=1, max_length=32)]
    case: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$", description="use case of this name, in the run's own module")]
    who: Word
    why: Why


class CandidateAdded(Struct, frozen=True):
    """A candidate, and the features that it has and what serves has not."""

    name: str
    features: list[str]


class Candidate(Struct, frozen=True):
    """How a candidate does."""

    name: str
    serves: bool
    failure: Annotated[str, Meta(description="why it learns no more; empty where it does")]
    verdicts: Annotated[list[str], Meta(description="beside what serves, on the same questions, by target")]


class RollbackRequest(Struct, forbid_unknown_fields=True):
    """Let what served before serve again; who and why go into the ledger.

    Examples
    --------
    >>> from rtml.serving.schemas import read
    >>> read(RollbackRequest, b'{"who": "ann", "why": "no"}')
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: why: expected a text of length >= 3
    """

    who: Word
    why: Why


class RouteRequest(Struct, forbid_unknown_fields=True):
    """Say which versions answer whom; what is left out stays as it is, or as it usually is.

    Examples
    --------
    >>> RouteRequest("canary", "ann", "try it", {"run@3": 0.05}, steps=[0.2, 0.5]).about()
    {'steps': (0.2, 0.5)}
    """

    kind: Annotated[str, Meta(description="ab, canary or bandit; next step of a canary; stop an arm, or all")]
    who: Word
    why: Why
    arms: Annotated[dict[str, float], Meta(description="versions and their shares; champion: what serves")] = {}
    coverage: Annotated[float | None, Meta(description="share of the units that take part")] = None
    by: Annotated[str | None, Meta(description="unit or key: what says which arm answers")] = None
    steps: Annotated[list[float] | None, Meta(description="further shares of a canary")] = None
    after: Annotated[int | None, Meta(description="units that a canary answers before its next step")] = None
    policy: Annotated[str | None, Meta(description="of a bandit: thompson, ucb or exp3-ix")] = None
    discount: Annotated[float | None, Meta(description="of a bandit: weight of what is one answer older")] = None
    latency_ms: Annotated[float | None, Meta(description="a slower request counts as a failure")] = None
    promote: Annotated[bool | None, Meta(description="whether what is better is promoted without a person")] = None

    def about(self) -> dict:
        """What was given besides kind, arms, who and why."""
        names = self.__struct_fields__[4:]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return given | ({"steps": tuple(given["steps"])} if "steps" in given else {})


class Routed(Struct, frozen=True):
    """Which versions answer whom, and how well."""

    kind: str
    route: Annotated[str, Meta(description="in words")]
    test: Annotated[str, Meta(description="name of the test, the salt of its assignment; empty where none runs")]
    coverage: float
    by: str
    steps: list[float]
    advice: Annotated[str, Meta(description="what a person should do; empty where nothing is settled")]
    mismatch: Annotated[float, Meta(description="log evidence that units do not come in the shares that were set")]
    arms: Annotated[list[dict], Meta(description="what each was asked, how it was answered, its metrics and evidence")]
    entries: Annotated[list[dict], Meta(description="of the ledger, oldest first")]


class Promoted(Struct, frozen=True):
    """The version that serves now."""

    serving: str


class Act(Struct, frozen=True):
    """A promotion or a rollback: what served from then on, who decided it, and why."""

    at: Annotated[int, _MS]
    action: Annotated[str, Meta(description="promote or rollback")]
    version: str
    before: Annotated[str, Meta(description="what served until then; empty where nothing did")]
    by: Annotated[str, Meta(description="the gate, a person, or the run itself")]
    why: str
    evidence: Annotated[dict, Meta(description="what the gate had seen: gain a question, its interval, and more")]
    entered_at: Annotated[int | None, Meta(description="wall time of the entry, ms since 1970; at is event time")]


class Acts(Struct, frozen=True):
    """The ledger, oldest first; ``held`` says why only a person may promote, where that is so."""

    acts: list[Act]
    held: str
    versions: Annotated[list[dict], Meta(description="the newest: version, parent, event time learned up to (ms)")] = []


def read_number(query: bytes, name: str, default: int | None, highest: int) -> int | None:
    """The one whole number that a query may hold, from 0 to ``highest``.

    Examples
    --------
    >>> read_number(b"n=20", "n", 300, highest=1000), read_number(b"", "n", 300, highest=1000)
    (20, 300)
    """
    fields = query_fields(query, name)
    for field, value in fields:
        whole = value.isascii() and value.isdigit() and len(value) <= 19
        if field != name or len(fields) > 1:
            raise invalid("query", f"may hold {name} once, and nothing else", field)
        if not whole or int(value) > highest:
            raise invalid(name, f"must be a whole number from 0 to {highest}", value)
    return int(fields[0][1]) if fields else default


def read_count(query: bytes) -> int:
    """How many questions are asked for.

    Examples
    --------
    >>> read_count(b"n=20"), read_count(b"")
    (20, 300)
    >>> read_count(b"n=-1")
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: n: must be a whole number from 0 to 1000
    """
    return read_number(query, "n", 300, KEPT)


def read_moment(query: bytes) -> int | None:
    """The event time in ms that is asked about, if any.

    Examples
    --------
    >>> read_moment(b"at=1700000000000"), read_moment(b"")
    (1700000000000, None)
    """
    return read_number(query, "at", None, 2**43)


def read_after(query: bytes, last_event_id: bytes) -> int | None:
    """The question that a client saw last: as its browser tells it, or as its query does; a strange id is none.

    Examples
    --------
    >>> read_after(b"after=16", b"17"), read_after(b"after=16", b"strange"), read_after(b"", b"")
    (17, 16, None)
    """
    if last_event_id.isdigit() and len(last_event_id) <= 19:
        return int(last_event_id)
    return read_number(query, "after", None, 2**63 - 1)
