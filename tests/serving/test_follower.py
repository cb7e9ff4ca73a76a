"""A service that follows the stores of other processes: what serves can be changed, and what stands still is said."""

import json
import threading
from contextlib import closing
from dataclasses import replace

import httpx
import pytest
from following import wait_for

from rtml.pipeline.options import SourceOptions
from rtml.registry.registry import Registry
from rtml.registry.routing.route import Routes
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.follower import Follower
from rtml.serving.live.session import Live
from rtml.training.run_config import RunConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that an ingest and a training process have left."""
    folder = tmp_path_factory.mktemp("follower") / "run"
    source_options = SourceOptions("synthetic", speed=0.0, hours=0.5)
    with Live(folder, source_options, every="3m", port=None, out=lambda line: None) as session:
        session.run(threading.Event(), once=True)
    return folder


def status(follower: Follower) -> dict:
    return json.loads(follower.service.stream.status) or {}


def test_what_serves_is_changed_over_http_and_entered_in_the_ledger(folder):
    with Follower(folder) as follower, Endpoint(make_app(follower.service, promotions=follower)) as endpoint:

        def asked(what: str, **about):
            return httpx.post(f"{endpoint.url}/{what}", json=about | {"who": "me", "why": "to see it"}, timeout=10)

        def served() -> str:
            return httpx.get(f"{endpoint.url}/predict?key=ETH-USD", timeout=10).json().get("version", "")

        wait_for(served, "the learner serves")
        assert served() == "crypto@learner"
        assert asked("promote", version="crypto@2").json() == {"serving": "crypto@2"} and served() == "crypto@2"
        wait_for(lambda: status(follower).get("version") == "crypto@2", "the page is told")
        assert asked("rollback").json() == {"serving": "crypto@learner"} and served() == "crypto@learner"
        ledger = follower._registry.ledger("crypto")
        assert ledger["action"].tolist() == ["promote", "promote", "rollback"] and ledger["by"].tolist()[0] == "run"
        assert set(ledger["why"][1:]) == {"me: to see it"}


def test_a_version_answers_a_share_of_the_requests_until_another_process_stops_it(folder):
    with Follower(folder) as follower, Endpoint(make_app(follower.service, promotions=follower)) as endpoint:

        def versions() -> set[str]:
            asked = [{"key": "ETH-USD", "unit": f"u{n}"} for n in range(30)]
            return {httpx.post(f"{endpoint.url}/predict", json=one, timeout=10).json()["version"] for one in asked}

        wait_for(lambda: httpx.get(f"{endpoint.url}/predict?key=ETH-USD", timeout=10).is_success, "it serves")
        begun = {"kind": "ab", "arms": {"champion": 0.5, "crypto@2": 0.5}, "who": "me", "why": "to see it"}
        assert httpx.post(f"{endpoint.url}/routes", json=begun, timeout=10).status_code == 200
        serving = follower.publisher.version
        assert versions() == {serving, "crypto@2"}
        with closing(Registry(folder / "registry")) as other:
            Routes(other, "crypto").change("stop", {}, "me", "seen it", at=1)
        wait_for(lambda: versions() == {serving}, "another process's stop is followed", limit=5)


def test_without_a_training_there_is_nothing_to_promote(tmp_path):
    with Follower(tmp_path / "run") as follower, Endpoint(make_app(follower.service, promotions=follower)) as endpoint:
        asked = {"version": "crypto@2", "who": "me", "why": "too soon"}
        reply = httpx.post(f"{endpoint.url}/promote", json=asked, timeout=10)
        assert reply.status_code == 404 and "there is no training in run yet" in reply.json()["error"]
        wait_for(lambda: status(follower).get("state") == "starting", "the state")


def test_a_market_without_news_is_said_and_the_last_version_goes_on_serving(folder):
    config = RunConfig.read(folder / "recipe.json")
    replace(config, source="exchange:kraken:ETH-USD,BTC-USD").write(folder / "recipe.json")
    try:
        with Follower(folder) as follower:
            wait_for(lambda: status(follower).get("state") == "reconnecting", "the state")  # its bars are of 2025
            message = status(follower)["message"]
            assert message.startswith("no question for ") and message.endswith("are ingest and training running?")
            assert status(follower)["alarms"] == [message] and follower.service.predict("ETH-USD").version
    finally:
        config.write(folder / "recipe.json")
    with Follower(folder) as follower:
        wait_for(lambda: status(follower).get("version"), "a replay serves")
        assert status(follower)["state"] == "replay" and not status(follower)["alarms"]
