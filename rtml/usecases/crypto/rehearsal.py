"""The history of a training in one log with times, and a mistake to rehearse how it is taken back."""

from __future__ import annotations

from rtml.core.later import pd
from rtml.core.state import dumps, loads
from rtml.registry.registry import Registry
from rtml.registry.versions import Version


def timeline(history: pd.DataFrame, ledger: pd.DataFrame, model: str) -> pd.DataFrame:
    """One log of a training: when, minutes since the first alert, who, what, which version, why, and the champion then.

    Parameters
    ----------
    history
        ``trainer.history()``.
    ledger
        ``registry.ledger(model)``.
    model
        Name of the model in the registry.
    """
    columns = history.reindex(columns=["at", "who", "kind", "version", "why"])
    began = history.loc[history["kind"] == "alert", "at"].min()
    acts = ledger[["at", "number"]].sort_values("at", kind="stable")
    acts["serving"] = [f"{model}@{number}" for number in acts["number"]]
    found = pd.merge_asof(columns.sort_values("at", kind="stable"), acts[["at", "serving"]], on="at")
    found["at"] = found["at"].dt.floor("s")
    found.insert(1, "after", (found["at"] - began.floor("s")).dt.total_seconds() / 60)
    found = found.rename(columns={"after": "minutes"})
    return found.fillna({"version": "", "why": "", "serving": "nothing"}).reset_index(drop=True)


def mixed_up(registry: Registry, model: str, at: int) -> Version:
    """A mistake to rehearse with: the champion with the models of its first and last target exchanged.

    It is saved at an event time (ns). Where there is one target alone the oldest version is taken instead.
    """
    good = registry.champion(model)
    state = loads(registry.load(good))
    targets = list(registry.get(good).describe["models"])
    if len(targets) == 1:
        return registry.all(model)[0]
    found = state["models"]
    first = targets[0]
    last = targets[-1]
    found[first], found[last] = found[last], found[first]
    about = {"features": good.features, "parent": good, "format": good.format, "describe": {"cause": "a mistake"}}
    return registry.save(model, dumps(state), at=at, **about)
