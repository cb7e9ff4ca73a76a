"""Rankings by name: what a session model lists items by, and how far it remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtml.usecases.sessions.session_model import SessionModel
    from rtml.usecases.sessions.versioned_ranker import VersionedRanker

#: What can be ranked by, and the parts of the memory it needs: an index of sessions, successors, item vectors.
KINDS = {
    "popular": (False, False, False),
    "repeat": (False, False, False),
    "successors": (False, True, False),
    "sknn": (True, False, False),
    "vsknn": (True, False, False),
    "timed": (True, False, False),
    "vectors": (False, False, True),
    "ranker": (True, True, True),
}
_LIMITS = {"k": 64, "recent": 512, "neighbours": 4096, "steps": 10, "successors": 64, "dimension": 256}


@dataclass(frozen=True)
class Ranking:
    """What a session model ranks by, and how far it remembers; :func:`rtml.models.compiled.compile` builds the model.

    ``popular`` lists what is clicked now, ``repeat`` what the session clicked before, ``successors`` what followed the
    last item (``steps`` 1: a first-order Markov chain; more: sequential rules, weighed by one over the distance).
    ``sknn`` and ``vsknn`` add up the sessions that share items (Ludewig and Jannach, "Evaluation of session-based
    recommendation algorithms", 2018), ``timed`` also weighs their age and the distance from the shared item (after
    Garg et al., "Sequence and time aware neighborhood for session-based recommendations", SIGIR 2019). ``vectors``
    compares the mean of the session's item vectors with every item. ``ranker`` learns to rank what neighbours,
    successors and the session itself propose. Popular items fill a list that is too short.

    Parameters
    ----------
    kind
        A name of :data:`KINDS`.
    k
        Items a list holds.
    recent
        Sessions of an item that are looked at, the newest, at most 512; S-KNN and V-S-KNN also keep so many in all.
    neighbours
        Sessions that vote.
    step_decay
        Clicks after which a click of the session counts a third.
    age_decay
        Age at which a neighbour counts a third.
    distance_decay
        Clicks, from the last item that is shared, at which an item of a neighbour counts a third.
    half_life
        Of popularity.
    steps
        How many clicks ahead a successor is counted.
    successors
        Kept of each item, the most frequent.
    rate
        Of the item vectors.
    dimension
        Numbers of an item vector.
    sessions
        Most sessions remembered, a power of two; then the oldest give way.

    Examples
    --------
    >>> Ranking("vsknn", neighbours=100).k
    20
    """

    kind: str = "ranker"
    k: int = 20
    recent: int = 500
    neighbours: int = 300
    step_decay: float = 0.7
    age_decay: str = "10d"
    distance_decay: float = 3.5
    half_life: str = "1d"
    steps: int = 2
    successors: int = 64
    rate: float = 0.1
    dimension: int = 32
    sessions: int = 1 << 20

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LookupError(f"no ranking by {self.kind!r}; there are: {', '.join(KINDS)}")
        for name, most in _LIMITS.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie between 1 and {most}, got {getattr(self, name)}")
        if self.sessions < 64 or self.sessions & (self.sessions - 1):
            raise ValueError(f"sessions must be a power of two of at least 64, got {self.sessions}")

    def row_model(self, names: Sequence[str]) -> SessionModel:
        """The model that learns it, for rows whose columns are ``names``."""
        from rtml.usecases.sessions.session_model import SessionModel  # its kernels are loaded where lists are wanted

        return SessionModel(names, self)

    def clone(self) -> Ranking:
        """The same; a ranking learns nothing itself."""
        return self


def restore(state: dict) -> SessionModel:
    """Model of a state."""
    from rtml.usecases.sessions.session_model import SessionModel

    return SessionModel.of(state)


@dataclass(frozen=True)
class Versioned:
    """How a ranker and its item vectors are trained, each on a schedule of its own.

    Parameters
    ----------
    ranking
        Of the kind ``ranker``; it learns to rank with every answer.
    every
        Answers between two versions of the item vectors, which learn with every click behind the one that serves.
    window
        Newest answers that the ranker is retrained on when a new version of the vectors has made it stale.

    Examples
    --------
    >>> Versioned(every=0)
    Traceback (most recent call last):
        ...
    ValueError: every and window must be at least 1 answer, got 0 and 2000
    """

    ranking: Ranking = field(default_factory=Ranking)
    every: int = 2000
    window: int = 2000

    def __post_init__(self) -> None:
        if self.ranking.kind != "ranker":
            raise ValueError(f"vectors of a version are those of a ranker, got a ranking by {self.ranking.kind!r}")
        if self.every < 1 or self.window < 1:
            raise ValueError(f"every and window must be at least 1 answer, got {self.every} and {self.window}")

    def row_model(self, names: Sequence[str]) -> VersionedRanker:
        """The model that learns it, for rows whose columns are ``names``."""
        from rtml.usecases.sessions.versioned_ranker import VersionedRanker  # its kernels are loaded where wanted

        return VersionedRanker(names, self)

    def clone(self) -> Versioned:
        """The same; it learns nothing itself."""
        return self


#: Rankings by the name under which a use case asks for them.
MODELS = {
    "popular": Ranking("popular"),
    "repeat": Ranking("repeat"),
    "markov": Ranking("successors", steps=1),
    "sequential_rules": Ranking("successors", steps=10),
    "sknn": Ranking("sknn", neighbours=100),
    "vsknn": Ranking("vsknn", neighbours=100),
    "session_neighbours": Ranking("timed", neighbours=150),
    "item_vectors": Ranking("vectors"),
    "session_ranker": Ranking("ranker"),
    "versioned_ranker": Versioned(),
}
