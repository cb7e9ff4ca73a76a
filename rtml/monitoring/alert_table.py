"""Alerts in a table by the harm they do, and each in a sentence."""

from __future__ import annotations

from collections.abc import Iterable

from rtml.core.callbacks import TrainingEvent
from rtml.core.later import pd

_NAMED = 4  # features that a sentence names; the alert itself holds all


def alert_text(detail: dict) -> str:
    """An alert in one sentence.

    Examples
    --------
    >>> alert = {"target": "y", "what": "loss", "damage": 0.2, "harm": 1.6, "basis": "measured", "answers": 60}
    >>> alert_text(alert | {"features": {"x1": 0.7, "x2": 0.3}, "moved": []})
    'y: the loss rose by 0.2 (+160 %), measured on 60 answers; it comes with x1, x2; no feature moved'
    >>> alert_text(alert | {"features": {}, "moved": ["a", "b", "c", "d", "e", "f"]}).rpartition("; ")[-1]
    'a, b, c, d and 2 more moved'
    """
    names = ", ".join(detail["features"]) or "no single feature"
    more = len(detail["moved"]) - _NAMED
    moved = ", ".join(detail["moved"][:_NAMED]) + f" and {more} more" * (more > 0) or "no feature"
    if detail["damage"] is None:
        harm = "no answers yet to measure the damage"
    else:
        by = f"measured on {detail['answers']} answers" if detail["basis"] == "measured" else "estimated without labels"
        change = "rose" if detail["damage"] > 0 else "fell"
        harm = f"the loss {change} by {abs(detail['damage']):.2g} ({detail['harm']:+.0%}), {by}".replace("%", " %")
    away = f"{moved} moved" if detail["what"] != "joint" else f"the correlation of {names} changed"
    return f"{detail['target']}: {harm}; it comes with {names}; {away}"


def ranked(history: pd.DataFrame | Iterable[TrainingEvent]) -> pd.DataFrame:
    """Alerts as a table, the most harmful first; what was assessed later replaces what was estimated.

    Takes what ``Monitor.push`` gave, or the table of ``Trainer.history()``.

    Examples
    --------
    >>> alert = {"target": "y", "what": "loss", "damage": 0.2, "basis": "measured", "answers": 60, "features": {}}
    >>> alert |= {"moved": [], "text": ""}
    >>> found = [TrainingEvent(10, "alert", alert | {"number": n, "harm": h}) for n, h in ((1, 0.1), (2, 1.6))]
    >>> ranked(found)["number"].tolist()
    [2, 1]
    """
    if isinstance(history, pd.DataFrame):
        rows = history[history["kind"].isin(["alert", "assessed"])].to_dict("records")
    else:
        rows = [{"at": one.at, "kind": one.kind, **one.detail} for one in history if one.kind in ("alert", "assessed")]
    alerts: dict[int, dict] = {}
    for row in rows:
        first = alerts.get(row["number"], row)
        alerts[row["number"]] = row | {"at": first["at"]}
    columns = ["number", "at", "target", "what", "damage", "harm", "basis", "answers", "features", "moved", "text"]
    table = pd.DataFrame(list(alerts.values()), columns=columns)
    table[["damage", "harm"]] = table[["damage", "harm"]].astype(float)
    return table.sort_values("harm", ascending=False, kind="stable", ignore_index=True)
