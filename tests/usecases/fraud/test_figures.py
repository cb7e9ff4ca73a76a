"""Figures of fraud: they draw what they are given, and say so when there is nothing."""

import numpy as np
import pandas as pd
import pytest

from rtml.core.clock import span
from rtml.usecases.fraud import alert_figures
from rtml.usecases.fraud import figures as fraud_figures

DAY = span("1d")
T0 = 20_000 * DAY


def bars(axes):
    return [patch.get_height() for patch in axes.patches]


def test_frauds_are_counted_by_week_and_pattern():
    truth = pd.DataFrame({"time": T0 + np.arange(21) * DAY, "fraud": True, "pattern": ["dear", "leak", "leak"] * 7})
    figure = fraud_figures.ways_of_fraud(truth)
    assert sum(bars(figure.axes[0])) == 21
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == {"dear", "leak"}


def test_a_stream_without_fraud_says_so():
    truth = pd.DataFrame({"time": [T0], "fraud": [False], "pattern": [""]})
    assert "no fraud" in fraud_figures.ways_of_fraud(truth).axes[0].texts[0].get_text()


def test_the_window_falls_back_to_zero_when_a_payment_expires():
    time, amount = T0 + np.array([0, 1, 30]) * DAY // 24, np.array([5.0, 7.0, 1.0])
    figure = fraud_figures.spend_window(time, amount, np.array([False, False, True]), DAY, "a card")
    held = figure.axes[0].lines[0].get_ydata()
    assert held.tolist() == [5.0, 12.0, 7.0, 0.0, 1.0]


def test_alerts_are_split_into_found_and_false():
    days = pd.to_datetime(T0 + np.arange(9) * DAY, utc=True)
    daily = pd.DataFrame({"alerts": 10, "hits": 3, "ones": 6}, index=days)
    top = alert_figures.alerts(daily, 10).axes[0]
    assert sum(bars(top)) == 90
    with pytest.raises(LookupError, match="alerts needs the columns"):
        alert_figures.alerts(daily.drop(columns="hits"), 10)


def test_the_other_figures_draw():
    time = T0 + np.arange(40) * DAY // 4
    share, cost = np.linspace(0, 0.2, 50), np.linspace(1, 0.2, 50)
    drawn = [
        fraud_figures.rhythm(time, time + DAY),
        fraud_figures.label_delay(np.linspace(1, 20, 99), 0.08),
        fraud_figures.label_delay(np.empty(0), 1.0),
        fraud_figures.terminal_risk(
            time, np.full(40, 0.1), np.arange(40) % 9 == 0, time, np.arange(40) % 9 == 0, (T0, T0 + DAY)
        ),
        alert_figures.precision_recall({"logistic": (np.linspace(0, 1, 9), np.linspace(1, 0, 9))}, 0.01),
        alert_figures.cost_curve({"logistic": (share, cost)}),
    ]
    assert all(figure._repr_png_()[0].startswith(b"\x89PNG") for figure in drawn)
