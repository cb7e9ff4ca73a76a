"""What the figures of training, drift, lineage and intervals are drawn from in plots/test_figures.py."""

import drift_figures
import numpy as np
import pandas as pd
import training_figures

from rtml.plots import figures

S = 10**9
T0 = 1_767_571_200 * S
QUARTER = 900 * S
WAYS = ("continual", "stateful cadence", "stateful", "cadence", "stateless", "on-demand", "on-demand stateful")
DETECTORS = {"adwin": "error", "fhddm": "error", "psi_prediction": "prediction", "psi": "features", "joint": "features"}
KINDS = ("sudden", "gradual", "virtual")
KIND_OF_ACT = ("alert", "trigger", "version", "shadow", "promoted", "refused", "given up", "promote by a person")


def random():
    return np.random.default_rng(5)


def advice(n=21):
    samples, loss = np.geomspace(900, 2e6, n).round(), np.linspace(1.2, 0.9, n) + random().normal(0, 0.03, n)
    columns = {"strategy": [WAYS[i % len(WAYS)] for i in range(n)], "loss": loss, "low": loss - 0.04}
    columns |= {"high": loss + 0.04, "samples": samples, "publications": np.geomspace(1, 4000, n).round()}
    frame = pd.DataFrame(columns, index=[f"{WAYS[i % len(WAYS)]} every {i + 1}h" for i in range(n)])
    simple = {"strategy": "baseline", "loss": 1.0, "low": 1.0, "high": 1.0, "samples": 0, "publications": 0}
    return pd.concat([frame, pd.DataFrame([simple], index=["no change"])]).assign(pareto=np.arange(n + 1) % 3 == 0)


def frequency(n=9):
    kept = np.linspace(1, -0.1, n)
    return pd.DataFrame({"answers": 4.0 ** np.arange(n), "kept": kept, "low": kept - 0.1, "high": kept + 0.05})


def fired(trainings=60, triggers=6):
    moments = np.sort(random().integers(T0, T0 + 40 * QUARTER, trainings))
    names = ("every hour", "loss rose by a fifth", "psi of any feature", "adwin", "volume", "never")
    return {name: moments[:: 1 + i] if i < 5 else moments[:0] for i, name in enumerate(names[:triggers])}


def trained(models=3):
    rows = [(m, w) for m in ("logistic", "forest", "rls")[:models] for w in ("stateless", "stateful")[: 1 + models]]
    frame = pd.DataFrame(rows, columns=["model", "training"])
    return frame.assign(samples=np.arange(len(rows)) * 90_000, cpu_seconds=1.5, loss=0.31)


