"""One endpoint, several versions: the ledger says who answers whom, hot, and every bad input is a sentence."""

import threading
from contextlib import contextmanager
from functools import partial

import httpx
import numpy as np
import pytest
from published import Even, Weighted, snapshot
from routed import FRAUD, Broken, several

from rtml.registry.routing.assignment import assigned
from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.promotions import Promotions
from rtml.serving.schemas import PredictRequest

WHO = {"who": "ada", "why": "to see it"}
HALVES = {"kind": "ab", "arms": {"champion": 0.5, "crypto@2": 0.5}, **WHO}
OWN = {"features": {"return_1": 1.0, "imbalance_60s": 0.5}}


@contextmanager
def endpoint(folder, token="", **how):
    with several(folder, **how) as publisher:
        app = make_app(publisher.service, promotions=Promotions(publisher), access=Access(token))
        with Endpoint(app) as endpoint, httpx.Client(base_url=endpoint.url, timeout=20) as client:
            yield publisher, client


def route(client, **about):
    done = client.post("/routes", json=WHO | about)
    assert done.status_code == 200, done.text
    return done.json()["serving"]


def test_an_ab_test_answers_each_unit_by_the_same_arm_until_it_is_changed(tmp_path):
    with endpoint(tmp_path) as (publisher, client):
        assert route(client, **HALVES) == "an A/B test of 100 % of the units: crypto@1 50 %, crypto@2 50 %"
        cut, test = publisher.router.route.cut, publisher.router.route.test
        by_unit = {}
        for n in range(60):
            body = OWN if n % 2 else {"key": "ETH-USD"}
            said = client.post("/predict", json=body | {"unit": f"u{n}"}).json()
            by_unit[f"u{n}"] = said["version"]
            assert said["version"] == assigned(test, f"u{n}", cut)
            assert said["predictions"]["rise"]["probability"] == {"crypto@1": 0.1, "crypto@2": 0.2}[said["version"]] * (
                1.0 if n % 2 else 0.5
            )
        assert len(set(by_unit.values())) == 2
        assert client.get("/predict", params={"key": "ETH-USD", "unit": "u3"}).json()["version"] == by_unit["u3"]
        id = client.post("/predict", json=OWN | {"unit": "u5"}).json()["prediction_id"]
        assert client.get(f"/predictions/{id}").json()["propensity"] == 0.5
        route(client, **HALVES | {"arms": {"champion": 0.4, "crypto@2": 0.6}, "coverage": 1.0})
        for unit, version in by_unit.items():
            said = client.post("/predict", json=OWN | {"unit": unit}).json()["version"]
            assert said == version or (version, said) == ("crypto@1", "crypto@2")
        told = client.get("/routes").json()
        assert [entry["by"] for entry in told["entries"]] == ["ada", "ada"] and told["test"] == test


def test_a_stop_is_in_force_at_once_and_no_request_fails_meanwhile(tmp_path):
    with endpoint(tmp_path) as (_, client):
        route(client, **HALVES)
        said, stop = [], threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=client.base_url, timeout=20) as own:
                while not stop.is_set():
                    said.append(own.post("/predict", json=OWN | {"unit": f"u{len(said)}"}))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            route(client, kind="stop")
            versions = {client.post("/predict", json=OWN | {"unit": f"v{n}"}).json()["version"] for n in range(20)}
            assert versions == {"crypto@1"}, "what serves answers, and nothing that was stopped"
            route(client, **HALVES)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(said) > 20 and {reply.status_code for reply in said} == {200}
        assert {reply.json()["version"] for reply in said} == {"crypto@1", "crypto@2"}


def test_a_route_needs_the_token_and_another_process_is_followed(tmp_path):
    with endpoint(tmp_path, token="a-secret-of-the-house") as (publisher, client):
        assert client.post("/routes", json=HALVES).status_code == 401
        assert publisher.router.route.kind == "champion"
        from rtml.registry.registry import Registry
        from rtml.registry.routing.route import Routes

        other = Registry(tmp_path)
        Routes(other, "crypto").change("canary", {"crypto@2": 0.05}, "ada", "from a console", at=99)
        other.close()
        publisher.router.refresh()
        assert publisher.router.route.weights == {"crypto@1": 0.95, "crypto@2": 0.05}


