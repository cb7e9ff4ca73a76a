"""Who may change something: with a token those who have it, without one this machine alone."""

from __future__ import annotations

import logging
import threading
from contextlib import closing, contextmanager

import httpx
import pytest
from command_line import command

from rtml.core.clock import Clock, ManualClock
from rtml.registry.registry import Registry
from rtml.serving import auth as access
from rtml.serving.app import make_app
from rtml.serving.auth import FOREIGN, NEEDED, Access
from rtml.serving.endpoint import Endpoint, serve_forever
from rtml.serving.promotions import Promotions
from rtml.serving.service import Service

SECRET = "a-secret-of-32-characters-or-more"
CHANGES = ("/answers", "/promote", "/rollback")
WHO = {"who": "ada", "why": "errors doubled"}


@pytest.fixture
def registry(tmp_path):
    with closing(Registry(tmp_path)) as registry:
        parent = None
        for at in (10, 20, 30):
            parent = registry.save("champion", b"weights %d" % at, at=at, features="f", parent=parent)
            registry.promote("champion", parent, "gate passed", at=at)
        yield registry


class Published:
    """A publisher that only keeps what it is told to serve."""

    model, since = "champion", 5

    def __init__(self, service: Service, registry: Registry) -> None:
        self.service, self.registry, self.changing, self.served = service, registry, threading.RLock(), []

    def refresh(self, ask: bool) -> None:
        self.served.append(self.registry.champion(self.model).name)


@contextmanager
def serving(registry: Registry, token: str = ""):
    with closing(Service(clock=ManualClock())) as service:
        publisher = Published(service, registry)
        app = make_app(service, promotions=Promotions(publisher), access=Access(token))
        with Endpoint(app) as endpoint, httpx.Client(base_url=endpoint.url) as client:
            client.served = publisher.served
            yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", CHANGES)
def test_with_a_token_a_change_needs_it(registry, path, caplog):
    wrong = (
        {},
        {"authorization": "Bearer"},
        bearer("x"),
        bearer(SECRET[:-1]),
        bearer(SECRET + "x"),
        {"authorization": SECRET},
    )
    with serving(registry, SECRET) as client, caplog.at_level(logging.DEBUG):
        for headers in wrong:
            refused = client.post(path, json=WHO, headers=headers)
            assert (refused.status_code, refused.json()) == (401, {"error": NEEDED})
            assert refused.headers["www-authenticate"] == "Bearer"
        for headers in (bearer(SECRET), {"authorization": f"bearer {SECRET}"}):
            assert client.post(path, content=b"{", headers=headers).status_code == 422, "through to the body"
        assert [client.get(open).status_code for open in ("/", "/questions", "/models", "/metrics")] == [200] * 4
        assert client.post("/predict", json={"key": "X"}).status_code == 503, "to predict changes nothing"
    assert SECRET not in caplog.text + refused.text
    assert client.served == [] and registry.champion("champion").name == "champion@3"


def test_under_a_mount_the_token_is_needed_too(registry):
    from fastapi import FastAPI

    outer = FastAPI()
    with closing(Service()) as service:
        outer.mount("/eth", make_app(service, access=Access(SECRET)))
        with Endpoint(outer) as endpoint:
            assert httpx.post(f"{endpoint.url}/eth/answers", json={}).status_code == 401


def test_the_token_is_compared_in_constant_time(registry, monkeypatch):
    compared = []
    monkeypatch.setattr(access.hmac, "compare_digest", lambda *two: compared.append(two) or False)
    with serving(registry, SECRET) as client:
        assert client.post("/answers", json={}, headers=bearer(SECRET)).status_code == 401
    assert compared == [(f"Bearer {SECRET}".encode(), f"Bearer {SECRET}".encode())]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://example.org", 403),
        ("null", 403),
        ("http://example.org:{port}", 403),
        ("http://127.0.0.1:1", 403),
        ("http://[", 403),
        ("http://127.0.0.1:{port}", 422),
    ],
)
def test_without_a_token_a_page_of_another_origin_may_change_nothing(registry, origin, status):
    with serving(registry) as client:
        sent = {"origin": origin.format(port=client.base_url.port)}
        refused = client.post("/answers", content=b"{", headers=sent)
        assert refused.status_code == status
        assert status != 403 or refused.json() == {"error": FOREIGN}
        rebound = {"origin": "http://example.org", "host": "example.org"}
        assert client.post("/answers", content=b"{", headers=rebound).status_code == 403
        assert client.post("/answers", content=b"{").status_code == 422, "no browser: no origin"


