"""A run goes on from copies: the rest of the stream is learned and served, the run stays as it was."""

import pytest
from runs import market_run

from rtml.core.clock import span
from rtml.core.run_folder import Run
from rtml.registry.registry import Registry
from rtml.serving.continuation import Continuation
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer


@pytest.fixture
def run(tmp_path):
    source, run = open_source("synthetic", hours=0.5), Run(tmp_path, "05_serve")
    with EventLog(tmp_path / "events.db") as log:
        ingest(source, log, PART)
        config, registry = market_run(source.symbols, source.name), Registry(tmp_path / "registry")
        places = (log, PART, tmp_path / "training.db", registry, "crypto", span("5m"))
        trainer = Trainer(config.flow(), *places, chunk=250, publish="learner")
        trainer.run(log.last(PART) // 2)
        trainer.close()
        registry.close()
        run.write_json("training.json", {"after": 0, "every": "5m"})
        yield run, config, log


def test_the_rest_of_the_stream_is_served_as_it_arrives_and_the_run_stays_as_it_was(run):
    folder, _, log = run
    before = (folder.folder / "training.db").read_bytes()
    rest = Continuation(*run)
    first, asked = rest.service.predict(), rest.publisher.questions
    with rest.arriving(seconds=0.5):
        pass
    last = rest.service.predict()
    assert rest.trainer.status().offset == log.last(PART) and rest.publisher.questions > asked
    assert last.features_at > first.features_at and last.question != first.question
    assert rest.publisher.scores.served.scores() == rest.trainer.status().scores
    assert 0 <= last.age_ms < 60_000, "the age is that of the stream's time"
    assert (folder.folder / "training.db").read_bytes() == before
    rest.service.close()


def test_training_that_fails_is_said_and_what_was_published_serves_on(run):
    rest = Continuation(*run)
    with pytest.raises(RuntimeError, match="what was published went on serving"), rest.arriving(seconds=0.2):
        rest.trainer.close()
    assert rest.service.predict().answers()["return"]["value"] is not None
    rest.service.close()
