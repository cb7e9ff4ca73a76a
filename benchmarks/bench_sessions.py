"""Next click: every session model on recorded shops, beside V-S-KNN in plain Python over the same clicks, CPU time.

``python benchmarks/bench_sessions.py [folder of the recordings]`` prints recall@20 and MRR@20 of the second half of
each recording with 95 % intervals over sessions, learning goes on throughout; microseconds are of every click of the
file, each asked and learned. Then, by day, the model beside its own state of half time, which learns no more. Of
Diginetica and Nowplaying the first 100,000 clicks, so that plain Python is done in a minute.
"""

import math
import sys
import time
from collections import Counter, defaultdict, deque
from pathlib import Path

import numpy as np
import pandas as pd

from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.models.compiled import compile
from rtml.training.learner import Learner
from rtml.usecases.sessions.events import CLICKS
from rtml.usecases.sessions.models import MODELS
from rtml.usecases.sessions.operator import Visits
from rtml.usecases.sessions.ranking_metrics import gains, interval
from rtml.usecases.sessions.sources import Recorded

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/sessions")
FILES = {"yoochoose_100k": 0, "diginetica_sessions": 100_000, "nowplaying_sessions": 100_000}
CHUNK = 5_000
ALL = tuple(name for name in MODELS if name != "item_vectors")
SOME = ("vsknn", "session_neighbours", "session_ranker")


def questions_of(file: str, most: int) -> Questions:
    """A recording's questions with the answers that came."""
    raw = next(Recorded(FOLDER / f"{file}.parquet").chunks(most or 10**9))
    asked = Visits().push(CLICKS.accept(raw)[0])
    y, known = np.full(len(asked.id), np.nan), np.full(len(asked.id), NEVER)
    y[asked.answered], known[asked.answered] = asked.y, asked.known
    return Questions(asked.id, asked.moment, asked.X, y, known, Visits().features.names)


def learned(name: str, asked: Questions) -> tuple[np.ndarray, float, Learner]:
    """Lists of every question, CPU seconds, and the learner."""
    learner, lists, seconds = Learner(MODELS[name], asked.names), [], 0.0
    for a in range(0, len(asked), CHUNK):
        part = asked[a : a + CHUNK]
        start = time.process_time()
        lists.append(learner.replay(part, int(part.moment[-1])))
        seconds += time.process_time() - start
    return np.concatenate(lists), seconds, learner


def million(items: int = 1_000_000, asked: int = 50) -> float:
    """Milliseconds to retrieve twenty items of a catalogue of a million by their vectors, all of them compared."""
    model, rng = compile(MODELS["item_vectors"], Visits().features.names), np.random.default_rng(7)
    state = model.state
    for name in ("ids", "lists", "counts", "vectors", "contexts"):
        state[name] = np.zeros((items, *state[name].shape[1:]), state[name].dtype)
    state["ids"][:] = np.arange(items)
    for name in ("vectors", "contexts"):
        state[name][:] = rng.normal(size=state[name].shape)
    state["control"][0] = items
    model.load(state)
    rows = np.full((asked, len(model.names)), -1.0)
    rows[:, 0], rows[:, 1], rows[:, 6:9] = np.arange(asked), 3, rng.integers(items, size=(asked, 3))
    model.predict(rows[0])
    start = time.process_time()
    for row in rows:
        model.predict(row)
    return 1e3 * (time.process_time() - start) / asked


def plain_python(asked: Questions, judged: int) -> tuple[np.ndarray, float]:
    """V-S-KNN with dicts, from the clicks alone: lists from ``judged`` on, and CPU seconds a list."""
    postings, clicked, last = defaultdict(lambda: deque(maxlen=500)), defaultdict(list), {}
    lists, seconds = np.full((len(asked), 20), np.nan), 0.0
    rows = zip(asked.X[:, 0].astype(int).tolist(), asked.X[:, 6].astype(int).tolist(), strict=True)
    for i, (me, item) in enumerate(rows):
        own = clicked[me]
        if item not in own:
            postings[item].append(me)
        own.append(item)
        last[me] = i
        if i >= judged:
            start = time.process_time()
            found = neighbours(own, me, postings, clicked, last)
            seconds += time.process_time() - start
            lists[i, : len(found)] = found
    return lists, seconds / (len(asked) - judged)


def neighbours(own: list, me: int, postings: dict, clicked: dict, last: dict) -> list:
    """The twenty best items of the hundred sessions nearest to this one, of the 500 most recent that share an item."""
    weight, similar = {item: (p + 1) / len(own) for p, item in enumerate(own)}, Counter()
    for item, w in weight.items():
        for other in postings[item]:
            if other != me:
                similar[other] += w
    recent = sorted(similar, key=last.__getitem__, reverse=True)[:500] if len(similar) > 500 else list(similar)
    near = {other: similar[other] / math.sqrt(len(weight) * len(set(clicked[other]))) for other in recent}
    score = Counter()
    for other in sorted(near, key=near.__getitem__, reverse=True)[:100]:
        for item in set(clicked[other]):
            score[item] += near[other]
    return [item for item, _ in score.most_common(20)]


def line(name: str, asked: Questions, lists: np.ndarray, half: int, micro: float) -> None:
    """Print one model's figures on the second half."""
    found = interval(asked.y[half:], lists[half:], asked.X[half:, 0])
    recall, mrr = found.loc["recall"], found.loc["mrr"]
    print(
        f"  {name:20s} recall@20 {recall['value']:.4f} ({recall['low']:.4f} to {recall['high']:.4f})"
        f"  MRR@20 {mrr['value']:.4f} ({mrr['low']:.4f} to {mrr['high']:.4f})  {micro:7.1f} us"
    )


def frozen_by_day(asked: Questions) -> None:
    """Recall by day of the model that learns and of its state at half time."""
    half = len(asked) // 2
    learner = Learner(MODELS["session_ranker"], asked.names)
    learner.replay(asked[:half], int(asked.moment[half - 1]))
    still = Learner(MODELS["session_ranker"], asked.names)
    still.model.load(learner.model.state)
    rest = asked[half:]
    silent = Questions(rest.id, rest.moment, rest.X, np.full(len(rest), np.nan), np.full(len(rest), NEVER), rest.names)
    lists = {"learning": learner.replay(rest), "frozen": still.replay(silent)}
    day = pd.to_datetime(rest.moment, utc=True).strftime("%Y-%m-%d")
    recall = {name: pd.Series(gains(rest.y, said, 20)[:, 0]).groupby(day).mean() for name, said in lists.items()}
    print("\nsession_ranker by day, recall@20: learning on, and frozen at half time")
    print(pd.DataFrame(recall).round(3).to_string())


if __name__ == "__main__":
    print(f"1,000,000 items, exact: {million():.1f} ms a list")
    learned("session_ranker", questions_of("yoochoose_100k", 2_000))  # loads the kernels
    for file, most in FILES.items():
        asked = questions_of(file, most)
        half = len(asked) // 2
        print(f"\n{file}: {len(asked):,} clicks, {int(asked.X[:, 0].max()) + 1:,} sessions")
        said, seconds = plain_python(asked, half)
        line("V-S-KNN in Python", asked, said, half, 1e6 * seconds)
        for name in SOME if most else ALL:
            lists, taken, _ = learned(name, asked)
            line(name, asked, lists, half, 1e6 * taken / len(asked))
        if not most:
            frozen_by_day(asked)
