"""A challenger that serves: named in every answer, followed by other processes, explained, promoted by a person."""

from contextlib import ExitStack, closing

import pytest
from runs import market_run

from rtml.core.clock import span
from rtml.registry.registry import Registry
from rtml.serving.explain import explain
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.serving.stream_schemas import PromoteRequest, RollbackRequest
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

LATE = "shadowed:Late"
NAMED = f"crypto@learner:{LATE}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run served event by event; a person promotes a challenger at event 500, and takes it back at 1,000."""
    folder, given, source = tmp_path_factory.mktemp("lineages"), [], open_source("synthetic", hours=0.25)
    (folder / ".rtml-run").touch()
    config = market_run(source.symbols, source.name, models={"return": "shadowed:Early", "volatility": "zero"})
    config = config.with_challengers([LATE]).write(folder / "recipe.json")
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(folder / "events.db"))
        ingest(source, log, PART)
        registry = stack.enter_context(closing(Registry(folder / "registry")))
        service = stack.enter_context(closing(Service(folder / "predictions.db", StreamClock())))
        publisher = Publisher(service, registry, config, folder / "training.db")
        places = (log, PART, folder / "training.db", registry, "crypto", span("5m"))
        trainer = Trainer(config.flow(), *places, publish="learner", on_outcome=publisher.outcome)
        stack.enter_context(closing(trainer))
        promotions, own = Promotions(publisher), dict.fromkeys(config.flow().features.names, 0.5)
        for until in range(1, log.last(PART) + 1):
            before = publisher.questions
            trainer.run(until, settle=False)
            publisher.committed()
            given += [service.predict()] if publisher.questions > before else []
            if until in (500, 1000):
                given.append(service.predict_features(own))
            if until == 500:
                promotions.promote(PromoteRequest(version=NAMED, who="ada", why="looks good"))
            if until == 1000:
                promotions.rollback(RollbackRequest(who="ada", why="it does not"))
        trainer.run()
        with pytest.raises(LookupError, match="no lineage 'laet'; there are: learner, shadowed:Late"):
            promotions.promote(PromoteRequest(version="crypto@learner:laet", who="ada", why="a typo"))
        assert [act.version for act in promotions.ledger().acts] == ["crypto@learner", NAMED, "crypto@learner"]
        return folder, given, publisher.scores.as_dict()


def test_every_answer_names_the_lineage_that_gave_it(run):
    _, given, _ = run
    names = [one.version for one in given]
    first, last = names.index(NAMED), len(names) - names[::-1].index(NAMED)
    assert 20 < first < last < len(names) - 5 and set(names[first:last]) == {NAMED}
    assert set(names[:first] + names[last:]) == {"crypto@learner"}
    values = {one.version: one.answers()["return"]["value"] for one in given}
    assert values[NAMED] == 0.0 and values["crypto@learner"] == 9.0


def test_what_any_lineage_gave_is_explained_to_the_same_bytes(run):
    folder, given, _ = run
    own = [place for place, one in enumerate(given) if one.question is None]
    for one in (given[own[0] - 5], given[own[0]], given[own[1] - 5], given[own[1]], given[-1]):
        told = explain(folder, one.prediction_id)
        assert told.same and told.given["version"] == one.version


def test_who_follows_the_store_names_and_scores_the_same(run):
    folder, given, scores = run
    config = RunConfig.read(folder / "recipe.json")
    with closing(Service(clock=StreamClock())) as service, closing(Registry(folder / "registry")) as registry:
        publisher, named, take = Publisher(service, registry, config, folder / "training.db"), {}, service.answered
        service.answered = lambda one: (named.update({one.id: one.version}), take(one))[1]
        assert publisher.follow() and publisher.version == "crypto@learner"
    told = {one.question: one.version for one in given if one.question is not None}
    assert told.items() <= named.items() and publisher.scores.as_dict() == scores
