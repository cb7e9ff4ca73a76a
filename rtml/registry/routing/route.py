"""A route: which versions answer whom, as an entry of the ledger that only another entry can change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from rtml.core.run_folder import plain
from rtml.registry.learners import learner_version
from rtml.registry.ledger import ROUTE, ROUTER
from rtml.registry.registry import Registry
from rtml.registry.routing.assignment import Cut, cut_of, recut, shares

CHAMPION = "champion"
AB = "ab"
CANARY = "canary"
BANDIT = "bandit"
KINDS = (CHAMPION, AB, CANARY, BANDIT)
STOP, NEXT = "stop", "next"  # what a running route may be told besides another route
UNIT, KEY = "unit", "key"
POLICIES = ("thompson", "ucb", "exp3-ix")


@dataclass(frozen=True)
class Route:
    """Versions and their shares; the first arm is what serves, and answers whoever takes no part.

    Parameters
    ----------
    kind
        ``champion`` (what serves answers all), ``ab``, ``canary`` or ``bandit``.
    test
        Name of the test, and the salt of its assignment; it stays while shares change.
    cut
        The line of assignment, see :mod:`rtml.registry.routing.assignment`.
    coverage
        Share of the units that take part.
    by
        What a request is assigned by: its ``unit``, such as a user or a card, or the ``key`` that it asks for.
    steps, after
        Shares that a canary grows through, and units that it answers before each next one.
    policy, discount
        Of a bandit: its policy, and what an answer's weight is multiplied by with each further one.
    alpha
        Chance that a test of arms which are alike ever ends with a decision.
    latency_ms
        A request that takes longer counts as a failure of its arm.
    promote
        Whether what the test shows to be better, or a canary that got through, is promoted without a person.
    epoch
        Counts the changes of shares within a test.
    floor
        Smallest chance that any arm ever had in this test.

    Examples
    --------
    >>> route = begin("canary", "new model", {"eth@1": 0.99, "eth@2": 0.01}, steps=(0.1, 0.5))
    >>> route.grown().weights, route.grown().label
    ({'eth@1': 0.9, 'eth@2': 0.1}, 'new model:1')
    >>> route.stopped() == Route()
    True
    """

    kind: str = CHAMPION
    test: str = ""
    cut: Cut = ()
    coverage: float = 1.0
    by: str = UNIT
    steps: tuple[float, ...] = ()
    after: int = 1000
    policy: str = "thompson"
    discount: float = 0.9997
    alpha: float = 0.05
    latency_ms: float = 100.0
    promote: bool = False
    epoch: int = 0
    floor: float = 1.0
    arms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _refuse(self)

    @property
    def weights(self) -> dict[str, float]:
        """Share of each arm that takes part."""
        return shares(self.cut)

    @property
    def label(self) -> str:
        """Test and epoch, as predictions are logged with them."""
        return f"{self.test}:{self.epoch}"

    def shared(self, weights: dict[str, float], **about) -> Route:
        """The same test with other shares: just those units change their arm that must."""
        cut = recut(self.cut, {arm: weights.get(arm, 0.0) for arm in self.arms})
        floor = min(self.floor, *(share for share in shares(cut).values() if share))
        return replace(self, cut=cut, epoch=self.epoch + 1, floor=floor, **about)

    def stopped(self, arm: str = "") -> Route:
        """Without an arm, whose units are asked of what serves; of none that is left it is what serves alone."""
        if arm and arm not in self.arms[1:]:
            raise LookupError(f"no arm {arm!r} to stop; there are: {', '.join(self.arms[1:]) or 'none'}")
        weights = self.weights
        for gone in [arm] if arm else self.arms[1:]:
            weights[self.arms[0]] = weights.get(self.arms[0], 0.0) + weights.pop(gone, 0.0)
        return self.shared(weights) if len(weights) > 1 else Route()

    def grown(self) -> Route:
        """A canary's next step."""
        if self.kind != CANARY or not self.steps:
            raise ValueError(f"only a canary with steps left has a next one, this is {self.sentence()}")
        step, *rest = self.steps
        return self.shared({self.arms[0]: 1 - step, self.arms[1]: step}, steps=tuple(rest))

    def sentence(self) -> str:
        """What it does, in words.

        Examples
        --------
        >>> begin("ab", "test", {"eth@1": 0.5, "eth@2": 0.5}, coverage=0.2).sentence()
        'an A/B test of 20 % of the units: eth@1 50 %, eth@2 50 %'
        >>> Route().sentence()
        'what serves answers everything'
        """
        if self.kind == CHAMPION:
            return "what serves answers everything"
        what = {AB: "an A/B test", CANARY: "a canary", BANDIT: f"a bandit ({self.policy})"}[self.kind]
        parts = self.arms if self.kind == BANDIT else [f"{arm} {w:.3g} %" for arm, w in _percent(self.weights)]
        return f"{what} of {100 * self.coverage:.3g} % of the units: {', '.join(parts)}"

    @property
    def state(self) -> dict:
        """As the ledger keeps it."""
        return plain(asdict(self))