ROUTES = ("/predict", "/questions", "/models", "/metrics", "/health", "/ledger", "/predictions/1-1", "/openapi.json")


@pytest.mark.parametrize("token", ["", SECRET])
def test_a_page_of_another_origin_may_read_and_ask_nothing_on_any_route(registry, token):
    """By fetch with and without CORS, by a form, by an image, and under a name of its own that points here."""
    with serving(registry, token) as client:
        here = f"127.0.0.1:{client.base_url.port}"
        for sent in (
            {"origin": "https://example.org"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
            {"host": f"example.org:{client.base_url.port}"},
            {"host": f"127.0.0.1.example.org:{client.base_url.port}", "origin": f"http://{here}"},
        ):
            for path in ROUTES:
                assert client.get(path, headers=sent).status_code == 403, (path, sent)
            form = sent | {"content-type": "application/x-www-form-urlencoded"}
            assert client.post("/predict", content=b"key=X", headers=form).status_code == 403, sent
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert client.get("/", headers=link).status_code == 200, "a link may lead to the page"
        assert client.get("/predict", headers=link).status_code == 403, "but ask nothing"
        own = {"origin": f"http://{here}", "sec-fetch-site": "same-origin"}
        assert client.get("/questions", headers=own).status_code == 200
        assert client.get("/questions", headers={"host": "localhost"}).status_code == 200
        if token:
            assert (
                client.get("/questions", headers={"origin": "https://example.org"} | bearer(token)).status_code == 200
            )


def test_a_name_of_ones_own_is_known_once_it_is_given(registry):
    with closing(Service()) as service:
        app = make_app(service, access=Access.from_environment({"RTML_HOSTS": "models.house, "}, host="served.here"))
        names = ("Models.House:80", "served.here:8000", "localhost", "127.0.0.1:80", "[::1]:80", "x.y", "localhost.x.y")
        with Endpoint(app) as endpoint:
            asked = [httpx.get(f"{endpoint.url}/questions", headers={"host": host}) for host in names]
    assert [reply.status_code for reply in asked] == [200] * 5 + [403] * 2


@pytest.mark.parametrize("version", ["champion@99999999999999999999", "champion@٣", "champion@-1", "champion@"])
def test_a_version_that_cannot_be_is_refused_without_a_path(registry, version):
    with serving(registry) as client:
        refused = client.post("/promote", json=WHO | {"version": version})
    assert refused.status_code in (404, 422) and str(registry.path) not in refused.text


@pytest.mark.parametrize("who", ["gate", "GUARD", "ｇａｔｅ", "ga\u200bte", "Run", "a person", "rtml"])
def test_a_person_may_not_take_a_name_of_the_program(registry, who):
    with serving(registry) as client:
        refused = client.post("/promote", json=WHO | {"who": who, "version": "champion@1"})
        assert refused.status_code == 422, who
        act = client.get("/ledger").json()["acts"][-1]
        assert abs(act["entered_at"] - Clock().now() // 10**6) < 3_600_000 and act["at"] == 0, "wall and event time"
    assert registry.champion("champion").name == "champion@3"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", ""])
def test_listening_for_other_machines_without_a_token_is_refused(host):
    with closing(Service()) as service:
        app = make_app(service, access=Access())
        for start in (lambda: Endpoint(app, host=host), lambda: serve_forever(app, 0, host)):
            with pytest.raises(
                ValueError, match=r"can be reached from other machines.*set RTML_TOKEN to a secret of 16"
            ):
                start()


def test_listening_for_other_machines_with_a_token_works():
    with closing(Service()) as service, Endpoint(make_app(service, access=Access(SECRET)), host="0.0.0.0") as endpoint:
        port = endpoint.url.rsplit(":", 1)[1]
        assert httpx.post(f"http://127.0.0.1:{port}/answers", json={}).status_code == 401


def test_the_token_comes_from_the_environment_alone_and_is_never_shown(monkeypatch):
    assert not Access.from_environment({}).guarded and not Access.from_environment({"RTML_TOKEN": " "}).guarded
    monkeypatch.setenv("RTML_TOKEN", SECRET)
    with closing(Service()) as service:
        app = make_app(service)
        assert app.guarded
        assert SECRET not in repr(app._access) + str(app.openapi())
        assert app.openapi()["paths"]["/answers"]["post"]["security"] == [{"bearer": []}]
        assert "security" not in app.openapi()["paths"]["/predict"]["post"]


@pytest.mark.parametrize(
    "token", ["short", "fifteen-letters", "with a space inside it", "größer-als-sechzehn", "x" * 20 + "\n"]
)
def test_a_token_that_guards_nothing_is_refused_without_showing_it(token):
    with pytest.raises(ValueError, match=r"^RTML_TOKEN has \d+ characters: take 16 or more") as refused:
        Access(token)
    assert token not in str(refused.value)


def test_promote_and_rollback_are_entered_with_who_and_why_and_served(registry):
    with serving(registry) as client:
        assert client.post("/promote", json={"version": "champion@1", **WHO}).json() == {"serving": "champion@1"}
        assert client.post("/rollback", json=WHO).json() == {"serving": "champion@3"}
        assert client.served == ["champion@1", "champion@3"]
    entries = registry.ledger("champion").tail(2)
    assert list(entries["action"]) == ["promote", "rollback"]
    assert list(entries["why"]) == ["ada: errors doubled"] * 2


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/promote", {"version": "champion@9", **WHO}, 404, "no version 'champion@9'"),
        ("/promote", {"version": "champion@1", "who": "ada"}, 422, "why: is required"),
        (
            "/promote",
            {"version": "champion@1", "who": "", "why": "because"},
            422,
            "who: expected a text of length >= 1",
        ),
        ("/promote", {"version": "x" * 65, **WHO}, 422, "version: expected a text of length <= 64"),
        ("/rollback", {**WHO, "version": "champion@1"}, 422, "version: is not a field of this request"),
        ("/rollback", [], 422, "body: expected an object"),
    ],
)
def test_a_change_that_cannot_be_is_said(registry, path, body, status, says):
    with serving(registry) as client:
        refused = client.post(path, json=body)
        assert refused.status_code == status and says in refused.json()["error"]
        assert client.served == []


