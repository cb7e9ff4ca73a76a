"""The command that stores one prediction a key for whoever looks it up later: ``rtml batch RUN``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock
from rtml.core.later import pd
from rtml.core.run_folder import Run
from rtml.core.target import Target
from rtml.pipeline.serve import published
from rtml.serving.service import Service
from rtml.store.online import OnlineStore
from rtml.store.prediction_tables import numbers

GROUP = "prediction"


def batch(run: Path, *, ttl: str = "1d") -> int:
    """Store what serves predicts for the newest question of every key, and print each with its age and version.

    Parameters
    ----------
    run
        Folder of the run; the rows are in its ``online.db``, group ``prediction``.
    ttl
        Age from which on a prediction is said to be stale.
    """
    with closing(OnlineStore(run / "online.db")) as online:
        predicted = store(run, online, ttl)
        with pd.option_context("display.width", 250, "display.max_rows", 2000):
            print(predicted.to_string(index=False, float_format="{:.6g}".format))
    return 0


def store(run: Path, online: OnlineStore, ttl: str = "1d") -> pd.DataFrame:
    """The same into an online store; the rows as a frame. Done again, a key without news keeps its row."""
    with closing(Service(":memory:")) as service:
        published(Run(run.resolve(), "batch"), service)
        serving = service.snapshot
        assert serving is not None, "published, or an error has said why not"
        targets = serving.targets
        asked = [found for key in serving.keys if (found := service.newest(key)) is not None]
        online.declare(GROUP, [name for target in targets for name in _columns(target)], ttl=ttl)
        for one in asked:
            values = np.hstack([numbers(one.cell), np.frombuffer(one.others or b"")])
            online.put_many(GROUP, [one.key], [one.moment], [values], definition=one.version)
    return online.table(GROUP, Clock().now()).rename(columns={"definition": "version"})


def _columns(target: Target) -> list[str]:
    """Names of what is stored of a target: itself, or one a class."""
    return [target.name] if target.outputs == 1 else [f"{target.name}:{name}" for name in target.classes]
