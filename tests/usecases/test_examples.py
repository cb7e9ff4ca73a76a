"""The examples: a use case that lies anywhere goes from its source to a served prediction, whatever its kind."""

import shutil
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rtml.core.run_folder import Run
from rtml.evaluation.compare import evaluate
from rtml.evaluation.dataset import build
from rtml.evaluation.leakage import audit
from rtml.pipeline.serve import published
from rtml.pipeline.train import train
from rtml.serving.service import Service
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if "use_case = UseCase(" in path.read_text())
each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
SOME = 1500  # events


@pytest.fixture
def case(example, tmp_path):
    """A copy outside the repository, its configuration and the first events of its source."""
    file = tmp_path / "elsewhere" / f"own_{example.name}"
    file.parent.mkdir()
    shutil.copy(example, file)
    config = RunConfig(str(file), ())
    source = open_source("", config.case, seed=3)
    config = RunConfig(str(file), source.symbols, source.name)
    rows = [source.schema.accept(frame, source.symbols)[0] for frame in source.chunks()]
    return config, np.concatenate(rows)[:SOME]


@each
def test_any_cutting_gives_the_same_and_nothing_leaks(case):
    config, events = case
    whole, flow, parts = config.flow().push(events), config.flow(), []
    for a, b in pairwise([0, 1, 7, 300, 301, len(events)]):
        parts.append(flow.push(events[a:b]))
    for target, predictions in whole.predictions.items():
        assert np.concatenate([part.predictions[target] for part in parts]).tobytes() == predictions.tobytes(), target
    assert len(whole.answered) > 500
    assert len(audit(config.flow, events[:500], cuts=4)) == 3


@each
def test_it_is_stored_evaluated_trained_and_served(case, tmp_path):
    config, _ = case
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".rtml-run").touch()
    config.write(folder / "recipe.json")
    source = open_source("", config.case, seed=3)
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
        data = build(log, PART, config)
    target = data.target()
    table = evaluate([config.models[target.name]], data.of(target.name), target).table()
    assert table["answered"].iloc[0] > 500
    train(folder, every="7d")
    with closing(Service(":memory:")) as service:
        published(Run(folder, "serving"), service)
        for key in config.keys:
            answers = service.predict(key).answers()
            assert set(answers) == {target.name for target in config.targets}
        if target.kind == "number":  # a level: against the mean of the answers that were known, not against zero
            mean = evaluate(["mean", config.models[target.name]], data.of(target.name), target).table().iloc[1]
            assert service.headline.metric == "r2_mean" and 0.3 < service.headline.value < 0.9
            assert service.headline.value == pytest.approx(mean["r2_mean"], abs=0.02)
