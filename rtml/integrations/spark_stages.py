"""Stages: a transition function as an engine of columns sees it, such as Spark; nothing of one is needed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rtml.features.feature_set import FeatureSet

if TYPE_CHECKING:
    from rtml.training.run_config import RunConfig  # a worker that computes features imports no model

Columns = dict[str, np.ndarray]

_TYPES = {"i1": "tinyint", "i2": "smallint", "i4": "int", "i8": "long", "f4": "float", "f8": "double", "b1": "boolean"}


class Stage(Protocol):
    """A transition function as Spark calls it: columns of a chunk of rows in, columns out, any number of rows."""

    schema: str  #: names and types of the columns that come out, as Spark writes them

    def push(self, columns: Columns) -> Columns:
        """Take the next rows of a group, in order."""

    @property
    def state(self) -> dict:
        """Everything the next row depends on."""

    def load(self, state: dict) -> None:
        """Continue from a state."""


class Windows:
    """A feature set as a stage: columns that are carried along, then the features.

    Parameters
    ----------
    features
        The feature set; its columns are read by name.
    key, time
        Columns of the key (integers or texts) and of the event time, ns.
    carried
        Columns that come out as they went in, with Spark's name of their type.
    reads
        A column that is true for a row that only asks, see :meth:`FeatureSet.push`.

    Examples
    --------
    >>> from rtml.features.feature_set import Feature, column
    >>> spent = Feature("spent", column("amount").over("24h", "sum"), "EUR", "spent in the last day")
    >>> stage = Windows(FeatureSet([spent], ["amount"]), key="card")
    >>> rows = {"id": [1, 2, 3], "card": [7, 8, 7], "time": [10, 20, 30], "amount": [5.0, 1.0, 2.0]}
    >>> stage.schema, stage.push({name: np.array(values) for name, values in rows.items()})["spent"].tolist()
    ('id long, spent double', [5.0, 1.0, 7.0])
    """

    def __init__(
        self,
        features: FeatureSet,
        key: str,
        time: str = "time",
        carried: Mapping[str, str] | None = None,
        reads: str | None = None,
    ) -> None:
        self.features, self._key, self._time, self._reads = features, key, time, reads
        self._carried = {"id": "long"} if carried is None else dict(carried)
        self.schema = ddl(self._carried | dict.fromkeys(features.names, "double"))

    def push(self, columns: Columns) -> Columns:
        """Features of the next rows."""
        reads = None if self._reads is None else columns[self._reads]
        x = self.features.push(columns[self._time], self.features.rows(columns), columns[self._key], reads)
        return {name: columns[name] for name in self._carried} | dict(zip(self.features.names, x.T, strict=True))

    @property
    def state(self) -> dict:
        """State of the feature set."""
        return self.features.state

    def load(self, state: dict) -> None:
        """Continue from a state of the same definition."""
        self.features.load(state)


class Records:
    """What takes records and returns records, such as :class:`rtml.usecases.crypto.bars.Bars`, as a stage.

    Parameters
    ----------
    inner
        Has ``push(records) -> records`` (of any shape, taken row by row), ``state`` and ``load``.
    taken, returned
        Their dtypes.

    Examples
    --------
    >>> class Same:
    ...     state = {}
    ...     push = staticmethod(lambda records: records)
    >>> price = np.dtype([("price", "f8")])
    >>> Records(Same(), price, price).push({"price": np.array([1.0, 2.0])})
    {'price': array([1., 2.])}
    """

    def __init__(self, inner: Any, taken: np.dtype, returned: np.dtype) -> None:
        self._inner, self._taken, self._names = inner, taken, returned.names or ()
        self.schema = ddl(types(returned))

    def push(self, columns: Columns) -> Columns:
        """Records that the next ones give."""
        out = self._inner.push(_records(columns, self._taken)).reshape(-1)
        return {name: np.ascontiguousarray(out[name]) for name in self._names}

    @property
    def state(self) -> dict:
        """State of what is inside."""
        return self._inner.state

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self._inner.load(state)


class Predictions:
    """A whole run, operator and models, as a stage: events in, its questions with their predictions out.

    With one key a group it is a backtest of each key, or live over a stream: the same bits either way.

    Parameters
    ----------
    config
        Of the run; one output for each target that has a model.
    """

    def __init__(self, config: RunConfig) -> None:
        self._flow, self._event = config.flow(), config.case.event
        self.schema = ddl({"id": "long", "moment": "long"} | dict.fromkeys(self._flow.learners, "double"))

    def push(self, columns: Columns) -> Columns:
        """Questions that the next events ask."""
        outcome = self._flow.push(_records(columns, self._event))
        return {"id": outcome.id, "moment": outcome.moment} | outcome.predictions

    @property
    def state(self) -> dict:
        """State of the operator and of the models."""
        return self._flow.state

    def load(self, state: dict) -> None:
        """Continue from a state of the same run."""
        self._flow.load(state)


def types(dtype: np.dtype) -> dict[str, str]:
    """Fields of records and Spark's names of their types.

    Examples
    --------
    >>> types(np.dtype([("time", "i8"), ("price", "f8")]))
    {'time': 'long', 'price': 'double'}
    """
    return {name: _TYPES[dtype[name].str[1:]] for name in dtype.names or ()}


def ddl(columns: Mapping[str, str]) -> str:
    """A schema as Spark writes it.

    Examples
    --------
    >>> ddl({"offset": "long"} | types(np.dtype([("time", "<i8"), ("price", "<f8")])))
    'offset long, time long, price double'
    """
    return ", ".join(f"{name} {type}" for name, type in columns.items())


def _records(columns: Columns, dtype: np.dtype) -> np.ndarray:
    rows = np.empty(len(next(iter(columns.values()))), dtype)
    for name in dtype.names or ():
        rows[name] = columns[name]
    return rows
