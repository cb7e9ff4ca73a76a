"""The command that says which versions of a run answer whom: ``rtml route RUN``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rtml.core.clock import utc
from rtml.core.use_case import title
from rtml.registry.ledger import decided_by
from rtml.registry.registry import Registry
from rtml.registry.routing.route import Route, Routes, restored
from rtml.serving.arms import begun, figures, fold
from rtml.store.database import reading
from rtml.training.run_config import RunConfig

_FIGURES = ("asked", "units", "answered", "failures", "loss", "gain", "gain_low", "gain_high")


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


def routed(run: Path) -> dict:
    """What a run's routes came to, for its report: ``now`` in words, ``entries`` and ``arms`` as tables.

    The arms are those of the newest test. Empty where no route was ever entered.

    Examples
    --------
    >>> routed(Path("nowhere"))
    {}
    """
    place = run / "live" if (run / "live" / "registry").exists() else run
    if not ((place / "registry").exists() and (run / "recipe.json").exists()):
        return {}
    config = RunConfig.read(run / "recipe.json")
    with closing(Registry(place / "registry")) as registry:
        routes = Routes(registry, title(config.use_case))
        entries = routes.entries()
        rows = [
            [utc(one.at).isoformat(timespec="seconds"), decided_by(one), _route(one).sentence(), one.why]
            for one in entries
        ]
        if not rows:
            return {}
        tests = [_route(one) for one in entries if _route(one).arms]
        arms = _arms(place / "predictions.db", routes, tests[-1], config) if tests else []
        return {
            "now": routes.now().sentence(),
            "entries": {"columns": ["at", "by", "route", "why"], "rows": rows},
            "arms": {"columns": ["arm", *_FIGURES], "rows": [[one["arm"], *map(one.get, _FIGURES)] for one in arms]},
        }


def _route(entry) -> Route:
    return restored(entry.evidence["route"])


def _arms(log: Path, routes: Routes, route: Route, config: RunConfig) -> list[dict]:
    """Figures of a test's arms, from the log of predictions."""
    target = next(target for target in config.targets if target.name in config.models)
    experiment = begun(routes, route, target, config.case.segments)
    places = [0, 0, 0]
    more = log.exists()
    if experiment is None or not more:
        return []
    with closing(reading(log)) as database:
        while more:
            more = fold(database, experiment, places)
        return figures(database, experiment, target)


def _share(text: str) -> tuple[str, float]:
    """Version and share of a text such as ``crypto@3=0.05``."""
    version, _, share = text.partition("=")
    try:
        return version, float(share or 0.0)
    except ValueError as ex:
        raise ValueError(f"an arm is a version and its share such as crypto@3=0.05, got {text!r}") from ex