def restored(state: dict) -> Route:
    """A route of the ledger.

    Examples
    --------
    >>> route = begin("ab", "test", {"eth@1": 0.5, "eth@2": 0.5}, coverage=0.2)
    >>> restored(route.state) == route
    True
    """
    lists = {name: tuple(state[name]) for name in ("steps", "arms")}
    return Route(**{**state, **lists, "cut": tuple((arm, length) for arm, length in state["cut"])})


def begin(kind: str, test: str, weights: dict[str, float], **about) -> Route:
    """A new test; the first of its arms is what serves.

    Examples
    --------
    >>> begin("ab", "test", {"eth@1": 0.8, "eth@2": 0.2}).floor
    0.2
    """
    if kind not in KINDS[1:]:
        raise ValueError(f"kind must be one of {', '.join((*KINDS[1:], NEXT, STOP))}, got {kind!r}")
    cut = cut_of(weights)
    return Route(kind, test, cut, arms=tuple(weights), floor=min(weights.values()), **about)


class Routes:
    """Routes of one model in the ledger of a registry, with who entered them, when and why.

    Examples
    --------
    >>> import tempfile
    >>> registry = Registry(tempfile.mkdtemp())
    >>> for state in (b"weights", b"better weights"):
    ...     version = registry.save("eth", state, at=10, features="f1")
    >>> _ = registry.promote("eth", "eth@1", "first", at=10)
    >>> routes = Routes(registry, "eth")
    >>> _ = routes.change("ab", {"champion": 0.9, "eth@2": 0.1}, "Ada", "looks better", at=20)
    >>> routes.now().weights, routes.serving()
    ({'eth@1': 0.9, 'eth@2': 0.1}, 'eth@1')
    >>> routes.change("stop", {}, "Ada", "no difference", at=30).sentence()
    'what serves answers everything'
    """

    def __init__(self, registry: Registry, model: str) -> None:
        self._registry, self._model = registry, model

    def serving(self) -> str:
        """Name of what serves."""
        acts = self._registry.acts.entries(self._model)
        return self._registry.get(acts[-1].version).name if acts else learner_version(self._model)

    def entries(self, after: int = 0) -> list:
        """Entries behind a number, oldest first."""
        return list(self._registry.acts.behind(self._model, after, ROUTE))

    def now(self) -> Route:
        """What is in force; a promotion or a rollback ends every test, whose first arm serves no more."""
        entries = self.entries()
        route = restored(entries[-1].evidence["route"]) if entries else Route()
        return route if route.kind == CHAMPION or route.arms[0] == self.serving() else Route()

    def change(
        self, kind: str, arms: dict[str, float], who: str, why: str, at: int, check: Callable = repr, **about
    ) -> Route:
        """Begin a test, change the shares of the one that runs, stop an arm or all, or let a canary go on.

        Parameters
        ----------
        kind
            ``ab``, ``canary`` or ``bandit``; ``stop`` or ``next`` of the running one. The same kind with the same arms
            is the same test with other shares.
        arms
            Versions and their shares; ``champion`` stands for what serves. A canary and a bandit need not name it.
        who, why, at
            For the ledger; event time, ns UTC.
        check
            Is given the route before it is entered, and may refuse it.
        about
            ``coverage``, ``by``, ``steps`` and other fields of a :class:`Route`.
        """
        if not who.strip() or not why.strip():
            raise ValueError(f"who and why go into the ledger, got {who!r} and {why!r}")
        running = self.now()
        if kind == NEXT:
            route = running.grown()
        elif kind in (STOP, CHAMPION):
            named = [self._named(arm) for arm in arms]
            route = running.stopped(named[0]) if named else Route()
        else:
            route = self._begun(kind, self._weights(kind, arms), running, about)
        check(route)
        self.enter(route, who, why, at)
        return route

    def enter(self, route: Route, who: str, why: str, at: int, evidence: dict | None = None) -> None:
        """Write a route into the ledger; without ``who``, a person, it was the router's decision."""
        about = {"route": route.state, **({"who": who} if who else {"by": ROUTER}), "evidence": plain(evidence or {})}
        version = route.arms[-1] if route.arms else self.serving()
        self._registry.acts.enter(
            self._model, ROUTE, action=route.kind, version=version, at=at, why=why, evidence=about
        )

    def _begun(self, kind: str, weights: dict[str, float], running: Route, about: dict) -> Route:
        if (running.kind, set(running.arms)) == (kind, set(weights)) and kind != BANDIT:
            cut_of(weights)  # which refuses what does not add up
            return running.shared(weights, **about)
        return begin(kind, f"{self._model}-{len(self.entries()) + 1}", weights, **about)

    def _weights(self, kind: str, arms: dict[str, float]) -> dict[str, float]:
        """Weights by the names of versions, what serves first."""
        serving = self.serving()
        weights = {self._named(arm): weight for arm, weight in arms.items()}
        if len(weights) < len(arms):
            raise ValueError(f"an arm is named twice: {', '.join(arms)}")
        others = {arm: weight for arm, weight in weights.items() if arm != serving}
        if not others or (kind == CANARY and len(others) > 1):
            count = "one version" if kind == CANARY else "one version or more"
            raise ValueError(f"{kind} takes {count} beside {serving}, which serves, got {', '.join(arms) or 'none'}")
        if kind == BANDIT:
            return {arm: 1 / (len(others) + 1) for arm in (serving, *others)}
        if serving in weights or kind == CANARY:
            return {serving: weights.get(serving, 1 - sum(others.values())), **others}
        raise ValueError(f"{serving} serves and must be an arm too, got {', '.join(arms)}: give it a weight")

    def _named(self, arm: str) -> str:
        return self.serving() if arm == CHAMPION else self._registry.get(arm).name


