"""The advisor: which strategy should train a model of this stream, how often, and what that costs.

It replays the stream itself, with its own label delays, through every strategy and frequency, and gives
:class:`rtml.evaluation.advice.Advice`: a table, a figure and a sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rtml.core.later import pd
from rtml.core.questions import Questions
from rtml.core.run_folder import progress, shown
from rtml.evaluation.advice import Advice, of_classes
from rtml.evaluation.dataset import Dataset
from rtml.evaluation.retraining_sweep import settings, trials
from rtml.plots.figures import advice_front
from rtml.training.run_config import RunConfig


def advise(
    questions: Questions, model: str = "", chosen: Sequence[str] = (), *, few: bool = False, jobs: int = 0,
    backend: str = "loky", since: float = 0.1,
) -> Advice:  # fmt: skip
    """Try strategies and frequencies on a stream and recommend one.

    Parameters
    ----------
    questions
        The stream. Answers of 0 and 1 are classes, scored by log loss; others are scored by squared error.
    model
        A model of the zoo; ``logistic`` or ``rls`` unless given.
    chosen
        Schedules to try; those of :func:`rtml.evaluation.retraining_sweep.settings` unless given, or the
        ``few`` that differ most.
    jobs, backend
        Processes (0: one a core where that pays) and the backend of joblib that runs them.
    since
        Share of the stream, at its beginning, that is not scored.

    Examples
    --------
    >>> import numpy as np
    >>> X, day = np.random.default_rng(7).normal(size=(4000, 2)), 86_400 * 10**9
    >>> moment = np.arange(4000) * (day // 200)
    >>> y = np.where(moment // (5 * day) % 2 == 0, 1.0, -1.0) * X[:, 0]  # the law turns round every five days
    >>> stream = Questions(np.arange(4000), moment, X, y, moment + day // 48, ("a", "b"))
    >>> advise(stream, chosen=["continual", "stateful every 6h", "stateless after 300"]).recommended
    'continual'
    """
    chosen = list(chosen) or settings(questions, few)
    model = model or ("logistic" if of_classes(questions) else "rls")
    with progress(len(chosen), "settings") as bar:
        ended = trials(chosen, model, questions, jobs, backend, lambda _: bar.update())
    return Advice.of(questions, ended, since)


def of_run(folder: Path, target: str = "") -> tuple[Questions, str]:
    """Questions of a run with the answers of a target (the served one unless given), and the run's model for it.

    Examples
    --------
    >>> of_run(Path("/no/run"))
    Traceback (most recent call last):
        ...
    FileNotFoundError: /no/run/questions.parquet is missing: run 02_features first (make run-02)
    """
    if not (folder / "questions.parquet").exists():
        raise FileNotFoundError(f"{shown(folder)}/questions.parquet is missing: run 02_features first (make run-02)")
    data = Dataset.read(folder)
    chosen = data.target(target)
    return data.of(chosen.name), RunConfig.read(folder / "recipe.json").models.get(chosen.name, "").partition(":")[0]


def advise_run(run: Path, target: str, model: str, **how) -> int:
    """Say what is advised for a run, and write it beside the run; the exit code of ``rtml advise RUN``.

    Parameters
    ----------
    run
        Folder of a run whose notebook 02 has been through.
    target, model
        Which answers, and a model of the catalogue; those of the run unless given.
    how
        ``few``, ``jobs`` and ``backend`` of :func:`advise`.

    Examples
    --------
    >>> advise_run(Path("/no/run"), "", "")
    2
    """
    try:
        questions, usual = of_run(run, target)
        advice = advise(questions, model or usual, **how)
    except (LookupError, ValueError, FileNotFoundError) as error:
        print(f"no advice: {error}", file=sys.stderr)
        return 2
    with pd.option_context("display.width", 200, "display.max_columns", 20, "display.max_colwidth", 60):
        print(advice.frame.drop(columns=["worse_low", "worse_high"]).to_string(float_format="{:.4g}".format))
    advice.frame.to_csv(run / "advice.csv")
    advice_front(advice.frame, advice.recommended).savefig(run / "advice.png")
    print(f"\n{advice.sentence}\n\n{shown(run / 'advice.png')} and advice.csv hold it")
    return 0
