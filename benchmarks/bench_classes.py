"""Models of many classes on recorded streams beside river: who is right how often, at what log loss, in what time.

``python benchmarks/bench_classes.py [ROWS]`` reads the first ROWS (default 1,500) of six recorded sets: insects,
keystroke, power supply, NOAA weather, elec2 and usenet1. An answer is learned before the next question. Ours answer
all rows in compiled kernels; river's are driven by hand over the same rows, the fastest way, and cost up to 30 ms
each, which is why there are few. ``ROWS=0`` reads all, without river. The last line of a set says how far the blend,
the default for classes, is from the best of river's and no change; it fails where that is a point or more.
The first part is anomaly: half-space trees on a planted stream and on the recorded card payments, beside river's.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from river import ensemble, forest, linear_model, multiclass, neighbors, preprocessing

from rtml.core.clock import NEVER
from rtml.metrics.metrics import auc
from rtml.models.catalogue import build
from rtml.models.forest import AdaptiveRandomForest

DATA = Path(os.environ.get("RTML_SHARED_DATA", Path(__file__).parents[2] / "shared/data"))
SETS = {
    "insects": "insects_2016_incremental",
    "keystroke": "keystroke",
    "power supply": "powersupply",
    "NOAA weather": "noaa_weather",
    "elec2": "elec2",
    "usenet1": "usenet1",
}
OURS = {
    "no change": lambda: build("no_change"),
    "majority": lambda: build("majority"),
    "softmax, second order": lambda: build("recursive_logistic"),
    "Hoeffding tree": lambda: build("hoeffding"),
    "forest": lambda: build("forest"),
    "forest of thirty": lambda: AdaptiveRandomForest(n_models=30),
    "blend (the default)": lambda: build("blend_probability"),
}
RIVERS = {
    "river logistic": lambda: (
        preprocessing.StandardScaler() | multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
    ),
    "river softmax": lambda: preprocessing.StandardScaler() | linear_model.SoftmaxRegression(),
    "river kNN": lambda: preprocessing.StandardScaler() | neighbors.KNNClassifier(),
    "river ARF": lambda: forest.ARFClassifier(seed=1),
    "river SRP": lambda: ensemble.SRPClassifier(n_models=10, seed=1),
}


def read(name: str, rows: int) -> tuple[np.ndarray, np.ndarray, tuple, list]:
    """Features, numbers of the classes, names of both."""
    frame = pd.read_parquet(DATA / "drift" / f"{SETS[name]}.parquet")
    frame = frame.head(rows) if rows else frame
    columns = [column for column in frame.columns if column != "target"]
    classes, y = np.unique(frame.target, return_inverse=True)
    return np.ascontiguousarray(frame[columns].to_numpy(float)), y.astype(float), tuple(columns), classes.tolist()


def ours(model, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Probabilities of a row model; an answer is known before the next question."""
    moment = 10 * np.arange(len(y))
    return model.replay(X, y, moment, moment + 1, np.arange(len(y)), NEVER)[0]


def rivers(model, X: np.ndarray, y: np.ndarray, names: tuple) -> np.ndarray:
    """Probabilities of river's, driven by hand over the same."""
    rows, labels = [dict(zip(names, x, strict=True)) for x in X.tolist()], y.astype(int).tolist()
    p = np.zeros((len(y), int(y.max()) + 1))
    for i, x in enumerate(rows):
        for label, share in (model.predict_proba_one(x) or {}).items():
            p[i, label] = share
        model.learn_one(x, labels[i])
    return p


def report(title: str, p: np.ndarray, y: np.ndarray, seconds: float, kept: float) -> float:
    """One line: accuracy, which is returned, its gain over saying the last known label, log loss, time a row."""
    right = float((p.argmax(axis=1) == y).mean())
    loss = float(-np.log(np.clip(p[np.arange(len(y)), y.astype(int)], 1e-15, 1.0)).mean())
    cost = 1e6 * seconds / len(y)
    gain = f"{right - kept:+.4f} over the last label"
    print(f"  {title:<24}{right:8.4f}  {gain}  log loss {loss:6.3f} {cost:10.1f} µs a row")
    return right


def classes(rows: int) -> None:
    """All models on all sets."""
    failed = 0
    for name in SETS:
        X, y, names, labels = read(name, rows)
        kept = float((y[1:] == y[:-1]).mean())
        found = {}
        print(
            f"{name}: {len(y):,} rows, {len(names)} features, {len(labels)} classes; the last known label: {kept:.4f}"
        )
        for title, make in OURS.items():
            ours(build(make(), names, labels), X[:50], y[:50])  # compiled before the clock starts
            model, start = build(make(), names, labels), time.process_time()
            found[title] = report(title, ours(model, X, y), y, time.process_time() - start, kept)
        for title, make in RIVERS.items() if rows else ():
            model, start = make(), time.process_time()
            found[title] = report(title, rivers(model, X, y, names), y, time.process_time() - start, kept)
        best = max(
            [kept, *(right for title, right in found.items() if title.startswith("river") or title == "no change")]
        )
        gap = found["blend (the default)"] - best
        print(f"  the default is {100 * gap:+.2f} points from the best of river's and no change\n")
        failed += gap < -0.01
    if failed:
        sys.exit(f"on {failed} sets the default is a point or more behind")


def anomalies() -> None:
    """Half-space trees, ours and river's: area under the ROC curve behind the first window."""
    rng = np.random.default_rng(0)
    X = rng.normal(0.0, 1.0, (3000, 3)) + 6.0 * (rng.random((3000, 1)) < 0.5)
    y = rng.random(3000) < 0.02
    X[y] = rng.uniform(-12, 18, (int(y.sum()), 3))
    frame = pd.read_parquet(DATA / "fraud/creditcard_ulb_sample.parquet").sort_values("Time")
    columns = [c for c in frame.columns if c.startswith("V") or c == "Amount"]
    cards = np.ascontiguousarray(frame[columns].to_numpy(float)), frame.Class.to_numpy(float)
    for title, (rows, labels) in {"planted": (X, y.astype(float)), "card payments": cards}.items():
        names = tuple(f"f{j:02d}" for j in range(rows.shape[1]))
        peer, start = build("half_space_trees"), time.process_time()
        theirs = []
        for x in rows.tolist():
            row = dict(zip(names, x, strict=True))
            theirs.append(peer.score_one(row))
            peer.learn_one(row)
        theirs_seconds = time.process_time() - start
        ours(build("half_space_trees", names), rows[:9], labels[:9])  # compiled before the clock starts
        model, start = build("half_space_trees", names), time.process_time()
        scores = ours(model, rows, labels)
        ratio = theirs_seconds / (time.process_time() - start)
        found = auc(labels[250:], scores[250:]), auc(labels[250:], np.array(theirs)[250:])
        print(f"half-space trees, {title}: AUC {found[0]:.4f}, river {found[1]:.4f}; {ratio:,.0f} times as fast")


if __name__ == "__main__":
    anomalies()
    classes(int(sys.argv[1]) if len(sys.argv) > 1 else 1_500)
