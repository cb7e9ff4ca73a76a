"""What a team that looks at alerts sees: each day's most suspicious, and what every threshold would have cost."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.metrics.rare_class import DAY, answered, last_of_equals


def ranked(y, p) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision of alerts on the most suspicious questions, for every number of alerts, (answered,) each.

    Examples
    --------
    >>> ranked([0, 1, 1], [0.6, 0.9, 0.4])[0].tolist()
    [0.5, 0.5, 1.0]
    """
    y, p = answered(y, p)
    hits = np.cumsum(y[np.argsort(-p, kind="stable")])
    return hits / max(hits[-1:].sum(), 1.0), hits / np.arange(1, len(hits) + 1)


def alerts_by_day(y, p, moment, alerts: int = 100) -> pd.DataFrame:
    """Of each day's most suspicious questions, how many were 1.

    A row for each day: ``alerts``, ``hits``, ``ones`` of the day, ``precision`` (hits of alerts) and ``found`` (hits of
    ones, NaN without any). ``moment`` in ns UTC. A team that can look at so many a day sees this. Of equal predictions
    the earlier comes first.

    Examples
    --------
    >>> day = [0, 1, 2, 86_400 * 10**9]
    >>> alerts_by_day([1, 0, 1, 0], [0.9, 0.5, 0.4, 0.1], day, alerts=2)["precision"].tolist()
    [0.5, 0.0]
    """
    if alerts < 1:
        raise ValueError(f"alerts a day must be at least one, got {alerts}")
    y, p, moment = answered(y, p, moment)
    day = moment // DAY
    order = np.lexsort((moment, -p, day))
    first = np.r_[True, day[order][1:] != day[order][:-1]] if len(day) else np.empty(0, bool)
    place = np.arange(len(day)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    days, at = np.unique(day, return_inverse=True)
    looked = order[place < alerts]
    n, hits = np.bincount(at[looked], minlength=len(days)), np.bincount(at[looked], y[looked], minlength=len(days))
    ones = np.bincount(at, y, minlength=len(days))
    found = np.divide(hits, ones, out=np.full(len(days), np.nan), where=ones > 0)
    index = pd.DatetimeIndex(pd.to_datetime(days * DAY, utc=True), name="day")
    counts = {"alerts": n, "hits": hits.astype(int), "ones": ones.astype(int)}
    return pd.DataFrame(counts | {"precision": hits / n, "found": found}, index=index)


def precision_at_alerts(y, p, moment, alerts: int = 100) -> float:
    """Mean over the days of the precision of each day's ``alerts`` most suspicious questions.

    Examples
    --------
    >>> precision_at_alerts([1, 0, 1, 0], [0.9, 0.5, 0.4, 0.1], [0, 1, 2, 86_400 * 10**9], alerts=2)
    0.25
    """
    days = alerts_by_day(y, p, moment, alerts)
    return float(days["precision"].mean()) if len(days) else np.nan


def cost_curve(y, p, missed, alert: float, points: int = 500) -> pd.DataFrame:
    """What each threshold would have cost: ones below it are missed, everything at or above it is looked at.

    ``missed`` is the cost of a missed one: a number, or one per question (an amount). ``alert`` is the cost of looking
    at one question. Rows go from the threshold that alarms nothing (infinite) to the one that alarms all, at most
    ``points``, and always the cheapest.

    Examples
    --------
    >>> curve = cost_curve([0, 1, 0], [0.2, 0.9, 0.5], missed=100.0, alert=1.0)
    >>> curve[["threshold", "cost"]].values.tolist()
    [[inf, 100.0], [0.9, 1.0], [0.5, 2.0], [0.2, 3.0]]
    """
    y, p, missed = answered(y, p, np.broadcast_to(np.asarray(missed, float), np.shape(y)))
    if not (len(y) and np.isfinite(missed).all() and missed.min() >= 0 and alert >= 0):
        raise ValueError(f"a cost curve needs labels, and costs that are not negative, got {len(y)} and {alert}")
    order = np.argsort(-p, kind="stable")
    ends = last_of_equals(p[order])
    caught, saved = np.cumsum(y[order])[ends], np.cumsum((y * missed)[order])[ends]
    alerts = np.r_[0, ends + 1]
    frame = pd.DataFrame({"threshold": np.r_[np.inf, p[order][ends]], "alerts": alerts, "caught": np.r_[0, caught]})
    frame["missed_cost"] = (y * missed).sum() - np.r_[0, saved]
    frame["cost"] = frame["missed_cost"] + alert * alerts
    shown = np.unique(np.r_[np.linspace(0, len(frame) - 1, points).astype(int), frame["cost"].argmin()])
    return frame.iloc[shown].reset_index(drop=True)
