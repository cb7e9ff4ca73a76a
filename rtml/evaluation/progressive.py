"""Progressive validation: predict first, wait, score, and learn when the answer arrives."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.training.learner import Learner


@dataclass(frozen=True, eq=False)
class Progress:
    """What a model said of every question, and what came out.

    ``scored`` marks the questions that were answered by the end of the stream; ``learned`` counts the answers learned
    and ``cpu_seconds`` what asking and learning cost.

    Examples
    --------
    >>> asked = Questions([1, 2, 3], [1, 2, 3], np.ones((3, 1)), [1.0, 2.0, np.nan], [2, 3, 4], ("one",))
    >>> from rtml.models.catalogue import build
    >>> found = progressive(build("zero", asked.names), asked)
    >>> found.scored, found.learned
    (array([ True,  True, False]), 2)
    """

    id: np.ndarray
    moment: np.ndarray
    predictions: np.ndarray
    y: np.ndarray
    known: np.ndarray
    scored: np.ndarray
    learned: int
    cpu_seconds: float
    model: str
    learner: Learner


def progressive(model, questions: Questions, until: int = NEVER) -> Progress:
    """Run a model over a stream as if live: every answer is learned once it is known, and not before.

    The model given is left alone; the one that learned is ``progress.learner.model``.

    Parameters
    ----------
    model
        A river model; its compiled twin runs where one exists, with the same numbers.
    questions
        The stream, with the time when each answer becomes known.
    until
        Answers known later than this are not learned and not scored; by default all are.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> asked = Questions([1, 2, 3], [10, 20, 30], [[1.0], [1.0], [1.0]], [4.0, 4.0, 4.0], [15, 35, 35], ("one",))
    >>> progressive(RecursiveLeastSquares(ridge=1e-3), asked).predictions.round(2).tolist()
    [0.0, 4.0, 4.0]
    """
    learner = Learner(model, questions.names)
    start = time.process_time()
    predictions = learner.replay(questions, until)
    seconds = time.process_time() - start
    return Progress(
        id=questions.id,
        moment=questions.moment,
        predictions=predictions,
        y=questions.y,
        known=questions.known,
        scored=~np.isnan(questions.y) & (questions.known <= until),
        learned=learner.answered,
        cpu_seconds=seconds,
        model=learner.model.describe(),
        learner=learner,
    )
