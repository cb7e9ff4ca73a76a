"""A client of the endpoint for Python programs, to be called at once or awaited.

>>> from rtml import Client
>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     given = client.predict("ETH-USD")
...     print(given.value, given.version, given.features_at, given.horizon_s)
...     client.answer(given.prediction_id, 1.5)
"""

from __future__ import annotations

from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from rtml.serving.schemas import AnswerReply, GivenPrediction, Health, Models, Refusal, Refused

T = TypeVar("T")


class Predicted(Struct, frozen=True):
    """A prediction as the endpoint gave it; :class:`rtml.serving.schemas.Prediction` says what each field is.

    Examples
    --------
    >>> two = {"up": {"probability": 0.7}, "size": {"value": 3.0}}
    >>> Predicted("a", "k", two, "m@1", 9, 1, "", 0.0, 60.0, None).value
    0.7
    """

    prediction_id: str
    key: str
    predictions: dict[str, dict[str, Any]]
    version: str
    offset: int
    question: int | None
    features_at: str
    age_ms: float
    horizon_s: float
    due_at: str | None
    extra: dict[str, Any] = {}
    ages_s: dict[str, float] = {}
    stale: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()

    @property
    def value(self) -> Any:
        """The first target's value, probability, label, items or score, whatever its kind gives first."""
        first = next(iter(self.predictions.values()))
        return next(first[name] for name in ("value", "probability", "label", "items", "score") if name in first)


class _Calls:
    """What both clients have: where the endpoint is, who asks, and how a response is read."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 10.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the address of an endpoint begins with http:// or https://, got {url!r}")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._how: dict[str, Any] = {"base_url": url, "headers": headers, "timeout": timeout_s}

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request as httpx takes it; what is None is left out."""
        given = {name: value for name, value in (body or {}).items() if value is not None}
        place = {"json": given} if method == "POST" else {"params": given}
        return {"method": method, "url": path, **place}

    def _read(self, response: httpx.Response, kind: type[T]) -> T:
        """The message of a response; a refusal is raised with the endpoint's own sentence."""
        if response.is_success or (kind is Health and response.status_code == 503):
            return msgspec.json.decode(response.content, type=kind)
        try:
            refusal = msgspec.json.decode(response.content, type=Refusal)
        except msgspec.DecodeError:
            raise Refused(response.status_code, f"{response.url} answered {response.status_code}: no rtml?") from None
        about = {name: getattr(refusal, name) for name in ("field", "rule", "got")}
        raise Refused(response.status_code, refusal.error, **about)

    def _lost(self, ex: httpx.TransportError) -> ConnectionError:
        return ConnectionError(f"no endpoint answers at {self._how['base_url']} ({ex}): rtml serve RUN starts one")


class Client(_Calls):
    """A client that waits for each answer.

    Parameters
    ----------
    url
        Of the endpoint, such as ``http://127.0.0.1:8000``.
    token
        The one that the endpoint asks of those who change something (``RTML_TOKEN``).
    timeout_s
        How long to wait for an answer, seconds.

    Raises
    ------
    rtml.serving.schemas.Refused
        By each call that the endpoint refuses: ``status``, its sentence, and the field that it is about.
    ConnectionError
        Where nothing answers.
    """

    def __init__(self, url: str, token: str = "", timeout_s: float = 10.0) -> None:
        super().__init__(url, token, timeout_s)
        self._client = httpx.Client(**self._how)

    def predict(self, key: str | None = None, features: dict[str, float] | None = None) -> Predicted:
        """What is predicted for the newest question of a key, or for features of your own."""
        method = "GET" if features is None else "POST"
        return self._send(Predicted, method, "/predict", {"key": key, "features": features})

    def answer(self, prediction_id: str, y: float) -> AnswerReply:
        """Tell what came true of a prediction."""
        return self._send(AnswerReply, "POST", "/answers", {"prediction_id": prediction_id, "y": y})

    def given(self, prediction_id: str) -> GivenPrediction:
        """A prediction as it was logged, with its features and its answer."""
        return self._send(GivenPrediction, "GET", f"/predictions/{quote(prediction_id, safe='')}")

    def models(self) -> Models:
        """What serves, and the versions it comes from."""
        return self._send(Models, "GET", "/models")

    def health(self) -> Health:
        """Whether it is ready, and how old its features are."""
        return self._send(Health, "GET", "/health")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send(self, kind: type[T], method: str, path: str, body: dict[str, Any] | None = None) -> T:
        try:
            return self._read(self._client.request(**self._request(method, path, body)), kind)
        except httpx.TransportError as ex:
            raise self._lost(ex) from ex


class AsyncClient(_Calls):
    """The same to be awaited; many calls may wait at once."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 10.0) -> None:
        super().__init__(url, token, timeout_s)
        self._client = httpx.AsyncClient(**self._how)

    async def predict(self, key: str | None = None, features: dict[str, float] | None = None) -> Predicted:
        """What is predicted for the newest question of a key, or for features of your own."""
        method = "GET" if features is None else "POST"
        return await self._send(Predicted, method, "/predict", {"key": key, "features": features})

    async def answer(self, prediction_id: str, y: float) -> AnswerReply:
        """Tell what came true of a prediction."""
        return await self._send(AnswerReply, "POST", "/answers", {"prediction_id": prediction_id, "y": y})

    async def given(self, prediction_id: str) -> GivenPrediction:
        """A prediction as it was logged, with its features and its answer."""
        return await self._send(GivenPrediction, "GET", f"/predictions/{quote(prediction_id, safe='')}")

    async def models(self) -> Models:
        """What serves, and the versions it comes from."""
        return await self._send(Models, "GET", "/models")

    async def health(self) -> Health:
        """Whether it is ready, and how old its features are."""
        return await self._send(Health, "GET", "/health")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _send(self, kind: type[T], method: str, path: str, body: dict[str, Any] | None = None) -> T:
        try:
            return self._read(await self._client.request(**self._request(method, path, body)), kind)
        except httpx.TransportError as ex:
            raise self._lost(ex) from ex
