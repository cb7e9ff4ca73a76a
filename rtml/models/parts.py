"""The parts of river that models are made of, imported when one is first built or compiled: they take two seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtml.core.later import Later

if TYPE_CHECKING:
    from river import anomaly, compose, linear_model, multiclass, optim, preprocessing, tree
else:
    anomaly = Later("river.anomaly")
    compose = Later("river.compose")
    linear_model = Later("river.linear_model")
    multiclass = Later("river.multiclass")
    optim = Later("river.optim")
    preprocessing = Later("river.preprocessing")
    tree = Later("river.tree")

__all__ = ["anomaly", "compose", "linear_model", "multiclass", "optim", "preprocessing", "tree"]
