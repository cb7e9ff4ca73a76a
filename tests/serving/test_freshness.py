"""Every response says how old its features are; what is too old or absent is treated as its feature declares."""

from contextlib import closing

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from published import Weighted, ask, snapshot
from runs import trained

from rtml.core.clock import ManualClock, span
from rtml.core.run_folder import Run
from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.pipeline.serve import published
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.freshness import Freshness
from rtml.serving.schemas import Refused
from rtml.serving.service import Service

x = column("x")
MORNING = span("100d") + span("6h")


def declared(policy="", ttl="1h"):
    """A streaming feature that may be stale, and one that a nightly job computes."""
    recent = Feature("recent", x.over("10m", "mean"), "", "recent mean", 0.5, ttl=ttl, policy=policy)
    daily = Feature("daily", x.over("1d", "mean").held("1d"), "", "mean of the day before", ttl="3d")
    return FeatureSet([recent, daily], columns=["x"])


def served(policy=""):
    """A service with one question of six in the morning, its features 3 and 1; predictions are 10 recent + daily."""
    features, clock = declared(policy), ManualClock(MORNING)
    service = Service(clock=clock)
    fresh = Freshness(features)
    service.publish(snapshot(model=Weighted(10.0, 1.0), names=features.names, freshness=fresh))
    ask(service, MORNING, [3.0, 1.0])
    return service, clock, fresh


def value(given):
    return given.answers()["return"]["value"]


def test_each_group_has_the_age_of_what_it_was_computed_from():
    service, clock, _ = served()
    with closing(service):
        clock.advance(span("90s"))
        given = service.predict("ETH-USD")
        assert given.ages_s == {"streaming": 90.0, "batch 1d": 6 * 3600 + 90.0} and given.age_ms == 90_000
        assert (given.stale, given.filled, value(given)) == ((), (), 31.0)


def test_what_is_older_than_its_ttl_is_flagged_and_never_before():
    service, clock, fresh = served()
    with closing(service):
        clock.advance(span("1h"))
        assert service.predict("ETH-USD").stale == ()
        clock.advance(1)
        given = service.predict("ETH-USD")
        assert (given.stale, value(given)) == (("recent",), 31.0), "served as it is, and said"
        clock.advance(span("3d"))
        assert service.predict("ETH-USD").stale == ("recent", "daily")
        assert fresh.counts == {("recent", "stale"): 2, ("daily", "stale"): 1}


def test_a_stale_feature_is_replaced_by_its_default_served_or_refused_as_declared():
    given = {}
    for policy in ("last", "default", "refuse"):
        service, clock, fresh = served(policy)
        with closing(service):
            clock.advance(span("2h"))
            try:
                given[policy] = service.predict("ETH-USD")
                told = service.given(given[policy].prediction_id)
                assert told["predictions"]["return"] == value(given[policy]), "what was served is what is logged"
            except Refused as ex:
                assert ex.status == 503 and "feature 'recent' is older than its TTL" in ex.refusal.error
            assert fresh.counts["recent", {"last": "stale", "default": "default", "refuse": "refused"}[policy]] == 1
    assert (value(given["last"]), given["last"].filled, given["last"].stale) == (31.0, (), ("recent",))
    assert (value(given["default"]), given["default"].filled) == (6.0, ("recent",)), "10 times .5, plus 1"
    assert given["default"].ages_s["streaming"] == 7200.0 and "refuse" not in given


@pytest.mark.parametrize(("policy", "expected"), [("default", 10 * 0.5 + 2), ("last", 10 * 3.0 + 2)])
def test_a_feature_that_a_request_does_not_bring_is_filled_in_as_declared(policy, expected):
    service, _, fresh = served(policy)
    with closing(service):
        given = service.predict_features({"daily": 2.0}, "ETH-USD")
        assert (value(given), given.filled) == (expected, ("recent",)) and fresh.counts["recent", policy] == 1
        assert service.given(given.prediction_id)["features"]["daily"] == 2.0
        for wrong in ({"recent": 1.0}, {"daily": 2.0, "other": 1.0}):
            with pytest.raises(Refused, match=r"features\.(daily|other)"):
                service.predict_features(wrong, "ETH-USD")


def test_without_a_policy_a_request_brings_every_feature():
    service, _, _ = served()
    with closing(service), pytest.raises(Refused, match="recent: is required"):
        service.predict_features({"daily": 2.0}, "ETH-USD")
    with pytest.raises(ValueError, match="policy of 'f' must be last, default or refuse, got 'zero'"):
        Feature("f", x, "", "", policy="zero")
    assert declared("last").definition == declared().definition, "what is served in its place is no other feature"
    assert "policy:  -> last" in declared().diff(declared("last")).loc["recent", "how"]


def test_ages_and_flags_are_in_the_response_and_counted_in_metrics():
    service, clock, _ = served("default")
    with closing(service), Endpoint(make_app(service)) as endpoint, httpx.Client(base_url=endpoint.url) as client:
        clock.advance(span("2h"))
        body = client.post("/predict", json={"key": "ETH-USD"}).json()
        assert (body["stale"], body["filled"], body["ages_s"]["streaming"]) == (["recent"], ["recent"], 7200.0)
        families = text_string_to_metric_families(client.get("/metrics").text)
        counts = {tuple(s.labels.values()): s.value for f in families for s in f.samples if "at_serve" in s.name}
        assert counts == {("recent", "stale"): 1.0, ("recent", "default"): 1.0}


def test_a_run_that_is_served_says_the_age_of_its_features(tmp_path):
    trained(tmp_path, {"return": "rls"})
    with closing(Service()) as service:
        published(Run(tmp_path, "serving"), service)
        given = service.predict("BTC-USD")
    assert given.stale == () and np.isclose(given.ages_s["streaming"], given.age_ms / 1e3, atol=1.0)
