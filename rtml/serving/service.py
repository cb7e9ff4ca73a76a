"""The service behind the endpoint: what was predicted for each key, the published models, the log of what was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from json import loads
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import DecodeError
from msgspec.structs import astuple

from rtml.core.clock import Clock, utc
from rtml.serving.answers import by_target, finite
from rtml.serving.freshness import Served
from rtml.serving.schemas import (
    Headline,
    Health,
    Prediction,
    PredictRequest,
    Refused,
    encode,
    invalid,
    read,
    shown,
    without_paths,
)
from rtml.serving.snapshot import Question, Serving, Snapshot
from rtml.serving.sse import Stream
from rtml.store.prediction_log import PredictionLog
from rtml.store.prediction_tables import Answered, id_number, numbers

if TYPE_CHECKING:
    from rtml.serving.router import Choice, Router

NO_MODEL = "nothing serves yet: run 04_online_train first (make run-04), or follow a stream (rtml live)"


class Service:
    """Answers what was predicted for the newest question of a key, and requests with features of their own.

    Any thread may call it. What is published takes over by one assignment: a request uses the old or the new one, never
    a mixture, and none waits.

    Parameters
    ----------
    path
        The prediction log, a SQLite file; ``":memory:"`` keeps nothing.
    clock
        Read for the age of features and for when something was asked; a replay passes a
        :class:`rtml.serving.snapshot.StreamClock`, so that ages are those of event time.

    Examples
    --------
    >>> service = Service(":memory:")
    >>> service.predict("ETH-USD")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: nothing serves yet: run 04_online_train first...
    >>> service.health().ready
    False
    """

    def __init__(self, path: str | Path = ":memory:", clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._serving: Serving | None = None
        self._newest: dict[str, Question] = {}
        self._defined: set[str] = set()
        self._started = self.clock.elapsed()
        self.log = PredictionLog(path, started=self.clock.now())
        self.stream = Stream()
        self.router: Router | None = None  #: says which version answers whom, where several do
        self.headline: Headline | None = None  #: the score of what was served
        self.ignored: Callable[[], dict[str, int]] = dict  #: events that changed nothing, by reason
        self.gauges: Callable[[], Iterable[tuple]] = tuple  #: version, target, key, metric and value of every score
        self.quality: Callable[[], dict] = dict  #: scores of what was served, and the quality of its features
        self.table: Callable[[], Any] = lambda: None  #: what was served, an Arrow table; None where nothing was

    @property
    def snapshot(self) -> Snapshot | None:
        """What serves now."""
        return self._serving.snapshot if self._serving else None

    def publish(self, snapshot: Snapshot, check: bool = True) -> None:
        """Serve from this snapshot on.

        Its models are asked once before, unless ``check`` is False: one that cannot answer is refused here, and not
        where clients see it. Questions stay answered as they were, where the columns stay.
        """
        if check:
            snapshot.predict(np.zeros(len(snapshot.names)))
        self.define(snapshot)
        before = self._serving
        if before is not None and before.snapshot.names != snapshot.names:
            self._newest = {}
        self._serving = Serving(snapshot, before)

    def take_over(self, other: Service) -> None:
        """Serve what another service would, from the next request on: of a pipeline with other features."""
        self.define(other._serving.snapshot)
        self.headline = other.headline
        self._newest = other._newest
        self._serving = other._serving

    def define(self, snapshot: Snapshot) -> None:
        """Let the log know features and targets of a version that answers."""
        about = (snapshot.version, snapshot.names, snapshot.features)
        if about not in self._defined:
            self.log.define(*about, targets=[(target.name, target.outputs) for target in snapshot.targets])
            self._defined.add(about)

    def answered(self, question: Question) -> bool:
        """Take the newest question of a key; False where a newer one is here."""
        newest = self._newest.get(question.key)
        if newest is not None and newest.moment > question.moment:
            return False
        self._newest[question.key] = question
        return True

    def newest(self, key: str) -> Question | None:
        """The newest question of a key."""
        return self._newest.get(key)

    def ask(self, request: PredictRequest) -> Prediction:
        """Answer by key or from the features of the request, and log it."""
        started, serving = self.clock.elapsed(), self._serving
        if serving is None:
            raise Refused(503, NO_MODEL)
        key = self._key(serving, request)
        choice = self.router and self.router.choose(request)
        if request.features is None:
            return self._by_key(serving, key, started, choice)
        filled = self._filled(serving, key, request.features)
        features = {**request.features, **filled}
        if len(features) != len(serving.asked):
            raise _wrong_names(serving.asked, features)
        about = Served({"request": 0.0}, (), tuple(filled)) if filled else None
        return self._own(serving, key, [features[name] for name in serving.asked], started, choice, about)

    def ask_json(self, body: bytes) -> Prediction:
        """The same for a request in JSON; of features by name, the fields are read as the numbers they are."""
        started, serving = self.clock.elapsed(), self._serving
        try:
            request = read(PredictRequest, body) if serving is None else serving.read(body)
        except (DecodeError, UnicodeDecodeError):
            return self.ask(read(PredictRequest, body))  # either of them says what is wrong
        if serving is None:
            return self.ask(request)
        key = self._key(serving, request)
        choice = self.router and self.router.choose(request)
        if request.features is None:
            return self._by_key(serving, key, started, choice)
        return self._own(serving, key, astuple(request.features), started, choice)

    def predict(self, key: str | None = None) -> Prediction:
        """What was predicted for the newest question of a key; the key may be left out where there is one."""
        return self.ask(PredictRequest(key=key))

    def predict_features(self, features: dict[str, float], key: str | None = None) -> Prediction:
        """Predict from features by name, checked like those of a request."""
        return self.ask(read(PredictRequest, encode(PredictRequest(key=key, features=features))))

    def _key(self, serving: Serving, request) -> str:
        key, keys = request.symbol if request.key is None else request.key, serving.snapshot.keys
        if key is None:
            if request.features is None and len(keys) > 1:
                raise invalid("key", "give a key, features, or both", None)
            return keys[0]
        if key not in serving.places:
            raise invalid("symbol" if request.key is None else "key", f"must be one of {', '.join(keys[:50])}", key)
        return key

    def _known(self, serving: Serving, key: str) -> Question:
        question = self._newest.get(key)
        if question is None:
            raise Refused(503, f"no question of {key or 'the stream'} yet: its features come with its first events")
        return question

    def _by_key(self, serving: Serving, key: str, started: int, choice: Choice | None) -> Prediction:
        """Answer the newest question of a key, as it was or as an arm answers it; stale features by their policies."""
        question = self._known(serving, key)
        freshness = serving.snapshot.freshness
        about = None
        if freshness is not None:
            about = freshness.at(question.moment, self.clock.now())
        if about is not None and about.stale:
            try:
                replaced = freshness.replaced(about.stale)
            except LookupError as ex:
                raise Refused(503, f"{ex}: ask again when its source is back") from ex
            if replaced:
                values = dict(zip(serving.snapshot.names, np.frombuffer(question.x).tolist(), strict=True)) | replaced
                about = about._replace(filled=tuple(replaced))
                return self._own(serving, key, [values[name] for name in serving.asked], started, choice, about)
        answered = choice and choice.answer(question.id, key, question.moment, question.x)
        return self.give(answered or question, started, choice, about)

    def _filled(self, serving: Serving, key: str, features: dict[str, float]) -> dict[str, float]:
        """What stands in for features that a request did not bring, by their policies; else it is refused."""
        absent = [name for name in serving.asked if name not in features]
        if not absent:
            return {}
        newest, freshness = self._newest.get(key), serving.snapshot.freshness
        values = [] if newest is None else np.frombuffer(newest.x).tolist()
        last = dict(zip(serving.snapshot.names, values, strict=False))
        filled = None if freshness is None else freshness.filled(absent, last)
        if filled is None:
            raise _wrong_names(serving.asked, features)
        return filled

    def _own(
        self,
        serving: Serving,
        key: str,
        values: Iterable[float],
        started: int,
        choice: Choice | None,
        about: Served | None = None,
    ) -> Prediction:
        """Answer features that a request brought, of now, with the newest published models or an arm's."""
        x, now = serving.pack(*values, *serving.places[key]), self.clock.now()
        question = choice and choice.answer(None, key, now, x)
        if question is None:
            try:
                question = _asked(serving.snapshot, key, now, x)
            except Exception as ex:
                if choice is not None:
                    choice.fail(f"{type(ex).__name__}: {ex}")
                raise
        return self.give(question, started, choice, about)

    def give(
        self, asked: Question, started: int, choice: Choice | None = None, about: Served | None = None
    ) -> Prediction:
        """Log what is given, and give it."""
        clock = self.clock
        now, moment = clock.now(), asked.moment
        took = clock.elapsed() - started
        logged = (asked.key, asked.version, asked.offset, asked.id, asked.x, asked.cell, asked.others)
        if choice is None:
            text = self.log.append(now, moment, *logged, took)
        else:
            choice.took(took)
            text = self.log.append(now, moment, *logged, took, propensity=choice.propensity, routed=choice.routed)
        age_ms, horizon_s = (now - moment) / 1e6, self._serving.snapshot.horizon / 1e9
        common = (asked.key, asked.predictions, asked.version, asked.offset, asked.id, asked.features_at)
        return Prediction(text, *common, age_ms, horizon_s, asked.due_at, asked.extra, *(about or ()))

    def tell(self, prediction_id: str, y: float) -> Future:
        """Hand over an answer; the future gives the verdict of the log once it is on disk."""
        id = id_number(prediction_id)
        if id is None:
            future: Future = Future()
            future.set_result("unknown")
            return future
        return self.log.answer(id, y, self.clock.now())

    def answer(self, prediction_id: str, y: float) -> str:
        """Join an answer and wait until it is on disk: "joined", or "repeated" when told before."""
        if not isfinite(y):
            raise invalid("y", "must be a finite number", str(y))
        return verdict(prediction_id, y, self.tell(prediction_id, y).result())

    def drain_answers(self, n: int = 1000) -> list[Answered]:
        """Answered predictions for the learner, each once."""
        return self.log.drain(n)

    def given(self, prediction_id: str) -> dict:
        """A prediction as it was logged, as JSON holds it: features by name, predictions by target, its answer."""
        id = id_number(prediction_id)
        row = None if id is None else self.log.find(id)
        if row is None:
            raise Refused(404, f"no prediction {shown(prediction_id)!r}: ask with the prediction_id that /predict gave")
        return logged(prediction_id, row)

    def health(self) -> Health:
        """Whether it can serve, since when, which version, how old the features are, and how good it was."""
        serving, now = self._serving, self.clock.now()
        ages = {key: (now - asked.moment) / 1e9 for key, asked in list(self._newest.items())}
        reason = NO_MODEL if serving is None else without_paths(self.log.error) or ("" if ages else "no question yet")
        uptime_s = (self.clock.elapsed() - self._started) / 1e9
        version, offset = (serving.snapshot.version, serving.snapshot.offset) if serving else (None, 0)
        return Health(not reason, reason, uptime_s, version, offset, ages, self.headline, self.log.waiting)

    def close(self) -> None:
        """Write what waits and close the log."""
        if self.router is not None:
            self.router.close()
        self.log.close()


