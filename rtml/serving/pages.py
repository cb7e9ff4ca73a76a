"""The pages and the description of the endpoint: self-contained, so that no request leaves the machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from rtml.serving import schemas as m
from rtml.serving import stream_schemas as stream

SUMMARY = "Predictions of a model that keeps learning, and the answers it learns from."
SHUT = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}

_CHARTS = Path(__file__).with_name("chart.js").read_text(encoding="utf-8")
_LIVE = Path(__file__).with_name("page.html").read_text(encoding="utf-8").replace("/* charts */", _CHARTS)
_DOCS = Path(__file__).with_name("docs.html").read_text(encoding="utf-8")
_LEDGER = '<a href="ledger">Ledger</a>'  # of the live page, where there is one
_PANEL = "/* the panel of the use case */"


def live(panel: str = "", ledger: bool = True) -> tuple[str, dict[str, str]]:
    """The live page with the script of a use case's panel in it, and headers that let nothing else run.

    Examples
    --------
    >>> page, headers = live("rtml.panel('Mine', '', () => 1);")
    >>> "rtml.panel('Mine'" in page, "sha256-" in headers["content-security-policy"]
    (True, True)
    """
    page = _LIVE.replace(_PANEL, panel.replace("</", "<\\/"))
    return page if ledger else page.replace(_LEDGER, ""), shut(page)


def shut(page: str) -> dict[str, str]:
    """Headers of a page that let its own script run and nothing else.

    Examples
    --------
    >>> shut("<script>draw()</script>")["content-security-policy"].rpartition("; ")[2]
    "script-src 'sha256-jm3FkV4tNIdBUr8jRVVl5n9PUixlaxTWD0pdpFiSH5A='"
    """
    script = hashlib.sha256(re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1].encode()).digest()
    policy = f"{SHUT['content-security-policy']}; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    policy += f"script-src 'sha256-{base64.b64encode(script).decode()}'"
    return {"content-security-policy": policy, "cache-control": "no-store"}


BEARER = {"bearer": {"type": "http", "scheme": "bearer"}}

_TYPES = (
    (
        m.PredictRequest,
        m.Prediction,
        m.GivenPrediction,
        m.AnswerRequest,
        m.AnswerReply,
        m.EventsReply,
        m.Models,
        m.Version,
        m.Health,
        m.Refusal,
    )
    + (stream.Questions, stream.ToldQuestion, stream.Status, stream.Quality)
    + (stream.PromoteRequest, stream.RollbackRequest, stream.Promoted, stream.Acts, stream.Act)
    + (stream.RouteRequest, stream.Routed)
    + (stream.CandidateRequest, stream.CandidateAdded, stream.Candidate)
)
_REFERENCES, SCHEMAS = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
for _schema in SCHEMAS.values():  # an example is for those who read the code
    _schema["description"] = _schema["description"].partition("\n\nExamples")[0]
_REF = {kind.__name__: reference for kind, reference in zip(_TYPES, _REFERENCES, strict=True)}

_REF["Candidates"] = {"type": "array", "items": _REF["Candidate"]}
_REF["PredictRequests"] = {"anyOf": [_REF["PredictRequest"], {"type": "array", "items": _REF["PredictRequest"]}]}
_GIVEN = {"type": "array", "items": {"anyOf": [_REF["Prediction"], _REF["Refusal"]]}}
_REF["Predictions"] = {"anyOf": [_REF["Prediction"], _GIVEN]}
_REF["Events"] = {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}, "maxItems": 1000}]}

_REFUSALS = {
    401: "The token is missing or wrong.",
    403: "Asked by a page of another origin.",
    404: "No such prediction or version.",
    409: "Answered before with another value.",
    413: "The body is over 64 kB.",
    429: "So many events wait to be written: come again after Retry-After seconds.",
    422: "Bad input: the field, its rule and what was got.",
    503: "Not possible now: the sentence says why and what to do.",
}
_PREDICT = {"schema": "Prediction", "refusals": (422, 503)}
_TABLE = {"summary": "The newest 100,000 questions with predictions, versions and answers"}
_CHANGE = {"schema": "Promoted", "refusals": (401, 403, 404, 413, 422)}
_ROUTES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/predict"): _PREDICT
    | {
        "summary": "What was predicted for the newest question of a key, or from given features; a JSON list of such "
        "requests is answered by a list, an Arrow IPC stream of features by one of predictions, which are not logged",
        "refusals": (413, 422, 503),
        "schema": "Predictions",
        "takes": "PredictRequests",
        "example": {"key": "ETH-USD"},
    },
    ("GET", "/predict"): _PREDICT | {"summary": "What was predicted for a key", "query": "key"},
    ("POST", "/answers"): {
        "summary": "Tell what came true",
        "schema": "AnswerReply",
        "refusals": (401, 403, 404, 409, 413, 422, 503),
        "takes": "AnswerRequest",
        "example": {"prediction_id": "1-1", "y": -0.8},
    },
    ("POST", "/events"): {
        "summary": "New events for the log that the learner follows, one or a list; with an event_id each counts once",
        "status": 202,
        "schema": "EventsReply",
        "query": "durable",
        "rule": {"type": "boolean", "default": True},
        "refusals": (401, 403, 409, 413, 422, 429, 503),
        "takes": "Events",
        "example": {"event_id": "app-1", "visitor": "ada", "item": 7},
    },
    ("GET", "/models"): {"summary": "What serves, and the versions it comes from", "schema": "Models"},
    ("GET", "/health"): {"summary": "Ready, or the reason why not", "schema": "Health", "refusals": (503,)},
    ("POST", "/promote"): _CHANGE
    | {
        "summary": "Let a version serve, or the learner",
        "takes": "PromoteRequest",
        "example": {"version": "crypto@2", "who": "ada", "why": "better over the last day"},
    },
    ("POST", "/rollback"): _CHANGE
    | {
        "summary": "Let what served before serve again",
        "takes": "RollbackRequest",
        "example": {"who": "ada", "why": "errors doubled"},
    },
    ("POST", "/routes"): _CHANGE
    | {
        "summary": "Let several versions answer: an A/B test, a canary, a bandit; or stop one",
        "takes": "RouteRequest",
        "example": {"kind": "canary", "arms": {"crypto@3": 0.05}, "who": "ada", "why": "better in shadow"},
    },
    ("POST", "/candidates"): _CHANGE
    | {
        "summary": "Let a pipeline with other features learn in shadow; promoted as candidate:NAME",
        "schema": "CandidateAdded",
        "takes": "CandidateRequest",
        "example": {"name": "wide", "case": "wide", "who": "ada", "why": "the weather may help"},
    },
    ("GET", "/candidates"): {"summary": "Candidates beside what serves, on the same questions", "schema": "Candidates"},
    ("GET", "/routes"): {
        "summary": "Which versions answer whom, how well, and who decided it",
        "schema": "Routed",
        "refusals": (404,),
    },
    ("GET", "/ledger"): {
        "summary": "What served from when on, who decided it and why; at: only what served at that time, ms",
        "schema": "Acts",
        "query": "at",
        "rule": {"type": "integer", "minimum": 0, "maximum": 2**43},
        "refusals": (422,),
    },
    ("GET", "/predictions/{id}"): {
        "summary": "A prediction as it was logged: features, predictions, version, offset, question, answer",
        "schema": "GivenPrediction",
        "refusals": (404, 503),
    },
    ("GET", "/questions"): {
        "summary": "The newest questions with their predictions, and the status",
        "schema": "Questions",
        "query": "n",
        "rule": {"type": "integer", "minimum": 0, "maximum": stream.KEPT, "default": 300},
        "refusals": (422,),
    },
    ("GET", "/predictions/stream"): {
        "summary": "Questions with their predictions as they come (server-sent events); Last-Event-ID resumes",
        "query": "after",
        "rule": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "media": "text/event-stream",
        "refusals": (422, 503),
    },
    ("GET", "/quality"): {"summary": "Accuracy, drift, latency and the quality of features", "schema": "Quality"},
    ("GET", "/predictions.csv"): _TABLE | {"media": "text/csv"},
    ("GET", "/predictions.parquet"): _TABLE | {"media": "application/vnd.apache.parquet"},
    ("GET", "/metrics"): {"summary": "Counters, latencies and scores for Prometheus", "media": "text/plain"},
}


def described(method: str, path: str, secret: bool = False) -> dict[str, Any]:
    """How a route is described in OpenAPI; one that needs the token says so.

    Examples
    --------
    >>> described("GET", "/health")["operation_id"]
    'get_health'
    >>> described("POST", "/promote", secret=True)["openapi_extra"]["security"]
    [{'bearer': []}]
    """
    about = _ROUTES[method, path]
    media = about.get("media", "application/json")
    schema = _REF.get(about.get("schema", ""), {"type": "string"})
    responses: dict[int, dict] = {
        about.get("status", 200): {"description": "Success.", "content": {media: {"schema": schema}}}
    }
    for status in about.get("refusals", ()):
        content = {"application/json": {"schema": _REF["Refusal"] if path != "/health" else schema}}
        responses[status] = {"description": _REFUSALS[status], "content": content}
    extra: dict[str, Any] = {}
    if "takes" in about:
        content = {"application/json": {"schema": _REF[about["takes"]], "example": about["example"]}}
        extra["requestBody"] = {"required": True, "content": content}
    if "query" in about:
        rule = about.get("rule", SCHEMAS["PredictRequest"]["properties"]["key"]["anyOf"][0])
        extra["parameters"] = [{"name": about["query"], "in": "query", "required": False, "schema": rule}]
    if "{id}" in path:
        extra["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    if secret:
        extra["security"] = [{"bearer": []}]
    extra["responses"] = {str(status): response for status, response in responses.items()}
    name = f"{method} {path}".lower().replace(" /", "_")
    return {"summary": about["summary"], "openapi_extra": extra, "operation_id": name, "response_model": None}


def docs(openapi: dict[str, Any], base: str) -> str:
    """The OpenAPI description as one page, with commands to copy.

    Examples
    --------
    >>> routes = {"/x": {"get": {"summary": "An <x>", "responses": {}}}}
    >>> page = docs({"paths": routes, "components": {"schemas": {}}}, "http://127.0.0.1:8000/")
    >>> "GET /x" in page, "An &lt;x&gt;" in page, "curl http://127.0.0.1:8000/x" in page
    (True, True, True)
    """
    import jinja2

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["e"] = escape
    return environment.from_string(_DOCS).render(openapi=openapi, summary=SUMMARY, command=partial(_command, base))


def _command(base: str, path: str, operation: dict[str, Any]) -> str:
    """What to type to ask a route."""
    command = f"curl {base}{path[1:]}"
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        command += f" -d '{json.dumps(body['example'])}'"
    if any(one["name"] == "key" for one in operation.get("parameters", ())):
        command = f"curl '{command[5:]}?key=ETH-USD'"
    return command + (' -H "Authorization: Bearer $RTML_TOKEN"' if "security" in operation else "")