def test_a_rollback_with_nothing_before_is_said(registry):
    with serving(registry) as client:
        assert [client.post("/rollback", json=WHO).status_code for _ in range(3)] == [200, 200, 404]


def test_without_a_registry_there_is_nothing_to_promote():
    with closing(Service()) as service, Endpoint(make_app(service)) as endpoint:
        for path in ("/promote", "/rollback"):
            assert httpx.post(endpoint.url + path, json=WHO).status_code == 404
        assert "/promote" not in httpx.get(f"{endpoint.url}/openapi.json").json()["paths"]


@pytest.mark.parametrize(
    ("token", "says"),
    [("", "can be reached from other machines"), ("short", "RTML_TOKEN has 5 characters")],
)
def test_the_command_line_refuses_it_with_a_sentence(monkeypatch, capsys, tmp_path, token, says):
    monkeypatch.setenv("RTML_TOKEN", token)
    assert command("serve", tmp_path, "--host", "0.0.0.0") == 1 and says in capsys.readouterr().err


def test_the_ledger_tells_what_served_when_who_decided_and_why(registry):
    with serving(registry) as client:
        whole = client.get("/ledger").json()
        assert [act["version"] for act in whole["acts"]] == ["champion@1", "champion@2", "champion@3"]
        assert whole["acts"][2]["before"] == "champion@2" and whole["held"] == ""
        assert client.post("/rollback", json=WHO).json() == {"serving": "champion@2"} and client.served == [
            "champion@2"
        ]
        after = client.get("/ledger").json()
        back = after["acts"][-1]
        assert (back["action"], back["version"], back["by"], back["why"]) == (
            "rollback",
            "champion@2",
            "ada",
            "ada: errors doubled",
        )
        assert after["held"].startswith("ada rolled back (ada: errors doubled): until a person promotes")
        assert client.get(f"/ledger?at={back['at']}").json()["acts"] == [back]
        assert client.get("/ledger?at=1").json()["acts"] == [whole["acts"][2]]
        assert client.get("/ledger?at=0").json()["acts"] == [whole["acts"][2]], "all of them within the first ms"
        assert client.get("/ledger?at=-1").status_code == 422 and client.get("/ledger?when=1").status_code == 422
