"""The service behind the endpoint: the published model, the newest features, predictions and their answers."""

from __future__ import annotations

from concurrent.futures import Future
from math import exp, inf, isfinite
from pathlib import Path

import numpy as np
from msgspec import UNSET, DecodeError
from msgspec.structs import astuple

from rtml.core.clock import Clock
from rtml.serving.schemas import Health, Prediction, PredictRequest, Refused, encode, invalid, read_predict, shown
from rtml.serving.snapshot import Newest, Serving, Snapshot
from rtml.serving.sse import Stream
from rtml.store.prediction_log import PredictionLog
from rtml.store.prediction_tables import Answered, id_number

NO_MODEL = "no champion model: run 04_online_train first (make run-04)"


class Service:
    """Answers from an immutable snapshot that one learner publishes, and keeps what it answered.

    Any thread may call it. A new snapshot takes over by one assignment: a prediction uses the old or the new
    one, never a mixture, and no request waits.

    Parameters
    ----------
    path
        The prediction log, a SQLite file; ``":memory:"`` keeps nothing.
    clock
        Read for the age of features and for when something was asked; a replay passes a
        :class:`rtml.serving.snapshot.StreamClock`, so that ages are those of event time.
    """

    def __init__(self, path: str | Path = ":memory:", clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._serving: Serving | None = None
        self._started = self.clock.elapsed()
        self.log = PredictionLog(path, started=self.clock.now())
        self.stream = Stream()

    @property
    def snapshot(self) -> Snapshot | None:
        """What serves now."""
        return self._serving.snapshot if self._serving else None

    def publish(self, snapshot: Snapshot) -> None:
        """Serve from this snapshot on; features stay when its names and horizon are those of the last one.

        The model is asked once before: one that cannot answer is refused here, and not where clients see it.
        """
        for model in filter(None, (snapshot.model, snapshot.sign)):
            float(model.predict(np.zeros(len(snapshot.names))))
        self.log.define(snapshot.version, snapshot.names, snapshot.features)
        last = self._serving
        same = last and (last.snapshot.names, last.snapshot.horizon) == (snapshot.names, snapshot.horizon)
        self._serving = Serving(snapshot, last.newest if same else {})

    def update_features(self, symbol: str, moment: int, x: np.ndarray, close: float | None) -> bool:
        """Hand over the features of a moment; False when there is no snapshot yet, or newer ones are here."""
        serving = self._serving
        if serving is None:
            return False
        x = np.array(x, dtype=np.float64)
        if x.shape != (len(serving.snapshot.names),) or not np.isfinite(x).all():
            raise ValueError(
                f"features of {symbol} must be {len(serving.snapshot.names)} finite numbers, got {x.tolist()}: "
                f"version {serving.snapshot.version} takes {', '.join(serving.snapshot.names)}"
            )
        if close is not None and not (isfinite(close) and close > 0.0):
            raise ValueError(f"close of {symbol} must be a positive number or None, got {close}")
        newest = serving.newest.get(symbol)
        if newest is not None and newest.moment > moment:
            return False
        serving.newest[symbol] = Newest(symbol, int(moment), x.tobytes(), close, serving.snapshot.horizon)
        return True

    def ask(self, request: PredictRequest) -> Prediction:
        """Predict by symbol or from the features of the request, and log it."""
        started = self.clock.elapsed()
        serving = self._serving
        if serving is None:
            raise Refused(503, NO_MODEL)
        if request.features is not None:
            asked = self._given(serving, request)
        elif request.symbol is not None:
            asked = _known(serving, request.symbol)
        else:
            raise invalid("symbol", "give a symbol, features, or both", None)
        return self._predict(serving, asked, started)

    def ask_json(self, body: bytes) -> Prediction:
        """The same for a request in JSON; of features by name, the fields are read as the numbers they are."""
        started, serving = self.clock.elapsed(), self._serving
        try:
            request = read_predict(body) if serving is None else serving.read(body)
        except (DecodeError, UnicodeDecodeError):
            return self.ask(read_predict(body))  # either of them says what is wrong
        if serving is None or request.features is None:
            return self.ask(request)
        x = serving.pack(*astuple(request.features))
        return self._predict(serving, self._own(serving, request.symbol, x), started)

    def predict(self, symbol: str) -> Prediction:
        """Predict from the newest features of a symbol."""
        return self.ask(PredictRequest(symbol=symbol))

    def predict_features(self, features: dict[str, float], symbol: str | None = None) -> Prediction:
        """Predict from features by name, checked like those of a request."""
        return self.ask(read_predict(encode(PredictRequest(symbol=symbol, features=features))))

    def _given(self, serving: Serving, request: PredictRequest) -> Newest:
        snapshot, features = serving.snapshot, request.features
        try:
            x = serving.pack(*[features[name] for name in snapshot.names])
        except KeyError:
            raise _wrong_names(snapshot.names, features) from None
        if len(features) != len(snapshot.names):
            raise _wrong_names(snapshot.names, features)
        return self._own(serving, request.symbol, x)

    def _own(self, serving: Serving, symbol: str | None, x: bytes) -> Newest:
        """Features that a request brought, of now."""
        snapshot = serving.snapshot
        symbol = snapshot.target if symbol is None else symbol
        _check_symbol(serving, symbol)
        last = serving.newest.get(symbol)
        return Newest(symbol, self.clock.now(), x, last.close if last else None, snapshot.horizon)

    def _predict(self, serving: Serving, asked: Newest, started: int) -> Prediction:
        snapshot, log, now, x, close = serving.snapshot, self.log, self.clock.now(), asked.x, asked.close
        value = float(snapshot.model.predict(x))
        p_up = None if snapshot.sign is None else float(snapshot.sign.predict(x))
        price = None if close is None else _price(close, value)
        if not isfinite(value + (price or 0.0) + (p_up or 0.0)):
            raise _not_finite(serving, asked)
        symbol, version, moment = asked.symbol, snapshot.version, asked.moment
        took = self.clock.elapsed() - started
        text = log.append(now, moment, symbol, version, asked.x_bytes, close, value, p_up, took)
        age_ms, up = (now - moment) / 1e6, UNSET if p_up is None else p_up
        at, due, horizon_s = asked.features_at, asked.due_at, serving.horizon_s
        return Prediction(text, symbol, value, price, close, version, at, age_ms, horizon_s, due, up)

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

    def health(self) -> Health:
        """Whether it can serve, since when, which version, how old the features are."""
        serving, now = self._serving, self.clock.now()
        ages = {s: (now - f.moment) / 1e9 for s, f in list(serving.newest.items())} if serving else {}
        reason = NO_MODEL if serving is None else self.log.error or ("" if ages else "no features yet")
        uptime_s = (self.clock.elapsed() - self._started) / 1e9
        version = serving.snapshot.version if serving else None
        return Health(not reason, reason, uptime_s, version, ages, self.log.waiting)

    def close(self) -> None:
        """Write what waits and close the log."""
        self.log.close()


def verdict(prediction_id: str, y: float, told: str | float) -> str:
    """The verdict of the log, or the refusal that it stands for."""
    if told == "unknown":
        raise Refused(404, f"no prediction {shown(prediction_id)!r}: tell the prediction_id that /predict gave")
    if isinstance(told, float):
        raise Refused(409, f"{prediction_id} was answered with {told!r} before, got {y!r}: the first answer stands")
    return told


def _price(close: float, return_bp: float) -> float:
    return close * exp(return_bp * 1e-4) if return_bp < 1e6 else inf  # a log return; beyond, exp overflows


def _known(serving: Serving, symbol: str) -> Newest:
    newest = serving.newest.get(symbol)
    if newest is None:
        _check_symbol(serving, symbol)
        raise Refused(503, f"no features of {symbol} yet: they come with its first complete bars")
    return newest


def _check_symbol(serving: Serving, symbol: str) -> None:
    if symbol not in serving.snapshot.symbols:
        raise invalid("symbol", f"must be one of {', '.join(serving.snapshot.symbols)}", symbol)


def _wrong_names(names: tuple[str, ...], features: dict[str, float]) -> Refused:
    missing = next((name for name in names if name not in features), None)
    if missing is not None:
        return invalid(f"features.{missing}", f"is required; the version takes {', '.join(names)}", None)
    extra = next(name for name in features if name not in names)
    return invalid(f"features.{shown(extra)}", f"is no feature; the version takes {', '.join(names)}", features[extra])


def _not_finite(serving: Serving, asked: Newest) -> Refused:
    if serving.newest.get(asked.symbol) is asked:
        return Refused(503, f"version {serving.snapshot.version} has no finite prediction for {asked.symbol} now")
    return invalid("features", "must be of a size for which the prediction is finite", asked.x.tolist())
