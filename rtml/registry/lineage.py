"""Lineage: which version came from which, what answered at a time, and which of two is better on the same questions."""

from __future__ import annotations

from collections.abc import Callable

from rtml.core.clock import utc
from rtml.core.questions import Questions
from rtml.core.state import loads
from rtml.metrics.confidence_sequence import Comparison
from rtml.metrics.confidence_sequence import compare as compare_losses
from rtml.models import pickles
from rtml.models.compiled import restore
from rtml.models.rows import predictions
from rtml.registry.registry import Registry
from rtml.registry.versions import Version


def models(registry: Registry, version: Version | str) -> dict:
    """The models of a version by target, as they answered; of one that is declared flat, no pickle is loaded.

    Examples
    --------
    >>> import tempfile
    >>> from rtml.core.state import dumps
    >>> from rtml.models.constant import Constant
    >>> registry = Registry(tempfile.mkdtemp())
    >>> state = dumps({"models": {"up": Constant(["a"], 0.25, classifier=True).state}})
    >>> version = registry.save("eth", state, at=10, features="f1")
    >>> models(registry, version)["up"].predict([7.0])
    0.25
    """
    version = registry.get(version)
    with pickles.flat(version.format == "flat"):
        return {target: restore(state) for target, state in loads(registry.load(version))["models"].items()}


def compare(
    registry: Registry,
    a: Version | str,
    b: Version | str,
    questions: Questions,
    target: str = "",
    loss: Callable = lambda y, p: (y - p) ** 2,
) -> Comparison:
    """Which of two versions loses less on the same questions: paired, with an interval valid whenever one looks.

    Both are frozen: questions asked before one of them was saved are no test of it, it may have learned from them.

    Parameters
    ----------
    a, b : the versions.
    questions : with answers of the target, such as ``data.of("demand")``.
    target : which model of the versions, the first one unless given.
    loss : of answers and predictions, one per question.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from rtml.core.state import dumps
    >>> from rtml.models.constant import Constant
    >>> registry = Registry(tempfile.mkdtemp())
    >>> for value in (0.0, 2.0):
    ...     state = dumps({"models": {"demand": Constant(["a"], value, classifier=False).state}})
    ...     _ = registry.save("bikes", state, at=10, features="f1")
    >>> n = np.arange(400)
    >>> asked = Questions(n, n, np.zeros((400, 1)), 2.0 + np.sin(n), n + 1, ("a",))
    >>> compare(registry, "bikes@1", "bikes@2", asked).verdict.partition(" (")[0]
    'bikes@2 is better than bikes@1: loss is 4.02 lower per question'
    """
    versions = [registry.get(a), registry.get(b)]
    losses = []
    for version in versions:
        found = models(registry, version)
        model = found[target or next(iter(found))]
        losses.append(loss(questions.y, predictions(model, questions.X)))
    return compare_losses(*losses, names=(versions[0].name, versions[1].name))


def graph(registry: Registry, model: str) -> dict:
    """Versions and what leads to what, as JSON holds it: nodes, edges from parent to child, and the ledger's way.

    A node holds when it was complete, what it learned from, why it was saved, whether features or architecture changed
    ("model") or only data were added ("data"), from when to when it served, and whether its state is still kept.

    Examples
    --------
    >>> import tempfile
    >>> registry = Registry(tempfile.mkdtemp())
    >>> first = registry.save("eth", b"weights", at=10, features="f1")
    >>> second = registry.save("eth", b"better weights", parent=first, at=20, features="f1")
    >>> _ = registry.promote("eth", second, "gate passed", at=20)
    >>> shown = graph(registry, "eth")
    >>> shown["edges"]
    [{'from': 'eth@1', 'to': 'eth@2', 'kind': 'data'}]
    >>> shown["served"]
    [{'at': 20, 'action': 'promote', 'version': 'eth@2', 'why': 'gate passed'}]
    """
    acts = registry.acts.entries(model)
    turns = [(act.version, act.at, until) for act, until in zip(acts, [*(a.at for a in acts[1:]), None], strict=True)]
    nodes = [_node(registry, version, turns) for version in registry.all(model)]
    names = {node["id"]: node["name"] for node in nodes}
    edges = [{"from": names.get(n["parent"]), "to": n["name"], "kind": n["iteration"]} for n in nodes if n["parent"]]
    way = [
        {"at": act.at, "action": act.action, "version": names.get(act.version, act.version), "why": act.why}
        for act in acts
    ]
    return {"model": model, "nodes": nodes, "edges": edges, "served": way}


def answers(registry: Registry, model: str, time: int) -> str:
    """What served at an event time and why, in a sentence.

    Examples
    --------
    >>> import tempfile
    >>> registry = Registry(tempfile.mkdtemp())
    >>> version = registry.save("eth", b"weights", at=0, features="f1")
    >>> _ = registry.promote("eth", version, "gate passed", at=0)
    >>> answers(registry, "eth", 60 * 10**9)
    'eth@1 served at 1970-01-01T00:01:00+00:00, since 1970-01-01T00:00:00+00:00: gate passed'
    """
    version, act = registry.as_of(model, time), registry.act_at(model, time)
    since = utc(act.at).isoformat(timespec="seconds")
    return f"{version.name} served at {utc(time).isoformat(timespec='seconds')}, since {since}: {act.why}"


def _node(registry: Registry, version: Version, turns: list[tuple]) -> dict:
    served = [{"from": start, "until": end} for id, start, end in turns if id == version.id]
    node = {"name": version.name, "id": version.id, "parent": version.parent, "at": version.at, "served": served}
    node |= {"data": version.learned, "cause": version.describe.get("cause", ""), "features": version.features}
    return node | {"iteration": registry.iteration(version), "kept": registry.kept(version)}
