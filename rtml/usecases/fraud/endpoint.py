"""What card payments add to serving: payments and their labels over HTTP, and alerts on the page.

A payment's request is the event itself. It goes through the very flow that the backtest and the trainer push events
through, so the prediction served is the one that is evaluated, to the last bit.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import Request, Response
from msgspec import Meta, Struct

from rtml.core.clock import NEVER
from rtml.core.run_folder import Run
from rtml.features.feature_set import FeatureSet
from rtml.serving.events import Events
from rtml.serving.schemas import PredictRequest, Refused, encode, invalid, read
from rtml.serving.view import View, script
from rtml.usecases.fraud.operator import Checkout
from rtml.usecases.fraud.schema import LABEL, PAYMENT, PAYMENTS, events, read_key

if TYPE_CHECKING:
    from rtml.serving.app import App
    from rtml.serving.publisher import Publisher

KEPT = 200_000  # replies that are remembered, so that a repeated request gets the same one
_Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # from 2^62 on the number of a text, as the log has it
_Key = _Whole | Annotated[str, Meta(min_length=1, max_length=200)]
_Time = Annotated[int, Meta(gt=0, lt=NEVER)]


class PaymentRequest(Struct, forbid_unknown_fields=True):
    """A payment to be judged; ``time`` is ns UTC, that of the service unless given.

    Examples
    --------
    >>> import msgspec
    >>> msgspec.json.decode(b'{"id": 1, "card": 2, "terminal": 3, "amount": -5}', type=PaymentRequest)
    Traceback (most recent call last):
        ...
    msgspec.ValidationError: Expected `float` >= 0.0 - at `$.amount`
    """

    id: _Key
    card: _Key
    terminal: _Key
    amount: Annotated[float, Meta(ge=0, lt=1e9)]
    time: _Time | None = None


class LabelRequest(Struct, forbid_unknown_fields=True):
    """What a payment turned out to be, told at ``time`` (ns UTC), that of the service unless given.

    Examples
    --------
    >>> import msgspec
    >>> msgspec.json.decode(b'{"id": "a7", "fraud": true}', type=LabelRequest).fraud
    True
    """

    id: _Key
    fraud: bool
    time: _Time | None = None


class Judged(Struct, frozen=True):
    """What the model says of a payment, and whether it is worth an alert.

    Examples
    --------
    >>> import msgspec
    >>> msgspec.json.encode(Judged(7, 0.75, True, "fraud@3", "p1"))
    b'{"id":7,"probability":0.75,"alert":true,"version":"fraud@3","prediction_id":"p1"}'
    """

    id: int | str
    probability: float
    alert: bool
    version: str
    prediction_id: str


class FraudView(View):
    """The view of card payments.

    Examples
    --------
    >>> view = FraudView(None)
    >>> view.extend({"fraud": {"probability": 0.5}}, 0, None), view.extend({"fraud": {"probability": 0.49}}, 0, None)
    ({'alert': True}, {'alert': False})
    """

    panel = script(__file__, "panel.js")
    schema = PAYMENTS
    threshold = 0.5  #: probability from which on a payment is worth an alert; 04 says which one is, of its run

    def open(self, publisher: Publisher) -> None:
        """Take the threshold that the training of the run settled on."""
        self.threshold = Run(publisher.folder).read_json("training.json", {}).get("threshold", self.threshold)

    def extend(self, answer: dict[str, dict], key: int, closed: np.ndarray | None) -> dict:
        """Whether a payment is worth an alert."""
        return {"alert": next(iter(answer.values()))["probability"] >= self.threshold}

    def windows(self, operator: Checkout, id: int, key: int) -> list[tuple[FeatureSet, int]]:
        """Of each view, the windows of the payment's card or terminal."""
        return [(view.features, operator.key_of(id, view.key)) for view in operator.features.views]

    def routes(self, app: App, events: Events | None) -> None:
        """``POST /payments`` and ``POST /labels``, where there are events to take."""
        if events is not None:
            PaymentEndpoint(events).add_to(app)


class PaymentEndpoint:
    """Judges payments from the state of a stream that it goes on with.

    Parameters
    ----------
    events
        Takes payments and labels into the log and through the flow; what was given is logged by its service.
    """

    def __init__(self, events: Events) -> None:
        self._events, self._lock = events, threading.Lock()
        self._replies: OrderedDict[int | str, Judged] = OrderedDict()

    def pay(self, body: bytes) -> Judged:
        """Judge a payment; asked again with the same id it gets the same answer and is not counted twice."""
        asked = read(PaymentRequest, body)
        if abs(asked.amount * 100 - round(asked.amount * 100)) > 1e-4:
            raise invalid("amount", "has more than two decimals", asked.amount)
        with self._lock:
            if asked.id in self._replies:
                return self._replies[asked.id]
            keys = {name: read_key(getattr(asked, name)) for name in ("id", "card", "terminal")}
            amount = round(asked.amount * 100)
            outcome = self._events.take(events([self._time(asked.time)], kind=PAYMENT, amount=amount, **keys))
            if not len(outcome.id):
                raise Refused(409, f"payment {asked.id} was made before this endpoint opened: it has its answer")
            given = self._events.service.ask(PredictRequest(unit=str(asked.card)))
            probability = next(iter(given.answers().values()))["probability"]
            alert = json.loads(bytes(given.extra))["alert"]
            judged = Judged(asked.id, probability, alert, given.version, given.prediction_id)
            self._replies[asked.id] = judged
            if len(self._replies) > KEPT:
                self._replies.popitem(last=False)
        return judged

    def tell(self, body: bytes) -> dict:
        """Take the label of a payment: into the log, and to the prediction that it answers."""
        told = read(LabelRequest, body)
        with self._lock:
            label = events([self._time(told.time)], kind=LABEL, id=read_key(told.id), label=int(told.fraud))
            self._events.take(label)
            judged = self._replies.get(told.id)
        if judged is None:
            return {"id": told.id, "status": "logged"}
        return {"id": told.id, "status": self._events.service.answer(judged.prediction_id, float(told.fraud))}

    def _time(self, told: int | None) -> int:
        return self._events.service.clock.now() if told is None else told

    def add_to(self, app: App) -> App:
        """Give an app the routes ``POST /payments`` and ``POST /labels``, which need the token where there is one."""

        async def pay(request: Request) -> Response:
            return await _reply(app, request, self.pay)

        async def tell(request: Request) -> Response:
            return await _reply(app, request, self.tell)

        app.add_api_route("/payments", pay, methods=["POST"], summary="judge a payment")
        app.add_api_route("/labels", tell, methods=["POST"], summary="tell what a payment turned out to be")
        return app


async def _reply(app: App, request: Request, take: Callable[[bytes], object]) -> Response:
    """Take what a request brings beside the event loop, since the log waits for the disk."""
    app.check(request.scope)
    told = await asyncio.to_thread(take, await request.body())
    return Response(encode(told), media_type="application/json")
