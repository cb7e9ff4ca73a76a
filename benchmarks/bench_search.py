"""Search on the stream beside the blend, the default, and river's model selection, on every planted kind of drift.

``python benchmarks/bench_search.py [ROWS]`` (default 20,000) prints the squared error of each on the seeded streams of
numbers of ``notebooks/studies/drifting.py``, each answer learned before the next question; ``z`` is Diebold and
Mariano's of the search against the blend. Search and blend spend the same model-events an answer; what the
search's fixed members reach without races is printed too; river's bandit and
greedy choice have as many settings of its linear regression as its loop can pay for: CPU is printed for each. It fails
where the search loses to the blend (z below -2), or does not beat it on a kind that moves the law (z below 2).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from river import bandit, linear_model, metrics, model_selection, optim, preprocessing

from rtml.core.questions import Questions
from rtml.models.blend import CompiledBlend
from rtml.models.search import EVERY, RACERS, RING, CompiledSearch

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks" / "studies"))

from bench_blend import z
from drifting import KINDS, drifting

STILL = ("none", "virtual")  # kinds that leave the law as it is


def linear(rates: tuple[float, ...]) -> list:
    """River's linear regressions behind a scaler, one per rate."""
    return [preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(rate)) for rate in rates]


RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
RIVERS = {
    "river greedy of 2": lambda: model_selection.GreedyRegressor(linear((0.003, 0.03)), metrics.MSE()),
    "river greedy of 5": lambda: model_selection.GreedyRegressor(linear(RATES), metrics.MSE()),
    "river bandit of 5": lambda: model_selection.BanditRegressor(
        linear(RATES), metrics.MSE(), bandit.EpsilonGreedy(epsilon=0.1, decay=0.001, burn_in=100, seed=7)
    ),
}


def ours(model: CompiledBlend, asked: Questions) -> np.ndarray:
    """What is predicted, each answer learned before the next question."""
    order = np.arange(len(asked))
    nothing = np.empty((0, 1 + model.memory))
    return model.replay_at(asked.X, asked.y, nothing, asked.moment, asked.known, order, int(asked.known[-1]))[0][:, 0]


def rivers(model, asked: Questions) -> np.ndarray:
    """The same by river's loop of dicts."""
    said = np.zeros(len(asked))
    for i, (x, y) in enumerate(zip(asked.X.tolist(), asked.y.tolist(), strict=True)):
        row = dict(zip(asked.names, x, strict=True))
        said[i] = model.predict_one(row) or 0.0
        model.learn_one(row, y)
    return said


def events(model: CompiledBlend) -> float:
    """Model-events an answer: members that are always there, places searched for, and races."""
    laps = RACERS * RING / 4 + RACERS // 2 * RING / 4 + max(RACERS // 4, 1) * RING / 2
    places = model.how["outside"]
    searched = places + laps / EVERY if isinstance(model, CompiledSearch) else 0.0
    return len(model.members) - places + searched


def main(rows: int) -> None:
    """One line per kind of drift and model."""
    failed = []
    for kind in KINDS:
        stream = drifting(kind, task="regression", n=rows)
        asked, lost = stream.questions, {}
        print(f"\n{kind}: a perfect model {((asked.y - stream.truth['best']) ** 2).mean():.4f}")
        both = {"blend": CompiledBlend(asked.names), "search": CompiledSearch(asked.names)}
        both["search's own, no race"] = CompiledBlend(asked.names, how=both["search"].how)
        for title, model in (both | {name: make() for name, make in RIVERS.items()}).items():
            start = time.process_time()
            said = (ours if title in both else rivers)(model, asked)
            spent = 1e6 * (time.process_time() - start) / rows
            lost[title] = (asked.y - said) ** 2
            counted = f"{events(model):5.1f} model-events" if title in both else ""
            print(f"  {title:22}{lost[title].mean():8.4f} {spent:8.1f} µs an event  {counted}")
        sure = z(lost["blend"], lost["search"])
        tried = both["search"].ledger["outcome"].value_counts()
        print(f"  search against blend: z {sure:.1f}; members replaced {tried.get('joined', 0)} times lately")
        if sure < (-2.0 if kind in STILL else 2.0):
            failed.append(kind)
    if failed:
        sys.exit(f"the search is no better than it must be on {', '.join(failed)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
