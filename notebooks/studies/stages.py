"""Stages of online prediction: the same features, model and payments, differing in when each part is computed.

From a score that was stored last night and is looked up, to windows that know the payment of a second ago. What is
asked of each stage: how fresh is it, what does it compute for keys that nobody asks for, and how good is it?

Stages after Huyen, "Real-time machine learning: challenges and solutions" (2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtml.core.clock import NEVER, span
from rtml.core.operator import Asked
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.training.retraining.strategy import build
from rtml.usecases.fraud import use_case as fraud
from rtml.usecases.fraud.operator import Checkout
from rtml.usecases.fraud.schema import PAYMENT

MODEL = "recursive_logistic"
_REQUEST = ("amount", "log_amount", "above_100", "above_200", "above_500", "night", "weekend")
_HOWS = ("count", "sum", "mean", "max", "std")
_UNITS = {"count": "count"}


@dataclass(frozen=True)
class History:
    """Payments in the order in which they were heard of, and their labels as they arrived."""

    asked: Asked
    card: np.ndarray
    terminal: np.ndarray
    amount: np.ndarray
    y: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, events: np.ndarray) -> History:
        """Read it from the events of a log, by the use case's own rules for what is late, repeated or contradicting."""
        request = Checkout(fraud.features(windows=False))
        asked = request.push(events)
        paid = pd.DataFrame(events[events["kind"] == PAYMENT]).drop_duplicates("id").set_index("id").loc[asked.id]
        y, known = np.full(len(asked.id), np.nan), np.full(len(asked.id), NEVER)
        place = pd.Index(asked.id).get_indexer(asked.answered)
        y[place], known[place] = asked.y, asked.known
        columns = (paid[name].to_numpy().copy() for name in ("card", "terminal", "amount"))
        return cls(asked, *columns, y, known)

    def questions(self, X: np.ndarray, names: tuple[str, ...]) -> Questions:
        """The payments asked with other features."""
        return Questions(self.asked.id, self.asked.moment, np.ascontiguousarray(X), self.y, self.known, names)


@dataclass(frozen=True)
class Source:
    """A set of windows by card or terminal, and the rows (time, key, value) that they are over."""

    features: Callable[[], FeatureSet]
    key: np.ndarray  #: of each payment, whom the windows are read of
    time: np.ndarray
    of: np.ndarray
    value: np.ndarray


def sources(history: History) -> dict[str, Source]:
    """The windows of card and terminal, over payments and over the labels that arrived."""
    asked, told = history.asked, np.flatnonzero(np.isfinite(history.y))
    told = told[np.argsort(history.known[told], kind="stable")]
    found = {}
    for key, ids in (("card", history.card), ("terminal", history.terminal)):
        found[f"{key} payments"] = Source(_spending(key), ids, asked.moment, ids, history.amount / 100)
        found[f"{key} labels"] = Source(_risk(key), ids, history.known[told], ids[told], history.y[told])
    return found


def stored(source: Source, moment: np.ndarray, every: str) -> tuple[np.ndarray, dict]:
    """What a job stores for all keys every ``every``, looked up at each payment; and what the job cost.

    Costs: ``computed`` rows of all keys, ``used`` those that a payment asked for, and ``cpu_seconds``.
    """
    features, step = source.features(), span(every)
    tick, out, begun = moment // step, np.empty((len(moment), len(features.names))), time.process_time()
    computed = used = done = 0
    for at in np.unique(tick).tolist():
        upto = int(np.searchsorted(source.time, at * step))  # rows of the tick's own moment come after the job
        features.push(source.time[done:upto], source.value[done:upto, None], source.of[done:upto])
        keys, done = features.keys(), upto
        table = features.read(np.full(len(keys), at * step), keys)
        asked = np.flatnonzero(tick == at)
        place = pd.Index(keys).get_indexer(source.key[asked])
        out[asked] = table[place] if len(keys) else 0.0
        out[asked[place < 0]] = [f.default for f in features.features]
        computed, used = computed + len(keys), used + len(np.unique(place[place >= 0]))
    return out, {"computed": computed, "used": used, "cpu_seconds": time.process_time() - begun}


