"""Two trainings beside each other, on the questions that both were asked."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from rtml.core.run_folder import run_folder
from rtml.metrics.confidence_sequence import compare as compare_losses
from rtml.metrics.kinds import kind_of, losses
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.prediction_tables import numbers
from rtml.training.run_config import RunConfig


def verdicts(first: str | Path, second: str | Path) -> list[str]:
    """Which of two runs lost less on the questions that both were asked: a sentence with an interval for each target.

    The same question is one of the same key at the same moment; its answer must have been known to both.

    Examples
    --------
    >>> verdicts("/no/first", "/no/second")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: '/no/first/recipe.json'
    """
    folders = [run_folder(first), run_folder(second)]
    found = [_losses(folder) for folder in folders]
    sentences = []
    for target in RunConfig.read(folders[0] / "recipe.json").targets:
        a, b = (losses.get(target.name, {}) for losses in found)
        if shared := [at for at in a if at in b]:
            both = ([losses[at] for at in shared] for losses in (a, b))
            names = (folders[0].name, folders[1].name)
            told = compare_losses(*both, names=names, loss=kind_of(target).loss).verdict
            sentences.append(f"{target.name}: {told}")
    return sentences or ["no question was asked and answered in both runs: nothing to compare pairwise"]


def _losses(folder: Path) -> dict[str, dict[tuple[str, int], float]]:
    """Loss of every answered question of a run's training, by target, then by key and moment."""
    config = RunConfig.read(folder / "recipe.json")
    with closing(CheckpointReader(folder / "training.db")) as reader:
        answers = [one for one in reader.answers(-1, 10**9) if one.y is not None]
    found: dict[str, dict[tuple[str, int], float]] = {}
    for target in config.targets:
        rows = [one for one in answers if one.target == target.name]
        if rows:
            y, p = np.array([one.y for one in rows]), np.array([numbers(one.prediction) for one in rows])
            loss = losses(target, y, p).tolist()
            places = [(config.keys[one.key], one.moment) for one in rows]
            found[target.name] = dict(zip(places, loss, strict=True))
    return found
