"""A planted popularity trap: one item everybody clicks now and then, and a better one for each kind of visitor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

POPULAR, NICHE, OTHER = 0.10, 0.20, 0.04  # chance of a click: item 0, the item of a visitor's kind, any other


class Log(NamedTuple):
    """What was shown in each round, what it earned (NaN: never known), and with which probability it was shown."""

    arm: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray


class PopularityTrap:
    """Rounds with a visitor each; what is clicked most is never the best choice for anybody.

    Parameters
    ----------
    seed
        Of the visitors and of their clicks, which are the same whatever is shown.
    rounds, kinds, arms
        Visitors, kinds of them, and items, of which there is one for all and one for each kind.

    Examples
    --------
    >>> trap = PopularityTrap(seed=7, rounds=3)
    >>> trap.x.shape, trap.chance[0].tolist()[:3], trap.regret([0, 0, 0]).round(2).tolist()
    ((3, 6), [0.1, 0.2, 0.04], [0.1, 0.1, 0.1])
    """

    def __init__(self, seed: int = 7, rounds: int = 10_000, kinds: int = 5, arms: int = 10) -> None:
        if not 1 <= kinds < arms:
            raise ValueError(f"there must be more items than kinds of visitors, got {arms} items and {kinds} kinds")
        rng = np.random.default_rng(seed)
        self.kind = rng.integers(kinds, size=rounds)
        self.chance = np.full((kinds, arms), OTHER)  #: of a click, (kinds, arms)
        self.chance[:, 0] = POPULAR
        self.chance[np.arange(kinds), 1 + np.arange(kinds)] = NICHE
        self.x = np.column_stack([np.eye(kinds)[self.kind], np.ones(rounds)])  #: what is known, (rounds, kinds + 1)
        self.clicked = rng.random((rounds, 1)) < self.chance[self.kind]  #: would it be clicked, (rounds, arms)

    def play(self, bandit, delay: int = 0, lost: float = 0.0) -> Log:
        """Let a bandit choose one item a round; rewards come ``delay`` rounds later, a share ``lost`` of them never."""
        shown, never = [], np.random.default_rng(len(self.x)).random(len(self.x)) < lost
        for t in range(len(self.x) + delay):
            if t < len(self.x):
                shown.append(bandit.ask(str(t), self.x[t]))
            if (due := t - delay) >= 0 and not never[due]:
                bandit.tell(str(due), float(self.clicked[due, shown[due].arms[0]]))
        arm, propensity = (np.array([part[0] for part in column]) for column in zip(*shown, strict=True))
        reward = np.where(never, np.nan, self.clicked[np.arange(len(arm)), arm])
        return Log(arm, reward, propensity)

    def regret(self, arms) -> np.ndarray:
        """Chance of a click that was missed by showing these items, one a round."""
        return NICHE - self.chance[self.kind[: len(arms)], np.asarray(arms, int)]
