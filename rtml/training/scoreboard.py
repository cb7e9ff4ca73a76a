"""The running score of a learning flow: questions that wait, and answers scored since the start and since a version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rtml.metrics.running import Score
from rtml.training.flow import Outcome
from rtml.usecases.crypto.labels import TARGETS

#: Which figures of a score are kept with a version.
METRICS = {"return": ("mse", "mae", "r2_zero", "hit_rate"), "volatility": ("mse", "mae")}
_OTHERS = ("mse",)  # of a probability: its Brier score


class Scoreboard:
    """Scores by target; any cutting of the stream gives the same bits.

    Examples
    --------
    >>> Scoreboard(["return"]).metrics()["return_answered"]
    0
    """

    def __init__(self, names: Iterable[str], targets: Mapping[str, Callable] = TARGETS) -> None:
        self._targets = {name: targets[name] for name in names}
        self._all = {target: Score() for target in self._targets}
        self._open: dict[str, dict[int, float]] = {target: {} for target in self._targets}
        self.renew()

    def renew(self) -> None:
        """Begin the recent score again."""
        self._recent = {target: Score() for target in self._targets}

    def take(self, outcome: Outcome) -> tuple[list[tuple], list[tuple]]:
        """Remember what was asked, score what was answered; both as the journal takes them.

        An answer to a question that was never seen here, asked before the training began, is not scored.
        """
        asked, answered = [], []
        for target, predictions in outcome.predictions.items():
            new = list(zip(outcome.id.tolist(), outcome.moment.tolist(), predictions.tolist(), strict=True))
            asked += [(target, *row) for row in new]
            self._open[target].update((id, prediction) for id, _, prediction in new)
            answered += self._score(target, outcome)
        return asked, answered

    def scores(self) -> dict[str, dict[str, float]]:
        """Every figure of every target since the start."""
        return {target: score.get() for target, score in self._all.items()}

    def metrics(self) -> dict[str, float]:
        """The figures that say how good a version is, named ``<target>_<metric>``, with ``_recent`` behind for those
        since the version before."""
        found = {}
        for suffix, scores in (("", self._all), ("_recent", self._recent)):
            for target, score in scores.items():
                figures, names = score.get(), METRICS.get(target, _OTHERS)
                found |= {f"{target}_{name}{suffix}": figures[name] for name in (*names, "answered")}
        return found

    @property
    def state(self) -> dict:
        """Everything, for a checkpoint."""
        waiting = {target: [list(row) for row in rows.items()] for target, rows in self._open.items()}
        scores = ({target: score.state for target, score in part.items()} for part in (self._all, self._recent))
        return {"open": waiting} | dict(zip(("all", "recent"), scores, strict=True))

    def load(self, state: dict) -> None:
        """Go on from a checkpoint."""
        self._open = {target: dict(rows) for target, rows in state["open"].items()}
        for name, scores in (("all", self._all), ("recent", self._recent)):
            for target, score in scores.items():
                score.load(state[name][target])

    def _score(self, target: str, outcome: Outcome) -> list[tuple]:
        if not len(outcome.answered):
            return []
        waiting, y = self._open[target], self._targets[target](outcome.y)
        rows = zip(y.tolist(), outcome.known.tolist(), outcome.answered.tolist(), strict=True)
        answered = [(value, known, target, id) for value, known, id in rows if id in waiting]
        predictions = [waiting.pop(id) for *_, id in answered]
        for scores in (self._all, self._recent):
            scores[target].update([value for value, *_ in answered], predictions)
        return answered
