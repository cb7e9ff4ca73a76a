"""What a use case adds to serving: fields of an answer, columns and a panel of the page, routes of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtml.core import plugin
from rtml.core.operator import Operator
from rtml.features.feature_set import FeatureSet
from rtml.sources.columns import Schema

if TYPE_CHECKING:
    from rtml.serving.app import App
    from rtml.serving.events import Events
    from rtml.serving.publisher import Publisher
    from rtml.serving.schemas import Prediction
    from rtml.serving.service import Service
    from rtml.training.flow import Outcome
    from rtml.training.run_config import RunConfig


class View:
    """The view of a use case that adds nothing; one of your own overrides what it needs.

    A use case names its view as ``UseCase.view``, ``module:attribute`` or ``file.py:attribute``; it is made with the
    run's configuration.

    Examples
    --------
    >>> from rtml.training.run_config import RunConfig
    >>> class Wide(View):
    ...     def extend(self, answer, key, closed):
    ...         return {"width": answer["demand"]["high"] - answer["demand"]["low"]}
    >>> Wide(RunConfig.of("crypto", ("ETH-USD",))).extend({"demand": {"low": 1.0, "high": 3.5}}, 0, None)
    {'width': 2.5}
    """

    schema: Schema | None = None  #: what a row that is posted must hold; the fields of the event unless given
    panel: str = ""  #: script of a panel of the page, which calls ``rtml.panel(title, note, draw)``

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def columns(self, closed: np.void | np.ndarray, key: int) -> dict[str, float | int | bool]:
        """Fields that the page is told of what the operator closed at a question's moment, for its key."""
        return {}

    def extend(self, answer: dict[str, dict], key: int, closed: np.void | np.ndarray | None) -> dict:
        """What ``/predict`` adds under ``extra``: from the predictions by target, and what the operator closed."""
        return {}

    def windows(self, operator: Operator, id: int, key: int) -> list[tuple[FeatureSet, int]]:
        """The feature sets behind a question that was just asked, each with the key of its windows."""
        return [(operator.features, key)] if isinstance(operator.features, FeatureSet) else []

    def open(self, publisher: Publisher) -> None:
        """Begin: the publisher's service answers, and its folder holds the run."""

    def served(self, outcome: Outcome, version: str) -> None:
        """Look at questions that were just asked, with the predictions that are served."""

    async def reply(self, service: Service, body: bytes) -> Prediction | None:
        """Answer a body of ``POST /predict`` that is of this use case alone; None: it is like any other."""
        return None

    def routes(self, app: App, events: Events | None) -> None:
        """Add routes of this use case; where there are ``events``, some that take them over HTTP."""


def view_of(config: RunConfig) -> View:
    """The view of a run's use case.

    Examples
    --------
    >>> from rtml.training.run_config import RunConfig
    >>> type(view_of(RunConfig.of("crypto", ("ETH-USD",)))).__name__
    'LiveView'
    """
    name = config.case.view
    return plugin.load(name, {}, "views")(config) if name else View(config)


def script(path: str, name: str) -> str:
    """Text of a script beside a module; ``path`` is the module's ``__file__``."""
    return Path(path).with_name(name).read_text(encoding="utf-8")
