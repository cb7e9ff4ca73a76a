"""The command that says which versions of a run answer whom: ``rtml route RUN``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rtml.core.use_case import title
from rtml.registry.ledger import decided_by
from rtml.registry.registry import Registry
from rtml.registry.routing.route import Routes, restored
from rtml.training.run_config import RunConfig


def route(run: Path, kind: str | None, arms: tuple[str, ...], who: str, why: str, steps: str = "", **about) -> None:
    """Enter a route into a run's ledger, which its endpoint follows within a second; without ``kind`` list them.

    Parameters
    ----------
    run
        Folder of the run.
    kind
        ``ab``, ``canary``, ``bandit``, ``next`` or ``stop``.
    arms
        Such as ``crypto@3=0.05``; a bandit's and a stopped one's need no share.
    who, why
        For the ledger.
    steps
        Further shares of a canary, comma separated.
    about
        Other fields of a :class:`rtml.registry.routing.route.Route`; None: as usual.
    """
    model = title(RunConfig.read(run / "recipe.json").use_case)
    below = "live/registry" if (run / "live" / "registry").exists() else "registry"
    with closing(Registry(run / below)) as registry:
        routes = Routes(registry, model)
        if kind:
            given = {name: value for name, value in about.items() if value is not None}
            given |= {"steps": tuple(float(step) for step in steps.split(","))} if steps else {}
            at = max([act.at for act in registry.acts.entries(model)] + [one.at for one in registry.all(model)[-1:]])
            routes.change(kind, dict(map(_share, arms)), who, why, at, **given)
        for entry in routes.entries():
            print(f"{decided_by(entry)}: {restored(entry.evidence['route']).sentence()} ({entry.why})")
        print(f"now: {routes.now().sentence()}")


def _share(text: str) -> tuple[str, float]:
    """Version and share of a text such as ``crypto@3=0.05``."""
    version, _, share = text.partition("=")
    try:
        return version, float(share or 0.0)
    except ValueError as ex:
        raise ValueError(f"an arm is a version and its share such as crypto@3=0.05, got {text!r}") from ex