@pytest.mark.parametrize(
    ("about", "status", "says"),
    [
        ({"arms": {"champion": 0.5, "crypto@2": 0.6}}, 422, "weights must add up to 1, got crypto@1 0.5 and crypto@2"),
        ({"arms": {"champion": 0.5, "crypto@9": 0.5}}, 404, "no version 'crypto@9'"),
        ({"arms": {"crypto@3": 0.5, "crypto@2": 0.5}}, 422, "crypto@1 serves and must be an arm too"),
        ({"arms": {"champion": 1.0}}, 422, "ab takes one version or more beside crypto@1, which serves"),
        ({"arms": {"champion": 0.5, "crypto@1": 0.5}}, 422, "an arm is named twice"),
        ({"kind": "canary", "arms": {"crypto@2": 0.1}, "steps": [0.05]}, 422, "each larger than the one before"),
        ({"kind": "dice"}, 422, "kind must be one of ab, canary, bandit, next, stop, got 'dice'"),
        ({"kind": "next", "arms": {}}, 422, "only a canary with steps left has a next one, this is what serves"),
        ({"kind": "stop", "arms": {"crypto@2": 1}}, 404, "no arm 'crypto@2' to stop; there are: none"),
        ({"coverage": 0.0}, 422, "coverage is a share above 0, at most 1, got 0.0"),
        ({"by": "moon"}, 422, "by must be unit or key, got 'moon'"),
        ({"kind": "bandit", "policy": "luck"}, 422, "policy must be one of thompson, ucb, exp3-ix, got 'luck'"),
        ({"arms": {"champion": 1.0, "crypto@2": 0.0}}, 422, "the weight of an arm must be above 0"),
        ({"who": "router"}, 422, "who decided must be a person, got 'router'"),
        ({"when": "now"}, 422, "when: is not a field of this request"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_changes_nothing(tmp_path, about, status, says):
    with endpoint(tmp_path) as (publisher, client):
        refused = client.post("/routes", json=HALVES | about)
        assert refused.status_code == status and says in refused.json()["error"], refused.text
        assert publisher.router.route.kind == "champion" and not publisher.router.routes.entries()


def test_a_request_without_its_unit_is_refused_and_by_key_one_without_its_key(tmp_path):
    with endpoint(tmp_path) as (_, client):
        route(client, **HALVES)
        refused = client.post("/predict", json={"key": "ETH-USD"})
        assert refused.status_code == 422 and refused.json()["field"] == "unit"
        assert "unit: is required while an A/B test of 100 % of the units" in refused.json()["error"]
        route(client, kind="stop")
        route(client, **HALVES, by="key")
        assert client.post("/predict", json=OWN).json()["field"] == "key"
        assert client.post("/predict", json=OWN | {"key": "ETH-USD"}).status_code == 200


def test_a_stream_of_one_key_without_a_name_is_routed_by_it(tmp_path, monkeypatch):
    with endpoint(tmp_path) as (publisher, client):
        of_one_key = partial(snapshot, keys=("",), models={"rise": Even()}, targets=(FRAUD,))
        monkeypatch.setattr(publisher, "snapshot_of", of_one_key)
        publisher.refresh()
        route(client, **HALVES, by="key")
        assert client.post("/predict", json=OWN | {"key": ""}).status_code == 200
        assert client.post("/predict", json=OWN | {"symbol": ""}).status_code == 200


def test_of_an_arm_that_fails_what_serves_answers_and_it_is_counted(tmp_path):
    with endpoint(tmp_path, models={"crypto@1": Weighted(0.1, 0), "crypto@2": Broken()}) as (publisher, client):
        route(client, **HALVES)
        for n in range(20):
            said = client.post("/predict", json=OWN | {"unit": f"u{n}"})
            assert (said.status_code, said.json()["version"]) == (200, "crypto@1")
            assert client.post("/answers", json={"prediction_id": said.json()["prediction_id"], "y": 1.0}).is_success
        publisher.router.learn()
        answered = {arm: units for arm, (units, _) in publisher.router.experiment.losses.items()}
        assert answered["crypto@2"] == 0 < answered["crypto@1"] < 20, "what another answered is not its own"
        first, second = client.get("/routes").json()["arms"]
        assert first["failures"] == 0 and second["failures"] == second["units"] > 3
        lines = client.get("/metrics").text.splitlines()
        assert f'rtml_arm_failures{{arm="crypto@2"}} {second["failures"]}.0' in lines


def test_a_promotion_ends_a_test_and_when_every_arm_is_stopped_what_serves_answers(tmp_path):
    with endpoint(tmp_path) as (_, client):
        route(client, kind="ab", arms={"champion": 0.2, "crypto@2": 0.4, "crypto@3": 0.4})
        assert route(client, kind="stop", arms={"crypto@2": 0}).endswith("crypto@1 60 %, crypto@3 40 %")
        assert route(client, kind="stop", arms={"crypto@3": 0}) == "what serves answers everything"
        assert client.post("/predict", json=OWN).json()["version"] == "crypto@1"
        route(client, **HALVES)
        assert client.post("/promote", json=WHO | {"version": "crypto@3"}).status_code == 200
        assert client.post("/predict", json=OWN).json()["version"] == "crypto@3"
        assert client.get("/routes").json()["route"] == "what serves answers everything"


def answered(publisher, rng, n, rate=0.5, first=0):
    """Requests with their answers, joined."""
    given = []
    for i in range(first, first + n):
        features = {"return_1": float(rng.random()), "imbalance_60s": float(rng.random())}
        said = publisher.service.ask(PredictRequest(features=features, key="ETH-USD", unit=f"u{i}"))
        given.append((said.prediction_id, float(rng.random() < rate)))
    for id, y in given:
        future = publisher.service.tell(id, y)
    future.result()
    publisher.router.learn()


def test_an_ab_test_advises_what_is_better_and_stops_what_is_worse_from_served_and_joined_answers(tmp_path):
    models = {"crypto@1": Weighted(0.5, 0), "crypto@2": Weighted(0.0, 0.0), "crypto@3": Weighted(0.98, 0)}
    with several(tmp_path, models) as publisher:
        rng, router = np.random.default_rng(7), publisher.router
        arms = {"champion": 0.4, "crypto@2": 0.3, "crypto@3": 0.3}
        router.change("ab", arms, "ada", "to see it")
        for first in range(0, 3000, 500):
            answered(publisher, rng, 500, rate=0.06, first=first)
            if len(router.route.arms) == 0 or router.route.weights.get("crypto@3", 0) == 0:
                break
        last = router.routes.entries()[-1]
        assert last.evidence["by"] == "router" and last.why.startswith("crypto@3 is worse than crypto@1: loss +")
        for first in range(3000, 9000, 500):
            answered(publisher, rng, 500, rate=0.06, first=first)
            if router.advice:
                break
        assert router.advice.startswith("crypto@2 is better than crypto@1: loss -") and "promote it" in router.advice
        rows = {row["arm"]: row for row in router.as_dict()["arms"]}
        assert rows["crypto@2"]["gain_low"] > 0 > rows["crypto@3"]["gain_high"]
        assert {"precision", "recall", "f1", "fpr", "capture_rate", "log_loss"} <= rows["crypto@1"]["metrics"].keys()
        assert rows["crypto@1"]["coverage"] == 1.0 and rows["crypto@1"]["delay_s"] > 0


def test_a_restart_comes_to_the_same_evidence(tmp_path):
    with several(tmp_path, log=tmp_path / "log.db") as publisher:
        publisher.router.change("bandit", {"crypto@2": 1}, "ada", "to see it", policy="exp3-ix")
        answered(publisher, np.random.default_rng(7), 300)
        with publisher.service.log.reading() as database:
            chances = {p for (p,) in database.execute("select propensity from prediction")}
        assert chances == {0.5}, "until the first answers"
        kept, weights = publisher.router.experiment, publisher.router._active.weights
        from rtml.serving.router import Router

        again = Router(publisher.registry, publisher)
        again.refresh()
        again.learn()
        assert again._active.weights == weights and weights["crypto@2"] != 0.5
        assert again.experiment.facts("crypto@2") == kept.facts("crypto@2") and kept.answers == 300


def test_a_canary_that_fails_is_stopped_and_a_healthy_one_grows_and_is_promoted(tmp_path):
    models = {"crypto@1": Weighted(0.5, 0), "crypto@2": Broken(0.2), "crypto@3": Weighted(0.5, 0)}
    with several(tmp_path, models) as publisher:
        rng, router = np.random.default_rng(7), publisher.router
        router.change("canary", {"crypto@2": 0.1}, "ada", "to see it", steps=(0.5,))
        answered(publisher, rng, 1000)
        assert router.route.kind == "champion"
        why = router.routes.entries()[-1].why
        assert "crypto@2 is worse than crypto@1" in why and "failures of crypto@2 beside 0 of crypto@1" in why
        router.change("canary", {"crypto@3": 0.2}, "ada", "to see it", steps=(0.5,), after=100, promote=True)
        for first in range(1000, 4000, 250):
            answered(publisher, rng, 250, first=first)
            if publisher.registry.champion("crypto").number == 3:
                break
        acts = [entry.why for entry in router.routes.entries()[-2:]]
        assert acts[0] == "ada: to see it" or acts[1].startswith("crypto@3 answered")
        assert publisher.registry.champion("crypto").name == "crypto@3" and router.route.kind == "champion"
        assert publisher.registry.ledger("crypto")["by"].tolist()[-1] == "router"


def test_a_version_in_a_test_is_not_collected(tmp_path):
    with several(tmp_path) as publisher:
        publisher.router.change("ab", {"champion": 0.5, "crypto@2": 0.5}, "ada", "to see it")
        assert [version.name for version in publisher.registry.collect("crypto", keep=0)] == ["crypto@3"]
