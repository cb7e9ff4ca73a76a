"""A desk: payments asked over HTTP one by one, put in the log, answered from the live state, and learned from.

A payment's request is the event itself. It goes through the very operator that the backtest and the trainer push
events through, so the features served are those learned from, to the last bit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import numpy as np
from fastapi import FastAPI, Request, Response
from msgspec import Meta, Struct

from rtml.core.clock import NEVER
from rtml.core.operator import Operator
from rtml.core.state import loads
from rtml.models.compiled import restore
from rtml.registry.registry import Registry
from rtml.registry.versions import Version
from rtml.serving.schemas import Refused, encode, invalid, refuse
from rtml.serving.service import Service
from rtml.serving.snapshot import Snapshot, StreamClock
from rtml.store.event_log import EventLog
from rtml.training.trainer import Trainer
from rtml.usecases.fraud.schema import LABEL, PAYMENT, events

KEPT = 200_000  # replies that are remembered, so that a repeated request gets the same one
_Whole = Annotated[int, Meta(ge=0, lt=2**62)]


class PaymentRequest(Struct, forbid_unknown_fields=True):
    """A payment to be judged; ``time`` is ns UTC."""

    id: _Whole
    time: Annotated[int, Meta(gt=0, lt=NEVER)]
    card: _Whole
    terminal: _Whole
    amount: Annotated[float, Meta(ge=0, lt=1e9)]


class LabelRequest(Struct, forbid_unknown_fields=True):
    """What a payment turned out to be, told at ``time`` (ns UTC)."""

    id: _Whole
    time: Annotated[int, Meta(gt=0, lt=NEVER)]
    fraud: bool


class Judged(Struct, frozen=True):
    """What the model says of a payment, and whether it is worth an alert."""

    id: int
    probability: float
    alert: bool
    version: str
    prediction_id: str


_payment = msgspec.json.Decoder(PaymentRequest)
_label = msgspec.json.Decoder(LabelRequest)


class PaymentEndpoint:
    """Judges payments with the published version, from the state of a stream that it goes on with.

    Parameters
    ----------
    service
        Predicts from features and logs them with the version, frozen as they were served.
    operator
        Stands where the log ends; every request moves it on.
    log, part
        Where payments and labels are written before they are answered: the trainer follows it.
    threshold
        Probability from which on a payment is worth an alert.
    durable
        Whether an answer waits for the disk.
    """

    def __init__(
        self, service: Service, operator: Operator, log: EventLog, part: str, threshold: float, durable: bool = True
    ) -> None:
        self._service, self._operator, self._log, self._part = service, operator, log, part
        self._threshold, self._durable = threshold, durable
        self._lock, self._replies = threading.Lock(), OrderedDict()
        self._error: BaseException | None = None

    def pay(self, body: bytes) -> Judged:
        """Judge a payment; asked again with the same id it gets the same answer and is not counted twice."""
        asked = _read(_payment, body)
        if abs(asked.amount * 100 - round(asked.amount * 100)) > 1e-4:
            raise invalid("amount", "has more than two decimals", asked.amount)
        with self._lock:
            if asked.id in self._replies:
                return self._replies[asked.id]
            what = {"card": asked.card, "terminal": asked.terminal, "amount": round(asked.amount * 100)}
            row = self._take(events([asked.time], kind=PAYMENT, id=asked.id, **what))
            if not len(row.id):
                raise Refused(409, f"payment {asked.id} was made before this desk opened: it has its answer")
            said = self._predict(row.X[0], int(row.moment[0]))
            judged = Judged(
                asked.id, said.return_bp, said.return_bp >= self._threshold, said.version, said.prediction_id
            )
            self._replies[asked.id] = judged
            if len(self._replies) > KEPT:
                self._replies.popitem(last=False)
        return judged

    def tell(self, body: bytes) -> dict:
        """Take the label of a payment: into the log, and to the prediction that it answers."""
        told = _read(_label, body)
        with self._lock:
            self._take(events([told.time], kind=LABEL, id=told.id, label=int(told.fraud)))
            judged = self._replies.get(told.id)
        if judged is None:
            return {"id": told.id, "status": "logged"}
        return {"id": told.id, "status": self._service.answer(judged.prediction_id, float(told.fraud))}

    def add_to(self, app: FastAPI) -> FastAPI:
        """Give an app the routes ``POST /payments`` and ``POST /labels``."""

        async def pay(request: Request) -> Response:
            return _reply(self.pay, await request.body())

        async def tell(request: Request) -> Response:
            return _reply(self.tell, await request.body())

        app.add_api_route("/payments", pay, methods=["POST"], summary="judge a payment")
        app.add_api_route("/labels", tell, methods=["POST"], summary="tell what a payment turned out to be")
        return app

    @contextmanager
    def learning(
        self, trainer: Trainer, registry: Registry, model: str, pause: float = 0.5
    ) -> Iterator[PaymentEndpoint]:
        """Let a thread learn what the desk logs, and publish every version that is promoted, inside the block."""
        stop = threading.Event()
        publish(self._service, registry, model)
        thread = threading.Thread(target=self._learn, args=(trainer, registry, model, stop, pause), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
        if self._error is not None:
            raise RuntimeError("training failed while it served; the last version went on serving") from self._error

    def _learn(self, trainer: Trainer, registry: Registry, model: str, stop: threading.Event, pause: float) -> None:
        try:
            while not stop.wait(pause):
                trainer.run(self._log.last(self._part))  # what is there now: more arrives meanwhile
                publish(self._service, registry, model)
            trainer.run()
        except BaseException as ex:
            self._error = ex

    def _predict(self, x: np.ndarray, moment: int):
        """Ask with the features of a payment; they are also the newest that ``/predict`` and ``/health`` know."""
        names, serving = self._operator.features.names, self._service.snapshot
        if serving is not None:
            self._service.update_features(serving.target, moment, x, None)
        return self._service.predict_features(dict(zip(names, x.tolist(), strict=True)))

    def _take(self, event: np.ndarray):
        if isinstance(self._service.clock, StreamClock):  # a replayed stream has its own time
            self._service.clock.tell(int(event["time"][0]))
        self._log.append(self._part, event, durable=self._durable)
        return self._operator.push(event)


def publish(service: Service, registry: Registry, model: str) -> None:
    """Serve the champion, unless it serves already."""
    champion = registry.champion(model)
    if service.snapshot is None or service.snapshot.version != champion.name:
        service.publish(snapshot_of(registry, champion))


def snapshot_of(registry: Registry, version: Version) -> Snapshot:
    """A registered version of a use case with one target, ready to serve; its bytes are checked against their hash."""
    state = loads(registry.load(version))
    target, model = next(iter(state["models"].items()))
    model = restore(model)
    about = {
        "horizon": state["horizon"],
        "trained_up_to": version.at,
        "kind": model.kind,
        "features": state["features"],
    }
    return Snapshot(version.name, model, tuple(state["names"]), (target,), target, **about)


def _read(decoder: msgspec.json.Decoder, body: bytes):
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as ex:
        refuse(ex, body)


def _reply(take, body: bytes) -> Response:
    try:
        return Response(encode(take(body)), media_type="application/json")
    except Refused as ex:
        return Response(encode(ex.refusal), status_code=ex.status, media_type="application/json")
