"""Which members a blend has, with what weight each begins, and where in flat arrays each keeps what it learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rtml.kernels import blend as kernels

#: Rate, share given back, and the mixture whose weights are recalled, of every mixture.
MIXES = [(0.5, 0.0, 0), (0.1, 0.0, 1), (0.5, 5e-4, 0), (0.1, 5e-4, 1), (0.5, 5e-3, 0), (0.1, 5e-3, 1)]
TRUSTED = 0.4  # of the weight at the start: that of the pool, which is the champion, and that of no change
WIDTH = 1.5  # of the random features' frequencies, in deviations

NUMBER = {
    "forgetting": (1.0, 0.998, 0.9995, 0.999),
    "ridge": (100.0, 1000.0),
    "random": 64,
    "rates": (0.0003, 0.003),
    "champion": "weighted forgetting 0.9995 ridge 100 winsorised",
}
PROBABILITY = {
    "forgetting": (1.0, 0.998, 0.9999, 0.99),
    "ridge": (1.0, 10.0),
    "random": 32,
    "rates": (0.01, 0.03, 0.1, 0.3),
    "champion": "forgetting 1 ridge 1",
}
HOW = ("forgetting", "ridge", "random", "rates", "champion", "every", "outside", "seed")


class Group(NamedTuple):
    """Least squares members that share sums: what they see, how they forget, whether quiet times weigh more."""

    kind: str
    map: int
    forgetting: float
    weighted: bool
    ridges: Sequence[float]
    every: int


class Members:
    """The members of a blend on these columns, as the tables that its kernels take.

    Examples
    --------
    >>> made = members(("a", "b"), False, json.dumps(complete(False, {"random": 0})))
    >>> "no change" in made.names, "last answer" in made.names
    (False, True)
    """

    def __init__(self, columns: tuple[str, ...], classifier: bool, how: dict) -> None:
        self.columns = columns
        self.classifier = classifier
        self.how = how
        self.lags, self.answers = (2, 1) if classifier else (0, 2)
        self.ar = -1 if classifier else columns.index("return_1") if "return_1" in columns else 0
        self.names: list[str] = []
        self.groups = self._groups()
        self.maps = self._maps()
        baselines = ["a half" if classifier else "zero", "mean", "last answer", "mean of ten", "pool"]
        self.names += baselines + [f"outside {k + 1}" for k in range(how["outside"])]
        prior = self._prior("pool", "mean" if classifier else "zero")
        mixes = np.array(MIXES)
        mixes[:, kernels.ETA] *= 2.0 if classifier else 1.0
        rates = np.array(how["rates"], float)
        self.spec = (self._sizes(), self.maps, *self._tables(), rates, self._cosines(), mixes, prior)

    def _groups(self) -> list[Group]:
        forgetting, ridge, every = (self.how[name] for name in ("forgetting", "ridge", "every"))
        groups = [Group("", 0, f, False, ridge, every * _rarer(f)) for f in forgetting]
        if not self.classifier:
            groups += [Group("weighted ", 0, f, True, ridge[:1], every * _rarer(f)) for f in (1.0, 0.9995)]
        if self.how["random"]:
            groups.append(Group("random features ", 1, 1.0, False, [3.0 * r for r in ridge], 8 * every))
        if self.classifier:
            stack = 2 if self.how["random"] else 1
            groups.append(Group("stack ", stack, forgetting[0], False, ridge[:1], 4 * every))
        return groups

    def _maps(self) -> np.ndarray:
        """Width, start, offset of the weights, columns and first member of every map; names the members meanwhile."""
        maps = []
        start = 0
        offset = 0
        wide = len(self.columns) + self.lags
        for m in range(1 + max(group.map for group in self.groups)):
            mine, first = [group for group in self.groups if group.map == m], len(self.names)
            width = {"random features ": wide + self.how["random"], "stack ": first + self.how["outside"]}
            width = 1 + width.get(mine[0].kind, wide)
            for group in mine:
                for ridge in group.ridges:
                    name = f"{group.kind}forgetting {group.forgetting:g} ridge {ridge:g}"
                    self.names += [name, f"{name} winsorised"][: self.answers]
            if m == 0:
                self.names += [f"descent {rate:g}" for rate in self.how["rates"]]
                self.names += ["one feature", "one feature, fading"] if self.ar >= 0 else []
            maps.append((width, start, offset, len(self.names) - first, first))
            start, offset = start + width, offset + width * (len(self.names) - first)
        return np.array(maps, np.int64)

    def _tables(self) -> tuple[np.ndarray, ...]:
        """Groups, how each learns, pairs of group and ridge, and the ridges."""
        groups = []
        pairs = []
        ridges = []
        gram = 0
        side = 0
        taken = [0] * len(self.maps)
        for g, group in enumerate(self.groups):
            width = int(self.maps[group.map, kernels.WIDTH])
            groups.append((group.map, gram, side, len(pairs), group.every))
            gram, side = gram + width**2, side + self.answers * width
            for ridge in group.ridges:
                pairs.append((g, taken[group.map]))
                ridges.append(ridge)
                taken[group.map] += self.answers
        self._sums = gram, side
        how = np.array([(group.forgetting, group.weighted) for group in self.groups], float)
        return np.array(groups, np.int64), how, np.array(pairs, np.int64), np.array(ridges, float)

    def _sizes(self) -> np.ndarray:
        champion = self.how["champion"]
        if champion not in self.names:
            raise LookupError(f"no member {champion!r} to begin with; there are: {', '.join(self.names)}")
        limit, stack = (12, len(self.maps) - 1) if self.classifier else (8, -1)
        head = [len(self.columns), self.lags, int(self.classifier), self.ar, limit, self.how["outside"]]
        return np.array([*head, len(self.names), stack, self.names.index(champion)])

    def _cosines(self) -> np.ndarray:
        """Frequencies of the random features, a row a column, and below them their phases."""
        rng, wide = np.random.default_rng(self.how["seed"]), len(self.columns) + self.lags
        cosines = rng.normal(size=(wide + 1, self.how["random"])) * WIDTH / np.sqrt(wide)
        cosines[wide] = rng.uniform(0.0, 2.0 * np.pi, self.how["random"])
        return cosines

    def _prior(self, *trusted: str) -> np.ndarray:
        prior = np.full(len(self.names), (1.0 - len(trusted) * TRUSTED) / len(self.names))
        prior[[self.names.index(name) for name in trusted]] += TRUSTED
        return prior

    def fresh(self) -> tuple[np.ndarray, ...]:
        """What is known before the first answer."""
        level, scaler = np.zeros(7), np.zeros((4, len(self.columns) + self.lags))
        scaler[2] = np.inf
        if self.classifier:
            level[[kernels.MEAN, kernels.LAST, kernels.AVERAGE, kernels.STAYED]] = 0.5
        weights = np.zeros(int((self.maps[:, kernels.WIDTH] * self.maps[:, kernels.COLUMNS]).sum()))
        shares, top = np.tile(self.spec[9], (len(MIXES), 1)), np.full(len(MIXES), 1.0 / len(MIXES))
        return level, scaler, *(np.zeros(n) for n in self._sums), weights, shares, top


def _rarer(forgetting: float) -> int:
    """How many times rarer a slow member is solved than a fast one."""
    return 4 if forgetting == 1.0 else 2 if forgetting >= 0.9995 else 1


def complete(classifier: bool, how: dict) -> dict:
    """Parameters with those not given as they usually are.

    Examples
    --------
    >>> complete(True, {"ridge": [5.0]})["ridge"], complete(True, {})["ridge"]
    ((5.0,), (1.0, 10.0))
    >>> complete(True, {"speed": 1})
    Traceback (most recent call last):
    ...
    ValueError: a blend has no speed; it has: forgetting, ridge, random, rates, champion, every, outside, seed
    """
    if unknown := set(how) - set(HOW):
        raise ValueError(f"a blend has no {', '.join(sorted(unknown))}; it has: {', '.join(HOW)}")
    how = {"every": 4, "outside": 2, "seed": 7} | (PROBABILITY if classifier else NUMBER) | how
    return {name: tuple(how[name]) if isinstance(how[name], (list, tuple)) else how[name] for name in HOW}


def plain(how: dict) -> dict:
    """The same as a checkpoint gives it back: lists for tuples.

    Examples
    --------
    >>> plain({"ridge": (1.0, 10.0), "every": 4})
    {'ridge': [1.0, 10.0], 'every': 4}
    """
    return {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in how.items()}


@lru_cache(maxsize=64)
def members(columns: tuple[str, ...], classifier: bool, how: str) -> Members:
    """The members of a blend, made once for all blends alike: nothing in them changes; ``how`` is JSON.

    Examples
    --------
    >>> how = json.dumps(complete(True, {}))
    >>> members(("a",), True, how) is members(("a",), True, how)
    True
    """
    return Members(columns, classifier, json.loads(how))
