"""Scores of what was served, with the learner's, a frozen version's and the baseline's beside it where they differ."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

import numpy as np

from rtml.core.operator import NOTHING, Asked
from rtml.core.target import itself
from rtml.metrics.kinds import kind_of
from rtml.serving.schemas import Headline
from rtml.training.flow import Flow, Outcome
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build
from rtml.training.run_config import RunConfig
from rtml.training.scoreboard import Scoreboard


class Scores:
    """Scores of one stream of questions, all of them by the trainer's own :class:`Scoreboard`.

    ``learner`` and ``frozen`` are there once a frozen version served: what the learner said all along, and what frozen
    versions served.

    Outcomes come with an answer for each target: ``y`` is what the target learned, ``label`` its place (see
    :meth:`by_target`), so that outcomes of a flow and rows of a checkpoint store score alike.

    Parameters
    ----------
    config
        Of the run.
    flow
        The run's flow, for its targets and features; it is not moved.
    """

    def __init__(self, config: RunConfig, flow: Flow) -> None:
        self._flow, self._keys = flow, config.keys
        self.targets = tuple(target for target in config.targets if target.name in flow.learners)
        given = [replace(target, of=itself, label=target.name) for target in self.targets]
        self._plain = Flow(_Passed(flow), flow.learners, given)
        self.served = Scoreboard(self._plain)
        self.learner = None
        self.frozen = None
        self._baseline = self._plainest(given)
        self.baseline = Scoreboard(self._baseline) if self._baseline else None

    def by_target(self, outcome: Outcome) -> Outcome:
        """An outcome of the flow with an answer for each target, in the order known."""
        if not len(outcome.answered):
            return outcome
        parts = []
        for place, target in enumerate(self.targets):
            id, y, known = outcome.answers(self._flow.label_of[target.name])
            parts.append((id, target.learned(y), known, np.full(len(id), place, np.int8)))
        id, y, known, label = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(known, kind="stable")
        return replace(outcome, answered=id[order], y=y[order], known=known[order], label=label[order])

    def take(self, served: Outcome, learned: Outcome, frozen: np.ndarray) -> None:
        """Score what was served and what the learner said; ``frozen`` says what a frozen version served, (m,)."""
        if frozen.any() and self.learner is None:
            self.learner, self.frozen = Scoreboard(self._plain), Scoreboard(self._plain)
            self.learner.load(self.served.state)
        self.served.take(served)
        if self.learner is not None:
            self.learner.take(learned)
            self.frozen.take(served.part(frozen))
        if self.baseline is not None:
            about = (served.answered, served.y, served.known, served.key, served.label)
            self.baseline.take(self._baseline.push(Asked(NOTHING, served.id, served.moment, served.X, *about)))

    def as_dict(self) -> dict[str, dict]:
        """Every score by name and target: ``served`` always, the others where they differ; figures as JSON has them."""
        boards = {"served": self.served, "learner": self.learner, "frozen": self.frozen, "baseline": self.baseline}
        return {
            name: {target: plain(score) for target, score in self.figures(board).items()}
            for name, board in boards.items()
            if board is not None
        }

    def figures(self, board: Scoreboard) -> dict[str, dict]:
        """Figures of each target; of a level also the share of the running mean's squared error that is taken away."""
        scores = board.scores()
        target = self.targets[0]
        if kind_of(target).headline == "r2_mean":
            worst = self.baseline.scores()[target.name]["mse"]
            share = 1 - scores[target.name]["mse"] / worst if worst > 0 else np.nan
            scores[target.name] = {"r2_mean": share} | scores[target.name]
        return scores

    def headline(self) -> Headline:
        """The first target's first metric of what was served, as a number and as it is written everywhere."""
        target = self.targets[0]
        score, metric = self.figures(self.served)[target.name], kind_of(target).headline
        value = score[metric] if isfinite(score[metric]) else None
        text = f"{target.name} {metric} {'-' if value is None else format(value, '.4f')}"
        about = (score["answered"], score["asked"], kind_of(target).plainest)
        return Headline(target.name, metric, value, text, *about)

    def gauges(self, version: str) -> list[tuple]:
        """Version, target, key (empty: all) and metric of every figure of what was served, and its value."""
        rows = [(target, "", score) for target, score in self.figures(self.served).items()]
        for target, by_key in self.served.by_key().items():
            rows += [(target, self._keys[key], score) for key, score in by_key.items() if len(self._keys) > 1]
        return [(version, t, key, metric, value) for t, key, score in rows for metric, value in score.items()]

    def _plainest(self, targets: list) -> Flow | None:
        """The headline's plainest baseline as a flow of its own, where its kind has one."""
        names, headline = self._flow.features.names, targets[0]
        baselines = kind_of(headline).baselines
        if not baselines:
            return None
        plainest = Learner(build(baselines[0], names, classes=headline.classes), names)
        return Flow(_Passed(self._flow), {headline.name: plainest}, targets)


class _Passed:
    """An operator for questions that were asked already."""

    def __init__(self, flow: Flow) -> None:
        self.features, self.horizon = flow.features, flow.horizon

    def push(self, asked: Asked) -> Asked:
        """What it is given."""
        return asked


def plain(figures: dict[str, float | None]) -> dict[str, float | None]:
    """Figures as JSON has them: what is no number is None.

    Examples
    --------
    >>> plain({"mae": float("nan"), "answered": 5, "y": None})
    {'mae': None, 'answered': 5, 'y': None}
    """
    return {name: None if value is None or not isfinite(value) else value for name, value in figures.items()}
