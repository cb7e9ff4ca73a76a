"""The running score of a learning flow: questions that wait, and answers scored since the start and since a version."""

from __future__ import annotations

import numpy as np

from rtml.metrics.kinds import kind_of, score_of
from rtml.training.flow import Flow, Outcome


class Scoreboard:
    """Scores of each target, over all keys and for each; any cutting of the stream gives the same bits.

    Examples
    --------
    >>> from rtml.core.target import Target
    >>> Scoreboard(Flow(None, {}, [Target("demand")])).metrics()
    {}
    """

    def __init__(self, flow: Flow) -> None:
        self._targets = {name: flow.targets[name] for name in flow.learners}
        self._label = flow.label_of
        self._all = {name: score_of(target) for name, target in self._targets.items()}
        self._by_key: dict[str, dict[int, object]] = {name: {} for name in self._targets}
        self._open: dict[str, dict[int, tuple]] = {name: {} for name in self._targets}
        self.renew()

    def renew(self) -> None:
        """Begin the recent score again."""
        self._recent = {name: score_of(target) for name, target in self._targets.items()}

    def take(self, outcome: Outcome) -> tuple[list[tuple], list[tuple]]:
        """Remember what was asked, score what was answered; both as the journal takes them.

        An answer to a question that was never seen here, asked before the training began, is not scored.
        """
        asked, answered = [], []
        for target, predictions in outcome.predictions.items():
            new = list(zip(outcome.id.tolist(), outcome.key.tolist(), predictions.tolist(), strict=True))
            asked += [(target, id, _cell(prediction)) for id, _, prediction in new]
            self._open[target].update((id, (key, prediction)) for id, key, prediction in new)
            answered += self._score(target, outcome)
        return asked, answered

    def scores(self) -> dict[str, dict[str, float]]:
        """Every figure of every target since the start."""
        return {target: score.get() for target, score in self._all.items()}

    def by_key(self) -> dict[str, dict[int, dict[str, float]]]:
        """Every figure of every target for each key, by the key's place in the run's keys."""
        return {
            target: {key: score.get() for key, score in sorted(scores.items())}
            for target, scores in self._by_key.items()
        }

    def metrics(self) -> dict[str, float]:
        """The figures that say how good a version is, named ``<target>_<metric>``, with ``_recent`` behind for those
        since the version before."""
        found = {}
        for suffix, scores in (("", self._all), ("_recent", self._recent)):
            for target, score in scores.items():
                figures, names = score.get(), kind_of(self._targets[target]).metrics
                found |= {f"{target}_{name}{suffix}": figures[name] for name in (*names, "answered")}
        return found

    @property
    def state(self) -> dict:
        """Everything, for a checkpoint."""
        waiting = {target: [[id, *row] for id, row in rows.items()] for target, rows in self._open.items()}
        keys = {target: [[key, one.state] for key, one in rows.items()] for target, rows in self._by_key.items()}
        scores = ({target: score.state for target, score in part.items()} for part in (self._all, self._recent))
        return {"open": waiting, "keys": keys} | dict(zip(("all", "recent"), scores, strict=True))

    def load(self, state: dict) -> None:
        """Go on from a checkpoint."""
        self._open = {target: {id: (key, p) for id, key, p in rows} for target, rows in state["open"].items()}
        for target, rows in state["keys"].items():
            self._by_key[target] = {key: score_of(self._targets[target]).load(kept) for key, kept in rows}
        for name, scores in (("all", self._all), ("recent", self._recent)):
            for target, score in scores.items():
                score.load(state[name][target])

    def _score(self, target: str, outcome: Outcome) -> list[tuple]:
        """Score the answers of questions that were asked here: y, known, target and id of each."""
        if not len(outcome.answered):
            return []
        ids, y, known = outcome.answers(self._label[target])
        learned, open_ = self._targets[target].learned(y), self._open[target]
        rows = zip(learned.tolist(), known.tolist(), ids.tolist(), strict=True)
        answered = [(value, at, target, id) for value, at, id in rows if id in open_]
        if not answered:
            return []
        values = [value for value, *_ in answered]
        keys, predictions = zip(*(open_.pop(id) for *_, id in answered), strict=True)
        for scores in (self._all, self._recent):
            scores[target].update(values, predictions)
        of_key: dict[int, list[int]] = {}
        for place, key in enumerate(keys):
            of_key.setdefault(key, []).append(place)
        for key, places in of_key.items():
            if key not in self._by_key[target]:
                self._by_key[target][key] = score_of(self._targets[target])
            self._by_key[target][key].update([values[i] for i in places], [predictions[i] for i in places])
        return answered


def _cell(prediction: float | list[float]) -> float | bytes:
    """A prediction as one cell of a table: a number, or several as their bytes."""
    return np.array(prediction).tobytes() if isinstance(prediction, list) else prediction
