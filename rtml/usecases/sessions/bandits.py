"""Contextual bandits: what to show when only what is shown is learned about, with the propensity of every choice."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

_UNKNOWN = "no choice {!r} waits for its reward: it was told before, was never made, or was forgotten"


class Shown(NamedTuple):
    """What was shown in each slot, and the probability with which it was chosen there, given the slots above it."""

    arms: tuple[int, ...]
    propensities: tuple[float, ...]


class Bandit:
    """A linear model of the reward of each arm, and a rule that chooses by it, every arm with at least ``floor``.

    ``thompson`` draws from what the rewards of each arm may be (Agrawal and Goyal, "Thompson sampling for contextual
    bandits with linear payoffs", 2013), ``ucb`` takes the best one that is plausible (Li et al., "A contextual-bandit
    approach to personalized news article recommendation", 2010), ``greedy`` the best as far as is known (with a floor
    of epsilon over the number of arms: epsilon-greedy), ``boltzmann`` likelier the better it is.

    Rewards may come late, in any order, or never: a choice is learned when its reward is told, and forgotten when more
    than ``waiting`` others were made since. Any order of calls gives the same bits again, from a state too.

    Parameters
    ----------
    arms, dimension
        Number of arms, and of the features that are known at a choice.
    rule
        A key of :data:`RULES`.
    width
        Of the uncertainty, in standard deviations of a reward: of ``thompson`` and ``ucb``.
    temperature
        Of ``boltzmann``, in the unit of a reward.
    floor
        Least propensity of each arm; without one no other policy can be judged from the log.
    draws
        Of ``thompson``: propensities are shares of so many, exact for the choice that is made by them.
    waiting
        Choices that may wait for their reward.
    seed
        Of the choices.

    Examples
    --------
    >>> bandit = Bandit(arms=3, dimension=1, rule="greedy", floor=0.1)
    >>> shown = bandit.ask("visit 1", [1.0])
    >>> bandit.tell("visit 1", 1.0)
    >>> round(float(bandit.propensities([1.0])[shown.arms[0]]), 6)
    0.8
    """

    def __init__(
        self,
        arms: int,
        dimension: int,
        rule: str = "thompson",
        *,
        width: float = 0.3,
        temperature: float = 0.02,
        floor: float = 0.01,
        draws: int = 100,
        waiting: int = 100_000,
        seed: int = 7,
    ) -> None:
        self.arms, self.dimension = arms, dimension
        self.rule, self.floor = rule, floor
        self.width, self.temperature = width, temperature
        self.draws, self.waiting = draws, waiting
        self.seed = seed
        self._check()
        self._covariance = np.tile(np.eye(dimension), (arms, 1, 1))
        self._sums, self._weights = np.zeros((arms, dimension)), np.zeros((arms, dimension))
        self._open: OrderedDict[str, tuple[np.ndarray, tuple[int, ...]]] = OrderedDict()
        self.asked = self.told = self.forgotten = 0  #: choices made, learned, and given up

    def propensities(self, x) -> np.ndarray:
        """Probability of each arm for the next choice, shape (arms,)."""
        return self._propensities(np.asarray(x, float), self._rng())

    def ask(self, id: str, x, slots: int = 1) -> Shown:
        """Choose an arm for each slot, none twice, and remember what was known until the reward is told."""
        if not 1 <= slots <= self.arms:
            raise ValueError(f"slots must lie between 1 and the {self.arms} arms, got {slots}")
        x, rng = np.array(x, float), self._rng()
        p = self._propensities(x, rng)
        arms, chosen = [], []
        for _ in range(slots):
            arm = int(rng.choice(self.arms, p=p))
            arms.append(arm)
            chosen.append(float(p[arm]))
            p = p.copy()
            p[arm] = 0.0
            p /= p.sum() or 1.0
        self._open[id] = (x, tuple(arms))
        self.asked += 1
        if len(self._open) > self.waiting:
            self._open.popitem(last=False)
            self.forgotten += 1
        return Shown(tuple(arms), tuple(chosen))

    def tell(self, id: str, reward: float, slot: int | None = None) -> None:
        """Learn the reward of a choice.

        Of several slots say which one was clicked. Whoever clicks has read from the top to there: the slots above got
        no click, of those below nothing is known (the cascade of Craswell et al., "An experimental comparison of click
        position-bias models", 2008). Without a slot all of them were read and got ``reward``.
        """
        if id not in self._open:
            raise LookupError(_UNKNOWN.format(id))
        x, arms = self._open[id]
        if slot is not None and not 0 <= slot < len(arms):
            raise ValueError(f"slot must be one of the {len(arms)} shown, counted from 0, got {slot}")
        del self._open[id]
        self.told += 1
        last = len(arms) - 1 if slot is None else slot
        for place, arm in enumerate(arms[: last + 1]):
            self._learn(arm, x, reward if slot in (None, place) else 0.0)

    @property
    def state(self) -> dict:
        """Everything the next choice depends on."""
        waiting = [[id, x, list(arms)] for id, (x, arms) in self._open.items()]
        counts = {"asked": self.asked, "told": self.told, "forgotten": self.forgotten}
        return counts | {"covariance": self._covariance.copy(), "sums": self._sums.copy(), "open": waiting}

    def load(self, state: dict) -> None:
        """Go on from a state of a bandit with the same parameters."""
        self.asked, self.told = state["asked"], state["told"]
        self.forgotten = state["forgotten"]
        self._covariance, self._sums = np.array(state["covariance"]), np.array(state["sums"])
        self._weights = np.einsum("kij,kj->ki", self._covariance, self._sums)
        self._open = OrderedDict((id, (np.array(x, float), tuple(arms))) for id, x, arms in state["open"])

    def _check(self) -> None:
        if self.rule not in RULES:
            raise LookupError(f"no rule {self.rule!r}; there are: {', '.join(RULES)}")
        counts = self.arms >= 2 and self.dimension >= 1 and self.draws >= 1
        if not (counts and 0.0 <= self.floor <= 1.0 / self.arms and self.temperature > 0 and self.width >= 0):
            got = (self.arms, self.dimension, self.draws, self.floor, self.width, self.temperature)
            raise ValueError(
                "a bandit needs two arms, a feature, a draw, a floor from 0 to 1/arms, a width of 0 or more and a "
                f"temperature above 0, got {', '.join(map(str, got))}"
            )

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.asked])

    def _propensities(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if x.shape != (self.dimension,) or not np.isfinite(x).all():
            raise ValueError(f"x must be {self.dimension} finite numbers, got {x}")
        p = RULES[self.rule](self, self._weights @ x, x, rng)
        return p * (1.0 - self.arms * self.floor) + self.floor

    def _deviations(self, x: np.ndarray) -> np.ndarray:
        return self.width * np.sqrt(np.maximum((self._covariance @ x) @ x, 0.0))

    def _learn(self, arm: int, x: np.ndarray, reward: float) -> None:
        """One step of the ridge of an arm (Sherman and Morrison, 1950)."""
        gain = self._covariance[arm] @ x
        self._covariance[arm] -= np.outer(gain, gain) / (1.0 + x @ gain)
        self._sums[arm] += reward * x
        self._weights[arm] = self._covariance[arm] @ self._sums[arm]


def _best(values: np.ndarray) -> np.ndarray:
    p = np.zeros(len(values))
    p[int(values.argmax())] = 1.0
    return p


def _thompson(bandit: Bandit, means: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = means + bandit._deviations(x) * rng.standard_normal((bandit.draws, bandit.arms))
    return np.bincount(drawn.argmax(axis=1), minlength=bandit.arms) / bandit.draws


def _boltzmann(bandit: Bandit, means: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    p = np.exp((means - means.max()) / bandit.temperature)
    return p / p.sum()


#: Rules by name: from the mean reward of each arm to the probability of each, before the floor.
RULES = {
    "thompson": _thompson,
    "ucb": lambda bandit, means, x, rng: _best(means + bandit._deviations(x)),
    "greedy": lambda bandit, means, x, rng: _best(means),
    "boltzmann": _boltzmann,
}
