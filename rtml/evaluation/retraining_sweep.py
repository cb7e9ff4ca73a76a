"""Trials: one stream replayed through many schedules, each scored, timed and counted, on as many cores as there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed

from rtml.core.clock import NEVER, span, span_text
from rtml.core.questions import Questions
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build

_START_S = 20.0  # CPU seconds of work left from which other processes pay
SEED = 7  # of what is rehearsed
_CHUNK = 20_000  # questions between two looks at what was published
_FACES = ("10s", "1m", "5m", "15m", "1h", "3h", "6h", "12h", "1d", "3d", "7d", "14d", "30d", "90d", "365d")
_SHARES = (1000, 300, 100, 30, 10)  # the stream is this many times as long as the frequencies that are tried


class Trial(NamedTuple):
    """A replay with one schedule: what was said, when a version was published, and what that cost.

    ``published`` are event times (ns); empty for a model that answers from all it has learned, which is only counted.
    ``age`` is how long before each question the version that answered it was published, in seconds; of one that answers
    from all it has learned, how long before it the last answer was known. NaN before the first.

    Examples
    --------
    >>> n = 400
    >>> asked = Questions(np.arange(n), np.arange(n), np.ones((n, 1)), np.ones(n), np.arange(1, n + 1), ("a",))
    >>> trial("continual", "mean", asked).samples
    400
    """

    setting: str
    predictions: np.ndarray
    samples: int
    publications: int
    published: np.ndarray
    age: np.ndarray
    cpu_seconds: float


def frequencies(questions: Questions) -> list[str]:
    """Spans from a thousandth to a tenth of a stream, each a round one, longer than the step from question to question.

    Examples
    --------
    >>> n = 10_000
    >>> minutes = np.arange(n) * span("1m")
    >>> frequencies(Questions(np.arange(n), minutes, np.zeros((n, 1)), np.zeros(n), minutes + 1, ("a",)))
    ['15m', '1h', '6h', '12h']
    """
    whole = int(questions.moment[-1] - questions.moment[0])
    faces = np.array([span(face) for face in _FACES], dtype=np.float64)
    nearest = {faces[np.argmin(np.abs(np.log(faces * share / whole)))] for share in _SHARES}
    step = 2 * whole / max(len(questions) - 1, 1)
    return [span_text(int(face)) for face in sorted(nearest) if face >= step] or [span_text(max(int(whole / 30), 1))]


def settings(questions: Questions, few: bool = False) -> list[str]:
    """Schedules worth trying on a stream: some 30, of all seven strategies; or the ``few`` that differ most.

    Examples
    --------
    >>> at = np.arange(400) * 10**9
    >>> asked = Questions(at, at, np.ones((400, 1)), np.ones(400), at + 10**9, ("a",))
    >>> settings(asked, few=True)[:2], len(settings(asked)) > len(settings(asked, few=True))
    (['continual', 'stateless after 20'], True)
    """
    every = frequencies(questions)
    some = every[:: max(len(every) // 2, 1)][:3]
    n = len(questions)
    first = max(n // 100, 20)
    small = max(n // 30, 20)
    large = max(n // 6, 20)
    if few:
        found = ["continual", f"stateless after {first}", *(f"stateful every {t}" for t in some)]
        found += [f"stateless every {some[-1]} window {small}", f"stateless every {some[-1]} window {large}"]
        return [*found, f"on drift window {small} first {first}"]
    found = ["continual", f"continual rehearse 1 of {small}", f"continual publish {first}"]
    found += [f"stateful on drift or every {small} first {first}"]
    found += [f"stateful every {t}" for t in every] + [f"stateless after {k}" for k in (first, small, large)]
    found += [f"stateful after {small}"]
    found += [f"stateless every {t} window {w}" for t in every[1:] for w in (small, large)]
    found += [f"stateless every {every[-1]} window all"]
    for rule in ("on drift", "on drift by hddm", "when loss 10 % above reference", "when loss 25 % above reference"):
        found += [f"stateful {rule} first {first}", f"stateless {rule} window {small} first {first}"]
    return found


def trial(setting: str, model: str, questions: Questions) -> Trial:
    """Replay a stream with one schedule around a model of the zoo.

    Examples
    --------
    >>> n = 400
    >>> asked = Questions(np.arange(n), np.arange(n), np.ones((n, 1)), np.ones(n), np.arange(1, n + 1), ("a",))
    >>> found = trial("stateless after 100", "mean", asked)
    >>> found.publications
    1
    """
    columns = (np.asarray(getattr(questions, name)) for name in ("id", "moment", "X", "y", "known"))
    questions = Questions(*columns, questions.names)
    learner = Learner(build(f"{model}: {setting}", questions.names, SEED), questions.names)
    begin = time.process_time()
    parts = []
    published = []
    for start in range(0, len(questions), _CHUNK):
        part = questions[start : start + _CHUNK]
        last = start + _CHUNK >= len(questions)
        parts.append(learner.replay(part, NEVER if last else int(part.moment[-1]) - 1))
        published += [p.at for p in learner.model.publications()]
    seconds = time.process_time() - begin
    direct = learner.model.version > 0 and not published
    published = np.array(published, dtype=np.int64)
    age = _age(questions.moment, np.sort(questions.known[~np.isnan(questions.y)]) if direct else published)
    costs = (learner.model.samples, learner.model.version, published, age, seconds)
    return Trial(setting, np.concatenate(parts), *costs)


def trials(
    chosen: Sequence[str], model: str, questions: Questions, jobs: int = 0, backend: str = "loky",
    done: Callable[[str], object] = str,
) -> list[Trial]:  # fmt: skip
    """Every schedule on the same stream; ``done`` is told each as it ends.

    With more than one job each runs in a process of its own (joblib), which maps the questions into its memory instead
    of copying them. With ``jobs`` 0 there is one a core, but only where that pays: a process takes seconds to start,
    and a compiled model a fraction of one for 100,000 questions. ``backend`` is any that joblib knows or was told of.

    Examples
    --------
    >>> n = 400
    >>> asked = Questions(np.arange(n), np.arange(n), np.ones((n, 1)), np.ones(n), np.arange(1, n + 1), ("a",))
    >>> [one.setting for one in trials(["continual", "stateless after 100"], "mean", asked, jobs=1)]
    ['continual', 'stateless after 100']
    """
    found, left = {}, list(chosen)
    while left and backend == "loky" and (jobs == 1 or (jobs == 0 and _alone(found, left))):
        found[left[0]] = trial(left[0], model, questions)
        done(left.pop(0))
    tasks = [delayed(trial)(setting, model, questions) for setting in left]
    how = "generator_unordered" if backend in ("loky", "threading") else "list"
    for ended in Parallel(n_jobs=jobs or -1, backend=backend, return_as=how, max_nbytes="100K")(tasks):
        found[ended.setting] = ended
        done(ended.setting)
    return [found[setting] for setting in chosen]


def _alone(found: dict[str, Trial], left: list[str]) -> bool:
    """Whether the rest is done sooner than other processes have started, going by what was done."""
    seconds = [made.cpu_seconds for made in found.values()]
    return not seconds or len(left) * sum(seconds) / len(seconds) < _START_S


def _age(moment: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Seconds from the last of some event times before each moment."""
    place = np.searchsorted(times, moment, side="left") - 1
    age = np.full(len(moment), np.nan)
    known = place >= 0
    age[known] = (moment[known] - times[place[known]]) / 1e9
    return age
