"""What the endpoint takes and gives: messages, and refusals that name the field, the rule and what was got."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

BODY_LIMIT = 64 * 1024  # bytes of a request body
MANY_LIMIT = 64 * 1024 * 1024  # of one with many rows
SHOWN = 80  # characters of a refused value that are sent back

Key = Annotated[str, Meta(max_length=64, description="one of the run's keys", examples=["ETH-USD"])]


def _meta(description: str) -> Meta:
    return Meta(description=description)


class PredictRequest(Struct, forbid_unknown_fields=True):
    """Ask by key for what was predicted at its newest question, or with features of your own.

    Where a run has one key it may be left out.

    Examples
    --------
    >>> read(PredictRequest, b'{"features": {"spread": 1.5}, "unit": "user 7"}').features
    {'spread': 1.5}
    >>> read(PredictRequest, b'{"kee": "ETH-USD"}')
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: kee: is not a field of this request
    """

    key: Key | None = None
    symbol: Annotated[Key | None, _meta("another name for key")] = None
    features: Annotated[dict[str, float] | None, _meta("all that the models take, by name: see /models")] = None
    unit: Annotated[Key | None, _meta("who or what it is for, such as a user: says which arm of a test answers")] = None


class Prediction(Struct, frozen=True, gc=False):
    """What is expected, from which features, said by whom, and when the truth will be known.

    Examples
    --------
    >>> rest = ("run@3", 1200, 17, "2026-01-05T00:00:00+00:00", 12.5, 10.0, None)
    >>> Prediction("ab-1", "ETH-USD", Raw(b'{"rise":{"probability":0.6}}'), *rest).answers()
    {'rise': {'probability': 0.6}}
    """

    prediction_id: Annotated[str, _meta("to tell the answer with")]
    key: str
    predictions: Annotated[Raw, _meta("by target, the headline first: what follows from its kind")]
    version: Annotated[str, _meta("what answered")]
    offset: Annotated[int, _meta("events of the log that it had learned from")]
    question: Annotated[int | None, _meta("id of the stream's question; null for features of your own")]
    features_at: Annotated[str, _meta("event time of the features, ISO, UTC")]
    age_ms: Annotated[float, _meta("age of the features, milliseconds")]
    horizon_s: Annotated[float, _meta("seconds; 0 where answers come at a time of their own")]
    due_at: Annotated[str | None, _meta("when the truth is known, ISO, UTC; null where that is not known")]
    extra: Annotated[Raw | UnsetType, _meta("what the use case adds")] = UNSET
    ages_s: Annotated[dict[str, float] | UnsetType, _meta("age of each group of features, seconds")] = UNSET
    stale: Annotated[tuple[str, ...] | UnsetType, _meta("features older than their TTL")] = UNSET
    filled: Annotated[tuple[str, ...] | UnsetType, _meta("features in whose place a default or the last is")] = UNSET

    def answers(self) -> dict[str, dict]:
        """The predictions by target, decoded."""
        return msgspec.json.decode(self.predictions)


class GivenPrediction(Struct, frozen=True):
    """A prediction as it was logged."""

    prediction_id: str
    key: str
    version: str
    offset: int
    question: int | None
    y: Annotated[float | None, _meta("the answer that was told; null while there is none")]
    propensity: float
    latency_ns: int
    asked_at: str
    moment: str
    answered_at: str | None
    predictions: Annotated[dict[str, float | list[float]], _meta("by target")]
    features: dict[str, float]


class AnswerRequest(Struct, forbid_unknown_fields=True):
    """The true value of a prediction, once it is known.

    Examples
    --------
    >>> read(AnswerRequest, b'{"prediction_id": "ab-1", "y": 0.5}').y
    0.5
    >>> read(AnswerRequest, b'{"prediction_id": "ab-1"}')
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: y: is required
    """

    prediction_id: Annotated[str, Meta(min_length=1, max_length=64, description="as /predict gave it")]
    y: Annotated[float, _meta("what came true, in the unit of the prediction")]


class AnswerReply(Struct, frozen=True):
    """What became of an answer: joined the first time, repeated when it was told before."""

    prediction_id: str
    status: str


class EventsReply(Struct, frozen=True):
    """What became of posted events: on the disk, unless that was not asked for."""

    accepted: Annotated[int, _meta("events written")]
    repeated: Annotated[int, _meta("events whose event_id was there already, with the same content")]
    time: Annotated[str | None, _meta("event time of the newest one written, ISO, UTC")]
    durable: Annotated[bool, _meta("whether they survive a power cut")]


class Headline(Struct, frozen=True):
    """The score of what was served, of the first target: one number everywhere, and as it is written everywhere."""

    target: str
    metric: str
    value: float | None
    text: str
    answered: int
    asked: int
    against: str = ""  #: the baseline of this metric in words, such as "no change"


class Health(Struct, frozen=True):
    """Ready, or the reason why not."""

    ready: bool
    reason: Annotated[str, _meta("empty when ready")]
    uptime_s: float
    version: Annotated[str | None, _meta("that serves")]
    offset: Annotated[int, _meta("events of the log that it has learned from")]
    features_age_s: Annotated[dict[str, float], _meta("age of the newest features by key, seconds")]
    score: Annotated[Headline | None, _meta("of what was served")]
    waiting: Annotated[int, _meta("predictions not yet on disk")]


class TargetAbout(Struct, frozen=True):
    """What is predicted."""

    name: str
    kind: Annotated[str, _meta("number, probability, classes, ranking or anomaly")]
    unit: str
    classes: tuple[str, ...]


class Version(Struct, frozen=True):
    """What serves: the learner, or a version of it.

    Examples
    --------
    >>> target = TargetAbout("demand", "number", "USD", ())
    >>> about = (("ETH-USD",), ("spread",), 10.0, "2026-01-05T00:00:00+00:00")
    >>> encode(Models(Version("run@3", 9, [target], *about), [])).endswith(b'"lineage":[]}')
    True
    """

    version: str
    offset: Annotated[int, _meta("events of the log that it has learned from")]
    targets: Annotated[list[TargetAbout], _meta("what is predicted, the headline first")]
    keys: Annotated[tuple[str, ...], _meta("that can be asked for")]
    features: Annotated[tuple[str, ...], _meta("names, in the order of the models")]
    horizon_s: float
    trained_up_to: Annotated[str, _meta("event time, ISO, UTC")]


class Models(Struct, frozen=True):
    """What serves, and the versions it comes from, newest first."""

    serving: Version | None
    lineage: list[dict]


class Refusal(Struct, frozen=True):
    """Why a request was not served: a sentence; for bad input also the field, its rule and what was got.

    Examples
    --------
    >>> encode(Refusal("key: is required", field="key"))
    b'{"error":"key: is required","field":"key"}'
    >>> encode(Refusal("/srv/runs/live/events.db is missing"))
    b'{"error":"events.db is missing"}'
    """

    error: str
    field: str | UnsetType = UNSET
    rule: str | UnsetType = UNSET
    got: Any = UNSET

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "error", without_paths(self.error))


def without_paths(text: str) -> str:
    """A sentence with files by their names: where they lie is nothing for those who ask over the network.

    Examples
    --------
    >>> without_paths("/srv/data/runs/live/registry/blobs/ab12 is missing, see http://127.0.0.1:8000/docs")
    'ab12 is missing, see http://127.0.0.1:8000/docs'
    """
    return _FOLDERS.sub("", text)


class Refused(Exception):
    """A request that is answered with a status and a :class:`Refusal`.

    Examples
    --------
    >>> Refused(422, "key: is required", field="key").refusal.field
    'key'
    """

    def __init__(self, status: int, error: str, **about: Any) -> None:
        super().__init__(error)
        self.status = status
        self.refusal = Refusal(error, **about)


def invalid(field: str, rule: str, got: Any) -> Refused:
    """Refusal of a field that breaks a rule.

    Examples
    --------
    >>> raise invalid("y", "must be finite", "x" * 500)
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: y: must be finite
    >>> len(invalid("y", "must be finite", "x" * 500).refusal.got) <= SHOWN + 1
    True
    """
    return Refused(422, f"{field}: {rule}", field=field, rule=rule, got=shown(got))


#: The folders of an absolute path, which begins behind a blank, a quote or a bracket, as a route of ours does not.
_ROUTES = "predictions|models|answers|promote|rollback|events|questions"
_FOLDERS = re.compile(rf"""(?<![\w.:/])/(?!(?:{_ROUTES})\b)(?:[^\s/'":]+/)+""")
encode = msgspec.json.Encoder().encode
_decoder = cache(msgspec.json.Decoder)
Message = TypeVar("Message")
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `(.*?)`")


def read(kind: type[Message], body: bytes) -> Message:
    """A message of a JSON body, or the refusal that says which field broke which rule, and with what.

    Examples
    --------
    >>> read(PredictRequest, b'{"key": "ETH-USD"}').key
    'ETH-USD'
    >>> read(PredictRequest, b'{"key": 5}')
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: key: expected a text or null, got a whole number
    """
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as ex:
        text = str(ex)
        path = _PATH.search(text)
        named = _NAMED.search(text)
        field, got = _where(path[1] if path else named[1] if named else "body", body)
        raise invalid(field, _plain(_PATH.sub("", text)), got) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as ex:
        rule = "the body must be JSON in UTF-8"
        raise invalid("body", f"{rule} ({ex})", body.decode("utf-8", "replace")) from None


def predict_reader(names: tuple[str, ...]) -> Callable[[bytes], Any]:
    """What reads a :class:`PredictRequest` whose features are exactly these, in half the time; raises for any other.

    Its errors are for machines: what it refuses, :func:`read` and the service explain.

    Examples
    --------
    >>> read = predict_reader(("up", "down"))
    >>> msgspec.structs.astuple(read(b'{"features": {"down": 2, "up": 1.5}}').features)
    (1.5, 2.0)
    """
    columns = [(f"x{i}", float) for i in range(len(names))]
    renamed = {f"x{i}": name for i, name in enumerate(names)}
    features = msgspec.defstruct("Features", columns, rename=renamed, forbid_unknown_fields=True, gc=False)
    fields = [("key", Key | None, None), ("symbol", Key | None, None), ("features", features | None, None)]
    fields.append(("unit", Key | None, None))
    return msgspec.json.Decoder(msgspec.defstruct("Asked", fields, forbid_unknown_fields=True)).decode


def read_query(query: bytes) -> PredictRequest:
    """Request of a query string.

    Examples
    --------
    >>> read_query(b"key=ETH-USD").key
    'ETH-USD'
    """
    fields = query_fields(query, "key")
    for name, value in fields:
        if name not in ("key", "symbol", "unit"):
            raise invalid(shown(name), "is not a field of this request", value)
    if sum(name != "unit" for name, _ in fields) > 1:
        raise invalid("key", "is asked for once", [value for _, value in fields])
    return read(PredictRequest, encode(dict(fields)))


def query_fields(query: bytes, name: str) -> list[tuple[str, str]]:
    """Names and values of a query that should hold a field of this name.

    Examples
    --------
    >>> query_fields(b"key=ETH-USD&unit=", "key")
    [('key', 'ETH-USD'), ('unit', '')]
    """
    try:
        return parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=8)
    except ValueError as ex:
        raise invalid("query", f"must be {name}=... in UTF-8", query.decode("utf-8", "replace")) from ex


def shown(value: Any) -> Any:
    """A value short enough to send back.

    Examples
    --------
    >>> shown(7), shown([1, 2]), len(shown("x" * 10_000)) == SHOWN + 1
    (7, '[1, 2]', True)
    """
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _where(path: str, body: bytes) -> tuple[str, Any]:
    """Full name of the field, with the key inside ``features``, and what it held."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # what is nested deep is not sent back
        return path.removesuffix("[...]"), None
    if path == "body":
        return path, shown(value)
    head = path.removesuffix("[...]")
    value = value.get(head) if isinstance(value, dict) else None
    if path.endswith("[...]") and isinstance(value, dict):
        wrong = next((k for k, v in value.items() if isinstance(v, bool) or not isinstance(v, int | float)), None)
        return (f"{head}.{shown(wrong)}", shown(value[wrong])) if wrong is not None else (head, None)
    return shown(head), shown(value)


_WORDS = {
    "object": "an object",
    "array": "a list",
    "str": "a text",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "null": "null",
}


def _plain(text: str) -> str:
    """The rule in plain words.

    Examples
    --------
    >>> _plain("Expected `float | null`, got `str`"), _plain("Object missing required field `y`")
    ('expected a number or null, got a text', 'is required')
    """
    if text.startswith("Object missing"):
        return "is required"
    if text.startswith("Object contains unknown"):
        return "is not a field of this request"

    def words(match: re.Match) -> str:
        return " or ".join(_WORDS.get(kind, kind) for kind in match[1].split(" | "))

    text = re.sub(r"`([a-z |]+)`", words, text)
    return text[0].lower() + text[1:]
