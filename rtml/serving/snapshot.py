"""What serves at one moment: the newest state of a learner or a frozen version, and the newest question of each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from struct import Struct
from typing import Protocol

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType

from rtml.core.clock import Clock
from rtml.core.state import loads
from rtml.core.target import Target
from rtml.models.compiled import restore
from rtml.models.per_key import KEY
from rtml.registry.learners import LEARNER
from rtml.serving.answers import answer_of, columns
from rtml.serving.freshness import Freshness
from rtml.serving.schemas import encode, predict_reader


class Model(Protocol):
    """What the service needs of a model: the prediction for one row of features."""

    def predict(self, x: np.ndarray) -> float | np.ndarray: ...


@dataclass(frozen=True)
class Snapshot:
    """What answers requests with features of their own: nothing in it changes once it is published.

    Parameters
    ----------
    version
        Its name, ``<use case>@learner``, ``<use case>@learner:<lineage>`` or ``<use case>@<number>``.
    load
        Gives its models by target, and how many events of the log they had learned; called at the first such request,
        so that publishing costs nothing.
    names, keys, targets
        Columns of a row, keys that can be asked for, and what is predicted, the headline first.
    horizon, trained_up_to
        Nanoseconds; 0 where answers come at a time of their own.
    offset
        Events of the log that it had learned when it was published.
    features
        Hash of the features' definition.
    freshness
        Ages and policies of the features, where they declare any.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> from rtml.training.learner import Learner
    >>> learner = Learner(RecursiveLeastSquares(ridge=1.0), ["x"])
    >>> _ = learner.ask(1, moment=10, x=[2.0]), learner.tell(1, y=3.0, known=20)
    >>> made = lambda: (1, {"demand": learner.model})
    >>> about = ("run@learner", made, ("x",), ("north",), (Target("demand"),), 10, 20)
    >>> Snapshot(*about).predict(np.array([2.0]))
    {'demand': 2.9997001499250375}
    """

    version: str
    load: Callable[[], tuple[int, Mapping[str, Model]]]
    names: tuple[str, ...]
    keys: tuple[str, ...]
    targets: tuple[Target, ...]
    horizon: int
    trained_up_to: int
    offset: int = 0
    features: str = ""
    freshness: Freshness | None = None

    @cached_property
    def learned(self) -> tuple[int, Mapping[str, Model]]:
        """Events that the models had learned, and the models."""
        return self.load()

    def predict(self, x: np.ndarray) -> dict[str, float | np.ndarray]:
        """What the models say of a row, by target."""
        models = self.learned[1]
        return {target.name: columns(models[target.name].predict(x), target.outputs) for target in self.targets}


class _Learner(msgspec.Struct):
    model: Raw


class _Lineages(msgspec.Struct):
    serves: str = LEARNER
    shadows: dict[str, dict[str, Raw]] = {}


class _Flow(msgspec.Struct):
    learners: dict[str, _Learner]
    lineages: _Lineages = msgspec.field(default_factory=_Lineages)


class _Checkpoint(msgspec.Struct):
    flow: _Flow
    scoreboard: Raw = Raw()


def serving_of(blob: bytes) -> str:
    """Lineage that serves in a training's checkpoint.

    Examples
    --------
    >>> from rtml.core.state import dumps
    >>> serving_of(dumps({"flow": {"learners": {}, "lineages": {"serves": "wide", "shadows": {}}}}))
    'wide'
    >>> serving_of(dumps({"flow": {"learners": {}}}))
    'learner'
    """
    return msgspec.msgpack.decode(blob, type=_Checkpoint).flow.lineages.serves


def models_of(blob: bytes, lineage: str = LEARNER) -> dict[str, Model]:
    """The models of a lineage in a training's checkpoint by target; the rest of it is passed over unread.

    Examples
    --------
    >>> from rtml.core.state import dumps
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> from rtml.models.compiled import compile
    >>> model = compile(RecursiveLeastSquares(ridge=1.0), ["x"])
    >>> list(models_of(dumps({"flow": {"learners": {"demand": {"model": model.state}}}})))
    ['demand']
    """
    flow = msgspec.msgpack.decode(blob, type=_Checkpoint).flow
    own = {} if lineage == flow.lineages.serves else flow.lineages.shadows.get(lineage, {})
    learners = flow.learners | {target: msgspec.msgpack.decode(one, type=_Learner) for target, one in own.items()}
    return {target: restore(loads(bytes(learner.model))) for target, learner in learners.items()}


def scoreboard_of(blob: bytes) -> dict:
    """State of the scoreboard in a training's checkpoint.

    Examples
    --------
    >>> from rtml.core.state import dumps
    >>> scoreboard_of(dumps({"flow": {"learners": {}}, "scoreboard": {"answered": 7}}))
    {'answered': 7}
    """
    return loads(bytes(msgspec.msgpack.decode(blob, type=_Checkpoint).scoreboard))


class Question:
    """A question of the stream as it was answered: what ``/predict`` by key gives until the next one of its key.

    Examples
    --------
    >>> question = Question("run@3", 1200, 17, "ETH-USD", 1_700_000_000 * 10**9, b"", horizon=10 * 10**9)
    >>> question.features_at, question.due_at
    ('2023-11-14T22:13:20.000000+00:00', '2023-11-14T22:13:30.000000+00:00')
    >>> question.answered((Target("demand"),), {"demand": 2.5})
    {'demand': {'value': 2.5, 'unit': ''}}
    """

    __slots__ = (
        *("cell", "due_at", "extra", "features_at", "id", "key", "moment", "offset", "others"),
        *("predictions", "version", "x"),
    )

    def __init__(
        self, version: str, offset: int, id: int | None, key: str, moment: int, x: bytes, horizon: int
    ) -> None:
        self.version = version
        self.offset = offset
        self.id = id
        self.key = key
        self.moment = moment
        self.x = x
        self.features_at, due_at = iso_pair(moment, horizon)
        self.due_at = due_at if horizon else None
        self.extra: Raw | UnsetType = UNSET

    def answered(
        self, targets: tuple[Target, ...], predictions: Mapping[str, float | np.ndarray], bounds: Mapping = {}
    ) -> dict[str, dict]:
        """Keep the predictions as they are logged and as they are told; the latter."""
        first = predictions[targets[0].name]
        self.cell = first if first.__class__ is float else np.asarray(first, float).tobytes()
        others = [np.asarray(predictions[target.name], float).tobytes() for target in targets[1:]]
        self.others = b"".join(others) if others else None
        answers = {
            target.name: answer_of(target, predictions[target.name], bounds.get(target.name, ())) for target in targets
        }
        self.predictions = Raw(encode(answers))
        return answers


class Serving:
    """A snapshot, and how requests for it are read: replaced as one.

    ``read`` gives a request of features by name, all of them and no other, as a struct of numbers in the models' order.
    The column ``key`` is filled in from the key that is asked for.

    Examples
    --------
    >>> about = ("run@3", dict, ("spread", "key"), ("ETH-USD", "BTC-USD"), (Target("demand"),), 10, 20)
    >>> serving = Serving(Snapshot(*about))
    >>> serving.asked, serving.places
    (('spread', 'key'), {'ETH-USD': (), 'BTC-USD': ()})
    """

    __slots__ = ("asked", "pack", "places", "read", "snapshot")

    def __init__(self, snapshot: Snapshot, before: Serving | None = None) -> None:
        self.snapshot = snapshot
        same = before and (before.snapshot.names, before.snapshot.keys) == (snapshot.names, snapshot.keys)
        if same:  # published after every commit: only the state is another one
            self.pack = before.pack
            self.asked = before.asked
            self.places = before.places
            self.read = before.read
            return
        self.pack = Struct(f"{len(snapshot.names)}d").pack
        keyed = snapshot.names[-1:] == (KEY,)
        self.asked = snapshot.names[:-1] if keyed else snapshot.names
        self.places = {key: (float(place),) if keyed else () for place, key in enumerate(snapshot.keys)}
        self.read = predict_reader(self.asked)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def iso(moment: int) -> str:
    """ISO text of a moment, to the microsecond; the texts of the last seconds are kept, so it takes 0.5 us.

    Examples
    --------
    >>> iso(1_700_000_000_250_000_000)
    '2023-11-14T22:13:20.250000+00:00'
    """
    seconds, rest = divmod(moment, 10**9)
    return f"{_second(seconds)}.{rest // 1000:06d}+00:00"


def iso_pair(moment: int, later: int) -> tuple[str, str]:
    """ISO texts of a moment and of the one so many nanoseconds later; they share their end where those are seconds.

    Examples
    --------
    >>> iso_pair(1_700_000_000_250_000_000, 10 * 10**9)
    ('2023-11-14T22:13:20.250000+00:00', '2023-11-14T22:13:30.250000+00:00')
    """
    if later % 10**9:
        return iso(moment), iso(moment + later)
    first = iso(moment)
    return first, _second((moment + later) // 10**9) + first[19:]


class StreamClock(Clock):
    """Event time of a replayed stream: the newest moment told, plus the time that has passed since.

    Examples
    --------
    >>> clock = StreamClock()
    >>> clock.advance(1_700_000_000_000_000_000)
    >>> 0 <= clock.now() - 1_700_000_000_000_000_000 < 10**9
    True
    """

    def __init__(self) -> None:
        self._last = (0, self.elapsed())

    def advance(self, moment: int) -> None:
        """The stream has come to this moment."""
        self._last = (moment, self.elapsed())

    def now(self) -> int:
        moment, at = self._last
        return moment + self.elapsed() - at
