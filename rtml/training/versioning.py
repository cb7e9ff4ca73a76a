"""Saving what a flow has learned as a version of the registry, with all that says what it is."""

from __future__ import annotations

from rtml.models.pickles import holds
from rtml.registry.fingerprint import fingerprint
from rtml.registry.registry import Registry
from rtml.registry.versions import Version
from rtml.training.flow import Flow


def identity(flow: Flow) -> dict:
    """What must be the same when the training of a flow is taken up again."""
    models = {target: learner.model.describe() for target, learner in flow.learners.items()}
    lineages = {"challengers": list(flow.lineages.names[1:])} if flow.challenged else {}
    return {"models": models, "features": flow.features.definition} | lineages


def save(registry: Registry, model: str, flow: Flow, at: int, **about) -> Version:
    """Keep the models of a flow as they are at an event time; the same again is the same version.

    ``about``: ``parent``, id of the version before or ""; ``data``, what was learned since; ``metrics``; ``cause``, why
    it is saved, in words.
    """
    models = {target: learner.model for target, learner in flow.learners.items()}
    describe = {"models": identity(flow)["models"], "cause": about["cause"]}
    pickled = any(holds(model.state) for model in models.values())
    return registry.save(
        model,
        flow.snapshot(),
        at=at,
        features=flow.features.definition,
        parent=about["parent"] or None,
        data=about["data"],
        metrics=about["metrics"],
        format="pickle" if pickled else "flat",
        describe=describe | {"fingerprint": fingerprint(models, flow.features.names)},
    )