def _percent(weights: dict[str, float]) -> list[tuple[str, float]]:
    return [(arm, 100 * weight) for arm, weight in weights.items()]


def _refuse(route: Route) -> None:
    """Say what cannot be."""
    if not 0 < route.coverage <= 1:
        raise ValueError(f"coverage is a share above 0, at most 1, got {route.coverage}")
    if route.by not in (UNIT, KEY):
        raise ValueError(f"by must be {UNIT} or {KEY}, got {route.by!r}")
    if route.policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {route.policy!r}")
    if not (0 < route.alpha < 1 and route.after > 0 and 0.5 <= route.discount <= 1 and route.latency_ms > 0):
        raise ValueError(
            f"alpha lies between 0 and 1, discount between 0.5 and 1, after and latency_ms are above 0, got "
            f"{route.alpha}, {route.discount}, {route.after} and {route.latency_ms}"
        )
    steps = (route.weights.get(route.arms[1], 0.0), *route.steps) if route.kind == CANARY and route.arms else (0.5,)
    if not all(0 < step < 1 for step in steps) or sorted(set(steps)) != list(steps):
        raise ValueError(f"steps of a canary are shares between 0 and 1, each larger than the one before, got {steps}")
    if route.kind == AB and route.floor <= 0:
        raise ValueError("the weight of an arm must be above 0: stop the arm instead")
