"""Advice: many settings scored on the same questions, what each costs, and which one to use.

A setting is worth considering (on the Pareto front) if no other is as good in all of loss, samples and publications,
and better in one. Recommended is the cheapest of those that are as good as the best: not worse by more than a
hundredth of its loss, or not settled to be worse at all. What the best of many settings gains over the others is
flattered by its having been chosen on the same stream; so the cheapest of equals is the advice, not the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.later import pd
from rtml.core.questions import Questions
from rtml.evaluation.retraining_sweep import Trial
from rtml.metrics import metrics
from rtml.metrics.confidence_sequence import compare, confidence_sequence
from rtml.training.retraining.schedule import read

TOLERANCE = 0.01  # of the best loss: what a cheaper setting may lose more
_COLUMNS = ["strategy", "loss", "low", "high", "worse", "worse_low", "worse_high", "accuracy"]
_COLUMNS += ["samples", "cpu_seconds", "publications", "staleness_s", "pareto"]


_NOTHING = {"strategy": "baseline", "samples": 0, "cpu_seconds": 0.0, "publications": 0, "staleness_s": np.nan}


@dataclass(frozen=True, eq=False)
class Advice:
    """What every setting gave and cost, and which one to use.

    ``frame`` has a row a setting, the best loss first: ``loss`` with its interval, how much ``worse`` than the best on
    the same questions (with an interval that is valid at any time), ``accuracy`` (of classes), ``samples``,
    ``cpu_seconds``, ``publications``, ``staleness_s`` (mean age in seconds of the version that answered) and
    ``pareto``. Baselines, which are not trained, are rows too. ``sentence`` is the advice with its reason.

    Examples
    --------
    >>> at = np.arange(300) * 10**9
    >>> asked = Questions(at, at, np.ones((300, 1)), np.ones(300), at + 10**9, ("a",))
    >>> from rtml.evaluation.retraining_sweep import trial
    >>> advice = Advice.of(asked, [trial("continual", "mean", asked)])
    >>> advice.frame.index.tolist()
    ['continual', 'mean so far', 'no change']
    """

    frame: pd.DataFrame
    recommended: str
    sentence: str

    @property
    def table(self) -> pd.DataFrame:
        """The front alone: what one may reasonably choose from, with the baselines below."""
        return self.frame[self.frame["pareto"] | (self.frame["strategy"] == "baseline")]

    @classmethod
    def of(cls, questions: Questions, ended: list[Trial], since: float = 0.1) -> Advice:
        """Judge trials on the questions behind a share of the stream, in which nothing may be trained yet."""
        first, classes = int(since * len(questions)), of_classes(questions)
        said = {t.setting: t.predictions for t in ended}
        losses = {name: metrics.loss(questions.y, p, classes)[first:] for name, p in said.items()}
        best = min(losses, key=lambda name: np.nanmean(losses[name]))
        overlap, costs = questions.overlap, {t.setting: _cost(t) for t in ended}
        for name, p in baselines(questions).items():
            said[name] = p
            losses[name] = metrics.loss(questions.y, p, classes)[first:]
            costs[name] = _NOTHING
        rows = {name: _quality(losses[name], losses[best], overlap) | costs[name] for name in losses}
        for name, p in said.items():
            rows[name]["accuracy"] = _accuracy(questions.y[first:], p[first:]) if classes else np.nan
        frame = pd.DataFrame(rows).T.rename_axis("setting").sort_values("loss", kind="stable")
        frame["pareto"] = _front(frame)
        kinds = {"strategy": str, "samples": int, "publications": int, "pareto": bool}
        frame = frame.astype({column: kinds.get(column, float) for column in _COLUMNS})[_COLUMNS]
        chosen = _cheapest(frame, best)
        return cls(frame, chosen, _sentence(frame, chosen, best))


def of_classes(questions: Questions) -> bool:
    """Whether the answers are classes, 0 and 1, and not numbers.

    Examples
    --------
    >>> of_classes(Questions([1, 2], [1, 2], [[0.0], [0.0]], [1.0, 0.5], [2, 3], ("a",)))
    False
    """
    return bool((np.isnan(questions.y) | np.isin(questions.y, (0.0, 1.0))).all())


def baselines(questions: Questions) -> dict[str, np.ndarray]:
    """What needs no training: the mean of all answers known, and what follows from the last one.

    For classes, no change: the share of 1 that followed an answer like the last one known. For numbers that answer.

    Examples
    --------
    >>> asked = Questions([1, 2, 3], [1, 2, 3], np.ones((3, 1)), [4.0, 6.0, 9.0], [2, 3, 9], ("one",))
    >>> baselines(asked)
    {'mean so far': array([0., 0., 4.]), 'last answer': array([0., 0., 4.])}
    """
    y, order = questions.y, np.argsort(questions.known, kind="stable")
    order = order[~np.isnan(y[order])]
    told = np.searchsorted(questions.known[order], questions.moment, side="left")
    ones = np.concatenate([[0.0], np.cumsum(y[order])])[told]
    if not of_classes(questions):
        last = np.concatenate([[0.0], y[order]])[told]
        return {"mean so far": ones / np.maximum(told, 1), "last answer": last}
    last = np.concatenate([[0.0], y[order]])[told]  # when a question is asked; nothing known counts as 0
    same = np.empty(len(y))
    for level in (0.0, 1.0):
        after = np.concatenate([[0.0], np.cumsum(last[order] == level)])[told]
        up = np.concatenate([[0.0], np.cumsum((last[order] == level) * y[order])])[told]
        same = np.where(last == level, (up + 1) / (after + 2), same)
    return {"mean so far": (ones + 1) / (told + 2), "no change": same}


def _quality(losses: np.ndarray, best: np.ndarray, overlap: int) -> dict:
    """Loss with its interval, and how much worse than the best."""
    _, low, high = (float(curve[-1]) for curve in confidence_sequence(losses, horizon_steps=overlap))
    worse = compare(losses, best, horizon_steps=overlap)
    gap = {"worse": worse.mean, "worse_low": worse.low, "worse_high": worse.high}
    return {"loss": float(np.nanmean(losses)), "low": low, "high": high} | gap


def _accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """Share of the answered questions whose class was said."""
    return float(np.mean((p > 0.5) == (y == 1.0), where=~np.isnan(y)))


def _cost(made: Trial) -> dict:
    age = made.age[np.isfinite(made.age)]
    cost = {"samples": made.samples, "cpu_seconds": made.cpu_seconds, "publications": made.publications}
    return cost | {"strategy": read(made.setting).strategy, "staleness_s": float(age.mean()) if len(age) else np.nan}


def _cheapest(frame: pd.DataFrame, best: str) -> str:
    """The setting with the fewest samples, then publications, of those that are as good as the best."""
    settled = frame["worse_low"] > 0
    settled |= ~np.isfinite(frame["worse_low"]) & (frame["worse"] != 0)  # too little to say: stay with the best
    equal = (frame["worse"] <= TOLERANCE * frame["loss"][best]) | ~settled
    trained = frame["strategy"] != "baseline"
    return frame[equal & trained].sort_values(["samples", "publications"], kind="stable").index[0]


def _front(frame: pd.DataFrame) -> list[bool]:
    """Which rows no other beats in one of loss, samples and publications without losing in another."""
    values = frame[["loss", "samples", "publications"]].to_numpy(float)
    trained = (frame["strategy"] != "baseline").to_numpy()
    rivals = values[trained]
    beaten = [((rivals <= row).all(axis=1) & (rivals < row).any(axis=1)).any() for row in values]
    return (trained & ~np.array(beaten)).tolist()


def _sentence(frame: pd.DataFrame, name: str, best: str) -> str:
    row = frame.loc[name]
    top = frame.loc[best]
    simple = frame[frame["strategy"] == "baseline"]["loss"]
    said = f"Use '{name}' ({row['strategy']}): its loss of {row['loss']:.4g} is "
    if name == best:
        said += f"the lowest of {len(frame) - len(simple)}"
    else:
        said += f"as good as the {top['loss']:.4g} of '{best}', with {row['samples']:,} samples instead of "
        said += f"{top['samples']:,} and {row['publications']:,} publications instead of {top['publications']:,}"
    rival = simple.idxmin()
    if row["loss"] < simple[rival]:
        return f"{said}. The best baseline, '{rival}', loses {simple[rival]:.4g}."
    return f"{said}. But '{rival}' needs no training and loses {simple[rival]:.4g}: better features come first."