def live(source: Source, moment: np.ndarray, every: str = "") -> tuple[np.ndarray, dict]:
    """Windows as they are when a payment asks, itself not included; with ``every`` as they were at the last tick.

    Only the keys that are asked for are read, so this is also the cheap way to see what an older value is worth.
    """
    features = source.features()
    at, begun = (moment // span(every) * span(every) if every else moment), time.process_time()
    out = features.join(source.time, source.value[:, None], source.of, at, source.key, ties="reads")
    return out, {"computed": len(at), "used": len(at), "cpu_seconds": time.process_time() - begun}


def refined(history: History, windows: np.ndarray, names: tuple[str, ...]) -> Questions:
    """What the request says, what the windows say, and this payment held against the card's usual ones."""
    euro, extra, called = history.amount / 100, [], []
    for w in fraud.WINDOWS:
        mean, spread = (windows[:, names.index(f"card_{how}_{w}")] for how in ("mean", "std"))
        extra += [(euro - mean) / (spread + 5.0), np.clip(np.log((euro + 1.0) / (mean + 1.0)), -4.0, 4.0)]
        called += [f"card_score_{w}", f"card_ratio_{w}"]
    X = np.concatenate([history.asked.X, windows, np.stack(extra, axis=1)], axis=1)
    return history.questions(X, (*_REQUEST, *names, *called))


def ask(questions: Questions, schedule: str = "") -> np.ndarray:
    """Predictions of a model that learns every label on arrival; with a schedule, of the version it published last."""
    return progressive(build(f"{MODEL}: {schedule}" if schedule else MODEL, questions.names), questions).predictions


def log_odds(p: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, for one model to learn from another's."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


@dataclass(frozen=True)
class Stages:
    """Predictions of each stage, and a table of when and for whom each part was computed."""

    predictions: dict[str, np.ndarray]
    table: pd.DataFrame


def compare(history: History, every: str = "1d", done: Callable[[str], object] = str) -> Stages:
    """Run the five stages over the same payments; ``done`` is told the name of each."""
    said, rows = {}, {}
    for stage, predictions, row in _each(history, every):
        said[stage], rows[stage] = predictions, row
        done(stage)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")
    return Stages(said, table.astype({"computed": int, "used": int}))


def _each(history: History, every: str) -> Iterator[tuple[str, np.ndarray, dict]]:
    """Name, predictions and costs of every stage, the least fresh first."""
    moment, parts, scores = history.asked.moment, sources(history), []
    names = {name: part.features().names for name, part in parts.items()}
    stale = {name: stored(part, moment, every) for name, part in parts.items()}
    age = float((moment % span(every)).mean()) / 3.6e12
    for key in ("card", "terminal"):
        own = [name for name in parts if name.startswith(key)]
        X = np.concatenate([stale[name][0] for name in own], axis=1)
        asked = history.questions(X, sum((names[name] for name in own), ()))
        scores.append(ask(asked, f"stateful every {every}"))
        yield f"batch score of the {key}", scores[-1], _row("one stored score", [stale[name] for name in own], age)
    X = np.concatenate([history.asked.X, np.stack([log_odds(p) for p in scores], axis=1)], axis=1)
    p = ask(history.questions(X, (*_REQUEST, "card_said", "terminal_said")))
    yield "hybrid", p, _row("both stored scores, refined", list(stale.values()), age)
    fresh = {name: live(part, moment) for name, part in parts.items()}
    for stage, found, old in (("batch features", stale, age), ("streaming features", fresh, 0.0)):
        X = np.concatenate([X for X, _ in found.values()], axis=1)
        p = ask(refined(history, X, sum(names.values(), ())))
        yield stage, p, _row("windows, and the model", list(found.values()), old)


def _row(request: str, found: list[tuple], age: float) -> dict:
    return {"at the request": request, "age_h": age} | pd.DataFrame([cost for _, cost in found]).sum().to_dict()


def freshness(history: History, spans: list[str], done: Callable[[str], object] = str) -> dict[str, np.ndarray]:
    """Predictions with windows as they were at the last multiple of each span, "" for live."""
    parts, moment = sources(history), history.asked.moment
    names = sum((part.features().names for part in parts.values()), ())
    said = {}
    for every in spans:
        X = np.concatenate([live(part, moment, every)[0] for part in parts.values()], axis=1)
        said[every or "live"] = ask(refined(history, X, names))
        done(every or "live")
    return said


def _spending(key: str) -> Callable[[], FeatureSet]:
    asked = [(w, how) for w in fraud.WINDOWS for how in (_HOWS if key == "card" else ("count",))]
    asked += [("1h", "count"), ("1h", "sum")] if key == "card" else []
    declared = [
        Feature(f"{key}_{how}_{w}", column("amount").over(w, how), _UNITS.get(how, "EUR"), f"{how} of payments in {w}")
        for w, how in asked
    ]
    return lambda: FeatureSet(declared, ["amount"])


def _risk(key: str) -> Callable[[], FeatureSet]:
    return lambda: FeatureSet(fraud.risk(key), ["fraud"])