def seen(kinds, n=6000):
    alarms = {name: np.sort(random().choice(max(n, 1), min(n, 7), replace=False)) for name in DETECTORS}
    loss = random().gamma(2, 0.1 + 0.2 * (np.arange(n) > n / 2))
    return {kind: {"loss": loss, "changes": [n // 2], "alarms": alarms} for kind in kinds}


def alerts(n=14):
    """As of rtml.monitoring.monitor.ranked, which test_figure_drift draws from; made here, as that loads kernels."""
    rows = np.arange(n)
    causes = [{f"feature_with_a_name_{k}": 0.5 / (k + 1) for k in range(i % 4)} for i in rows]
    frame = pd.DataFrame({"harm": 0.6 - 0.06 * rows, "features": causes})
    frame["what"] = [("loss", "features", "joint", "prediction")[i % 4] for i in rows]
    return frame.assign(basis=[("measured", "estimated")[i % 2] for i in rows])


def again(n=8000):
    old = random().gamma(2, 0.1 + 0.1 * (np.arange(n) % (n // 8 + 1) < n / 32))
    return {"relearning": old, "reusing": 0.8 * old}


def graph(n=24):
    at = [T0 + i * QUARTER for i in range(n)]
    names = [f"champion@{i + 1}" for i in range(n)]
    acts = [i for i in range(n) if i % 3 == 0]
    turns = dict(zip(acts, zip(acts, [*acts[1:], None], strict=False), strict=True))
    nodes = [{"name": names[i], "at": at[i], "kept": i % 5 != 1, "served": []} for i in range(n)]
    for i, (start, end) in turns.items():
        nodes[i]["served"] = [{"from": at[start], "until": None if end is None else at[end]}]
    edges = [{"from": names[i - 1], "to": names[i], "kind": "model" if i == 7 else "data"} for i in range(1, n)]
    return {"nodes": nodes, "edges": edges, "served": [{"at": at[i], "version": names[i]} for i in acts]}


def timeline(n=60):
    kind = [KIND_OF_ACT[i % len(KIND_OF_ACT)] if i != n - 3 else "rolled back" for i in range(n)]
    frame = pd.DataFrame({"at": pd.to_datetime(T0 + np.arange(n) * QUARTER // 4, utc=True), "kind": kind})
    frame["version"] = [f"champion@{i // 8 + 1}" for i in range(n)]
    return frame.assign(serving=frame["version"].where(np.arange(n) > 4, "nothing"))


def within(n=3000, window=500):
    y = np.where(np.arange(n) % 97 == 5, np.nan, random().normal(size=n))
    time, wide = T0 + np.arange(n) * 10 * S, np.full(n, 1.64)
    intervals = {"conformal": (-wide, wide), "fitted once": (-0.9 * wide, 0.9 * wide)}
    return figures.coverage_over_time(time, y, intervals, window=window)


def helping(n=12):
    mean = np.linspace(0.03, -0.01, n)
    columns = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
    return pd.DataFrame(columns, index=[f"feature_with_a_name_{i}" for i in range(n)])


def pairs(n=7):
    mean = np.linspace(-0.4, 0.2, n)
    better = ["rls" if value < -0.1 else "sgd" if value > 0.1 else "" for value in mean]
    columns = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "better": better}
    names = pd.Index([f"model {i}" for i in range(n)], name="rls against")
    diverged = pd.DataFrame({"mean": -4e4, "low": -np.inf, "high": np.inf, "better": ""}, index=["diverged"])
    return pd.concat([pd.DataFrame(columns, index=names), diverged[: n - 1]]).rename_axis("rls against")


DRAWN = {
    "forest": lambda: figures.forest({"": pairs(), "(cut)": pairs(3)}),
    "advice_front": lambda: figures.advice_front(advice(), "on-demand stateful every 21h"),
    "benefit_of_frequency": lambda: training_figures.benefit_of_frequency(frequency(), 4000),
    "firings": lambda: training_figures.firings(fired(), [T0 + 20 * QUARTER], T0 + 40 * QUARTER, T0),
    "cost_of_training": lambda: training_figures.cost_of_training(trained()),
    "what_detectors_see": lambda: drift_figures.what_detectors_see(seen(KINDS), DETECTORS),
    "harm_of_alerts": lambda: drift_figures.harm_of_alerts(alerts()),
    "known_again": lambda: drift_figures.known_again(again(), range(1000, 8000, 1000)),
    "lineage": lambda: figures.lineage(graph()),
    "loop": lambda: figures.loop(timeline()),
    "coverage_over_time": within,
    "help_of_features": lambda: training_figures.help_of_features(helping(), "squared error"),
}
NOTHING = {
    "forest": lambda: figures.forest(pairs(0)),
    "advice_front": lambda: figures.advice_front(advice(0)),
    "benefit_of_frequency": lambda: training_figures.benefit_of_frequency(frequency(0)),
    "firings": lambda: training_figures.firings({}, [], T0 + QUARTER, T0),
    "cost_of_training": lambda: training_figures.cost_of_training(trained(0)),
    "what_detectors_see": lambda: drift_figures.what_detectors_see({}, {}),
    "harm_of_alerts": lambda: drift_figures.harm_of_alerts(alerts(0)),
    "known_again": lambda: drift_figures.known_again({}, []),
    "lineage": lambda: figures.lineage(graph(0)),
    "loop": lambda: figures.loop(timeline(0)),
    "coverage_over_time": lambda: within(100),
    "help_of_features": lambda: training_figures.help_of_features(helping(0)),
}
LITTLE = {
    "forest": lambda: figures.forest(pairs(1)),
    "advice_front": lambda: figures.advice_front(advice(1), "continual every 1h"),
    "benefit_of_frequency": lambda: training_figures.benefit_of_frequency(frequency(1)),
    "firings": lambda: training_figures.firings(fired(1, 1), [], T0, T0),
    "cost_of_training": lambda: training_figures.cost_of_training(trained(1).iloc[:1]),
    "what_detectors_see": lambda: drift_figures.what_detectors_see(seen(KINDS[:1], 1), DETECTORS),
    "harm_of_alerts": lambda: drift_figures.harm_of_alerts(alerts(1)),
    "known_again": lambda: drift_figures.known_again(again(1), []),
    "lineage": lambda: figures.lineage(graph(1)),
    "loop": lambda: figures.loop(timeline(5).iloc[4:]),
    "coverage_over_time": lambda: within(1, window=1),
    "help_of_features": lambda: training_figures.help_of_features(helping(1)),
}