def _asked(snapshot: Snapshot, key: str, now: int, x: bytes) -> Question:
    """A request's own features, answered by a snapshot."""
    predictions = snapshot.predict(np.frombuffer(x))  # of read-only bytes: no model can change what is logged
    for value in predictions.values():
        if not finite(value):
            raise invalid("features", "must be of a size for which the prediction is finite", np.frombuffer(x).tolist())
    question = Question(snapshot.version, snapshot.learned[0], None, key, now, x, snapshot.horizon)
    question.answered(snapshot.targets, predictions)
    return question


def logged(prediction_id: str, row: dict) -> dict:
    """A row of the prediction log with names for its numbers.

    Parameters
    ----------
    prediction_id
        As it was given.
    row
        Of :func:`rtml.store.prediction_tables.found`.
    """
    cells = np.hstack([numbers(row["prediction"]), np.frombuffer(row["others"] or b"")])
    predictions = {name: np.asarray(value).tolist() for name, value in by_target(cells, loads(row["targets"])).items()}
    times = {name: row[name] and utc(row[name]).isoformat() for name in ("asked_at", "moment", "answered_at")}
    about = {name: row[name] for name in ("key", "version", "offset", "question", "y", "propensity", "latency_ns")}
    features = dict(zip(loads(row["names"]), np.frombuffer(row["x"]).tolist(), strict=True))
    return {"prediction_id": prediction_id, **about, **times, "predictions": predictions, "features": features}


def verdict(prediction_id: str, y: float, result: str | float) -> str:
    """The verdict of the log, or the refusal that it stands for.

    Examples
    --------
    >>> verdict("ab-1", 0.5, "joined")
    'joined'
    >>> verdict("ab-1", 0.5, 0.25)
    Traceback (most recent call last):
    rtml.serving.schemas.Refused: ab-1 was answered with 0.25 before, got 0.5: the first answer stands
    """
    if result == "unknown":
        raise Refused(404, f"no prediction {shown(prediction_id)!r}: tell the prediction_id that /predict gave")
    if isinstance(result, float):
        raise Refused(409, f"{prediction_id} was answered with {result!r} before, got {y!r}: the first answer stands")
    return result


def _wrong_names(names: tuple[str, ...], features: dict[str, float]) -> Refused:
    missing = next((name for name in names if name not in features), None)
    if missing is not None:
        return invalid(f"features.{missing}", f"is required; the models take {', '.join(names)}", None)
    extra = next(name for name in features if name not in names)
    return invalid(f"features.{shown(extra)}", f"is no feature; the models take {', '.join(names)}", features[extra])
