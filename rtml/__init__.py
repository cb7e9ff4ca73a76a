"""Real-time machine learning in notebooks: the names a user types, each imported when it is first used.

Examples
--------
>>> import rtml
>>> rtml.Learner.__module__, "evaluate" in dir(rtml)
('rtml.training.learner', True)
"""

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what a type checker and an editor see; tests/test_api.py compares it with NAMES
    from rtml.core.clock import Clock as Clock
    from rtml.core.questions import Questions as Questions
    from rtml.core.run_folder import open_run as open_run
    from rtml.core.target import Target as Target
    from rtml.core.use_case import UseCase as UseCase
    from rtml.core.use_case import load_use_case as load_use_case
    from rtml.evaluation.compare import evaluate as evaluate
    from rtml.evaluation.dataset import Dataset as Dataset
    from rtml.features.feature_set import FeatureSet as FeatureSet
    from rtml.integrations.client import AsyncClient as AsyncClient
    from rtml.integrations.client import Client as Client
    from rtml.models.compiled import compile as compile
    from rtml.monitoring.monitor import Monitor as Monitor
    from rtml.pipeline.runs import runs as runs
    from rtml.registry.registry import Registry as Registry
    from rtml.sources.catalogue import open_source as open_source
    from rtml.store.event_log import EventLog as EventLog
    from rtml.store.protocols import open_log as open_log
    from rtml.training.learner import Learner as Learner
    from rtml.training.run_config import RunConfig as RunConfig
    from rtml.training.trainer import Trainer as Trainer

NAMES = {  # where each name lives
    "AsyncClient": "rtml.integrations.client",
    "Client": "rtml.integrations.client",
    "Clock": "rtml.core.clock",
    "Dataset": "rtml.evaluation.dataset",
    "open_log": "rtml.store.protocols",
    "EventLog": "rtml.store.event_log",
    "FeatureSet": "rtml.features.feature_set",
    "Learner": "rtml.training.learner",
    "Monitor": "rtml.monitoring.monitor",
    "Questions": "rtml.core.questions",
    "Registry": "rtml.registry.registry",
    "RunConfig": "rtml.training.run_config",
    "Target": "rtml.core.target",
    "Trainer": "rtml.training.trainer",
    "UseCase": "rtml.core.use_case",
    "compile": "rtml.models.compiled",
    "evaluate": "rtml.evaluation.compare",
    "load_use_case": "rtml.core.use_case",
    "open_run": "rtml.core.run_folder",
    "open_source": "rtml.sources.catalogue",
    "runs": "rtml.pipeline.runs",
}


def __getattr__(name: str) -> object:
    """The version, a name of ``NAMES``, or a room of the package."""
    if name == "__version__":
        return version("rtml")
    if name in NAMES:
        return getattr(import_module(NAMES[name]), name)
    if not name.startswith("_") and find_spec(f"rtml.{name}"):
        return import_module(f"rtml.{name}")
    raise AttributeError(f"rtml has no {name!r}; there are: {', '.join(sorted(NAMES))}")


def __dir__() -> list[str]:
    return [*sorted(NAMES), "__version__"]
