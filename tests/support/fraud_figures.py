"""What the figures of fraud are drawn from in plots/test_figures.py: as usual, with nothing, and with a little."""

import numpy as np
import pandas as pd
import stage_figures

from rtml.usecases.fraud import alert_figures
from rtml.usecases.fraud import figures as fraud_figures

DAY = 86_400 * 10**9
T0 = 20_000 * DAY


def time(n):
    return T0 + np.arange(n) * (DAY // 4) + DAY // 9


def truth(n=400):
    rng = np.random.default_rng(5)
    pattern = np.where(rng.random(n) < 0.4, rng.choice(["dear", "terminal", "leak", "burst"], n), "")
    return pd.DataFrame({"time": time(n), "fraud": pattern != "", "pattern": pattern})


def fraud(n):
    return np.arange(n) % 9 == 0


def risk(n=120):
    spell = (T0 + 5 * DAY, T0 + 12 * DAY)
    share = np.linspace(0, 0.6, n)
    return fraud_figures.terminal_risk(time(n), share, fraud(n), time(n), fraud(n), spell, "terminal 360")


def window(n=14):
    inside = np.arange(n) >= n - 3
    return fraud_figures.spend_window(
        time(n), np.geomspace(5, 300, n) if n else np.empty(0), inside, DAY, "card 7, 24 hours"
    )


def curves(names, n=200):
    recall = np.linspace(0, 1, n)
    return {name: (recall, 1 - recall * (0.4 + 0.1 * k)) for k, name in enumerate(names)}


def costs(n=200):
    share = np.geomspace(1e-4, 0.2, n) if n > 1 else np.zeros(n)
    return {name: (share, 0.5 - (0.2 + 0.05 * k) * np.sqrt(share) + share) for k, name in enumerate("ab")}


def daily(n=60):
    hits, days = np.arange(n) % 7, pd.to_datetime(T0 + np.arange(n) * DAY, utc=True)
    return pd.DataFrame({"alerts": 10, "hits": hits, "ones": hits + 3}, index=days.rename("day"))


def staged(n=5):
    value, names = (
        np.linspace(0.02, 0.46, n),
        ["batch score of the card", "batch score of the terminal", "hybrid", "d", "e"],
    )
    columns = {"average_precision": value, "low": 0.8 * value, "high": 1.2 * value}
    return pd.DataFrame(columns | {"computed": 250_000, "used": 150_000}, index=names[:n])


MODELS = ("logistic", "forest", "majority")
DRAWN = {
    "alerts": lambda: alert_figures.alerts(daily(), 10),
    "cost_curve": lambda: alert_figures.cost_curve(costs()),
    "label_delay": lambda: fraud_figures.label_delay(np.random.default_rng(5).gamma(4, 2, 500), 0.08),
    "precision_recall": lambda: alert_figures.precision_recall(curves(MODELS), 0.01),
    "rhythm": lambda: fraud_figures.rhythm(time(900), time(900) + 5 * DAY),
    "spend_window": window,
    "terminal_risk": risk,
    "ways_of_fraud": lambda: fraud_figures.ways_of_fraud(truth()),
    "freshness": lambda: stage_figures.freshness(staged(5)),
    "stages": lambda: stage_figures.stages(staged(5), 0.01),
}
NOTHING = {
    "alerts": lambda: alert_figures.alerts(daily(0), 10),
    "cost_curve": lambda: alert_figures.cost_curve({}),
    "label_delay": lambda: fraud_figures.label_delay(np.empty(0), 1.0),
    "precision_recall": lambda: alert_figures.precision_recall({}, 0.01),
    "rhythm": lambda: fraud_figures.rhythm(time(0), time(0)),
    "spend_window": lambda: window(0),
    "terminal_risk": lambda: risk(0),
    "ways_of_fraud": lambda: fraud_figures.ways_of_fraud(truth(0)),
    "freshness": lambda: stage_figures.freshness(staged(0)),
    "stages": lambda: stage_figures.stages(staged(0), 0.01),
}
LITTLE = {
    "alerts": lambda: alert_figures.alerts(daily(1), 10),
    "cost_curve": lambda: alert_figures.cost_curve(costs(1)),
    "label_delay": lambda: fraud_figures.label_delay(np.array([3.0]), 0.0),
    "precision_recall": lambda: alert_figures.precision_recall(curves(MODELS, 1), 0.01),
    "rhythm": lambda: fraud_figures.rhythm(time(1), time(0)),
    "spend_window": lambda: window(1),
    "terminal_risk": lambda: risk(1),
    "ways_of_fraud": lambda: fraud_figures.ways_of_fraud(truth(1).assign(fraud=True, pattern="dear")),
    "freshness": lambda: stage_figures.freshness(staged(1)),
    "stages": lambda: stage_figures.stages(staged(1), 0.01),
}
