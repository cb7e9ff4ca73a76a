"""Explain a prediction that was served: computed again from the log, with all that led to it and what came true."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rtml.core.clock import utc
from rtml.core.later import pd
from rtml.core.state import dumps, loads
from rtml.models.compiled import restore
from rtml.registry.learners import lineage_of
from rtml.registry.lineage import models as models_of_version
from rtml.registry.registry import Registry
from rtml.serving.answers import columns
from rtml.serving.service import logged
from rtml.serving.view import view_of
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.database import exists
from rtml.store.prediction_tables import found, id_number, opened
from rtml.store.protocols import EventLog, run_log
from rtml.training.flow import Flow, Outcome
from rtml.training.run_config import PART, RunConfig

_AT_ONCE = 2_000  # events


@dataclass(frozen=True)
class Explanation:
    """A prediction as it was given, what the log gives when it is computed again, and what belongs to it.

    ``given`` is the row of the prediction log with names; ``recomputed`` the predictions by target, empty where the log
    does not hold the question; ``windows`` the events inside the features' windows; ``learned`` what the state that
    answered had learned; ``answers`` what came true by target, and when that was known.

    Examples
    --------
    >>> given = {"prediction_id": "ab-1", "predictions": {"rise": 0.6}}
    >>> Explanation(given, {"rise": 0.6}, True, "", None).same, Explanation(given, {"rise": 0.7}, True, "", None).same
    (True, False)
    """

    given: dict
    recomputed: dict[str, float | list[float]]
    same_features: bool
    learned: str
    windows: pd.DataFrame
    answers: dict[str, dict] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether predictions and features are the same, to the last bit."""
        return self.same_features and self.recomputed == self.given["predictions"]

    def __str__(self) -> str:
        given = self.given
        verdict = "the same bytes" if self.same else "NOT what the log gives"
        lines = [
            f"{given['prediction_id']}: {given['key'] or 'the stream'} at {given['moment']}, by {given['version']}",
            f"question {given['question']}, {self.learned}",
            f"computed again from the log: {verdict}",
        ]
        for name, prediction in given["predictions"].items():
            came = self.answers.get(name)
            known = f", came {came['y']} (known {came['known']})" if came else ", not known yet"
            lines.append(f"  {name}: {prediction}, again {self.recomputed.get(name)}{known}")
        lines += ["features:"] + [f"  {name} = {value!r}" for name, value in given["features"].items()]
        if len(self.windows):
            lines += ["events inside their windows:", self.windows.to_string(index=False, max_rows=40)]
        return "\n".join(lines)


def explain(folder: Path, prediction_id: str) -> Explanation:
    """Compute a served prediction again from the log of its run.

    Parameters
    ----------
    folder
        Of the run; where notebook 05 served it, the prediction is in ``live/`` below.
    prediction_id
        As ``/predict`` gave it.

    Raises
    ------
    LookupError
        Where no prediction of that id was given.
    """
    below = next((place for place in (folder, folder / "live") if exists(place / "predictions.db")), folder)
    with closing(opened(below / "predictions.db")) as database:
        id = id_number(prediction_id)
        row = None if id is None else found(database, id)
    if row is None:
        raise LookupError(f"no prediction {prediction_id!r} in {below.name}: take an id that /predict gave there")
    config = RunConfig.read(folder / "recipe.json")
    with run_log(below if (below / "events.db").exists() else folder) as log:
        flow, outcome = _again(config.flow(), log, row)
    predictions, x, learned = _recomputed(below, config, flow, outcome, row)
    windows, answers = _windows(config, flow, outcome, row), _answers(below, row["question"])
    return Explanation(logged(prediction_id, row), predictions, x == row["x"], learned, windows, answers)


def _again(flow: Flow, log: EventLog, row: dict) -> tuple[Flow, Outcome | None]:
    """The flow where the prediction was made, and the outcome that asked its question, if it answers one.

    The log is pushed from its first event on; the events that lead to the question are pushed one by one, so that
    nothing behind it is seen.
    """
    after, question = 0, row["question"]
    while len(rows := log.read(PART, after, _AT_ONCE)[1]):
        if question is None:
            rows = rows[: max(row["offset"] - after, 0)]
            if not len(rows):
                break
            flow.push(rows)
        else:
            before = dumps(flow.state)
            if question in flow.push(rows).id:
                flow.load(loads(before))
                for one in range(len(rows)):
                    outcome = flow.push(rows[one : one + 1])
                    if question in outcome.id:
                        return flow, outcome
        after += len(rows)
    return flow, None


def _recomputed(folder: Path, config: RunConfig, flow: Flow, outcome: Outcome | None, row: dict) -> tuple:
    """Predictions by target, bytes of the features, and what had been learned, in words."""
    x = np.frombuffer(row["x"])
    targets = [target for target in config.targets if target.name in config.models]
    if outcome is not None:
        place = outcome.id.tolist().index(row["question"])
        x = outcome.X[place]
    lineage = lineage_of(row["version"])
    if not lineage:
        with closing(Registry(folder / "registry")) as registry:
            version = registry.get(row["version"])
            kept = models_of_version(registry, version)
            learned = f"frozen at {utc(version.at).isoformat()}, " + _lineage(registry.lineage(version))
        predictions = {t.name: columns(kept[t.name].predict(x), t.outputs) for t in targets}
    elif row["question"] is None:
        models = {t.name: restore(flow.lineages.learner(lineage, t.name).model.state) for t in targets}
        predictions = {t.name: columns(models[t.name].predict(x), t.outputs) for t in targets}
        learned = f"the learner's state behind event {row['offset']:,} of the log"
    else:
        by = {} if outcome is None else {outcome.lineage: outcome.predictions} | outcome.challengers
        predictions = {t.name: by[lineage][t.name][place] for t in targets if by}
        learner = flow.lineages.learner(lineage, targets[0].name)
        learned = f"the learner had {learner.answered:,} answers of {learner.asked:,} questions"
    plain = {name: value.tolist() if np.ndim(value) else float(value) for name, value in predictions.items()}
    return plain, np.asarray(x).tobytes(), learned


def _lineage(chain: list) -> str:
    return " on top of ".join(f"{version.name} ({version.learned or 'nothing recorded'})" for version in chain)


def _windows(config: RunConfig, flow: Flow, outcome: Outcome | None, row: dict) -> pd.DataFrame:
    """Events inside the windows of every feature, where the feature sets can list them; each window once."""
    if outcome is None:
        return pd.DataFrame()
    tables, key = [], int(outcome.key[outcome.id.tolist().index(row["question"])])
    for features, own in view_of(config).windows(flow.operator, row["question"], key):
        for name in features.names:
            tables.append(features.explain(own, name))
    whole = pd.concat(tables) if tables else pd.DataFrame()
    return whole.drop_duplicates().reset_index(drop=True)


def _answers(folder: Path, question: int | None) -> dict[str, dict]:
    """What the training knows by now of a question: by target what it learned, and when that was known."""
    if question is None or not exists(folder / "training.db"):
        return {}
    with closing(CheckpointReader(folder / "training.db")) as reader:
        rows = reader.answers_of(question)
    return {one.target: {"y": one.y, "known": utc(one.known).isoformat()} for one in rows}


def show(run: Path, prediction: str) -> int:
    """Print the explanation of a prediction; the exit code of ``rtml explain RUN PREDICTION``."""
    explanation = explain(run, prediction)
    print(explanation)
    return 0 if explanation.same else 1
