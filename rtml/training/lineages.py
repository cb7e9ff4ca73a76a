"""Lineages: learners that learn the same questions side by side; one serves, the others are asked in shadow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rtml.registry.learners import FORMER, LEARNER
from rtml.training.learner import Answer, Learner, one_by_one


class Shadowed:
    """A learner in shadow: what it raises ends it alone, and nothing of it reaches what is served.

    From then on its predictions are NaN. An answer to a question that it was never asked, before it began, is passed
    over.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> shadow = Shadowed(Learner(RecursiveLeastSquares(ridge=1.0), ["x"]))
    >>> shadow.ask(1, moment=10, x=[2.0]), shadow.ask(1, moment=5, x=[2.0]), shadow.failure[:10]
    (0.0, nan, 'ValueError')
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.failure = ""
        self.outputs = learner.outputs

    def ask(self, id: int, moment: int, x) -> float | np.ndarray:
        """What the learner predicts, NaN once it has failed."""
        prediction = self._try(lambda: self.learner.ask(id, moment, x))
        return np.nan if prediction is None else prediction

    def tell(self, id: int, y: float, known: int) -> None:
        """Let it learn an answer."""
        if self.learner.waits_for(id):
            self._try(lambda: self.learner.tell(id, y, known))

    @property
    def state(self) -> dict:
        """Of the learner, or why it failed."""
        return {"failure": self.failure} if self.failure else self.learner.state

    def load(self, state: dict) -> None:
        """Go on from a state."""
        self.failure = state.get("failure", "")
        if not self.failure:
            self.learner.load(state)

    def _try(self, do: Callable):
        if self.failure:
            return None
        try:
            return do()
        except Exception as ex:
            self.failure = f"{type(ex).__name__}: {ex}"
            return None


class Lineages:
    """The lineages of a flow by name and target, which of them serves, and which served before.

    Parameters
    ----------
    learners
        Of the first lineage, one for each target.
    challengers
        Lineages that begin in shadow; one is of some of the targets, the others are served by the first lineage.

    Raises
    ------
    ValueError
        For a name that is taken.
    LookupError
        For a target that the first lineage does not have.
    """

    def __init__(self, learners: Mapping[str, Learner], challengers: Mapping[str, Mapping[str, Learner]]) -> None:
        for name, own in challengers.items():
            if name in (LEARNER, FORMER, ""):
                raise ValueError(f"a challenger cannot be called {name!r}: name it after its model")
            if unknown := set(own) - set(learners):
                raise LookupError(f"{name} is of targets that nobody serves: {', '.join(sorted(unknown))}")
        targets = {target for own in challengers.values() for target in own}
        first = {target: learner for target, learner in learners.items() if target in targets}
        self._all = {
            name: {target: Shadowed(learner) for target, learner in own.items()}
            for name, own in ({LEARNER: first} | dict(challengers)).items()
        }
        self.learners = dict(learners)  #: those that serve, by target; the same mapping whichever they are
        self.serves, self.before = LEARNER, ""
        self.targets = tuple(first)  #: those that challengers are of

    @property
    def names(self) -> tuple[str, ...]:
        """Every lineage, the first one first."""
        return tuple(self._all)

    @property
    def shadows(self) -> dict[str, dict[str, Shadowed]]:
        """Learners that do not serve, by lineage and target."""
        serving = [id(learner) for learner in self.learners.values()]
        found = {
            name: {target: one for target, one in own.items() if id(one.learner) not in serving}
            for name, own in self._all.items()
        }
        return {name: own for name, own in found.items() if own}

    def learner(self, lineage: str, target: str) -> Learner:
        """Learner of a lineage for a target: its own, or the one that serves."""
        own = self._all[lineage].get(target)
        return own.learner if own else self.learners[target]

    def failure(self, lineage: str) -> str:
        """Why a lineage cannot serve: it is unknown, or failed in shadow; empty where it can."""
        if lineage not in self._all:
            return f"no lineage {lineage!r}; there are: {', '.join(self._all)}"
        return next((one.failure for one in self._all[lineage].values() if one.failure), "")

    def serve(self, lineage: str, before: str) -> None:
        """Let a lineage serve from the next question on."""
        if failure := self.failure(lineage):
            raise LookupError(f"{lineage} cannot serve: {failure}")
        self.serves, self.before = lineage, before
        for name in (LEARNER, lineage):
            self.learners.update({target: one.learner for target, one in self._all[name].items()})

    def ask(self, outcome, learned: Callable[[str], Sequence[Answer]]) -> dict[str, dict[str, np.ndarray]]:
        """Ask every challenger what was asked and let it learn what is known; its predictions, and those served."""
        found = {}
        for name, own in self.shadows.items():
            predictions = dict(outcome.predictions)
            for target, shadow in own.items():
                predictions[target], left = one_by_one(shadow, outcome.id, outcome.moment, outcome.X, learned(target))
                for answer in left:
                    shadow.tell(*answer)
            found[name] = predictions
        return found | ({FORMER: found[self.before]} if self.before in found else {})

    @property
    def state(self) -> dict:
        """Which serves, and everything of those in shadow."""
        shadows = {name: {target: one.state for target, one in own.items()} for name, own in self.shadows.items()}
        return {"serves": self.serves, "before": self.before, "shadows": shadows}

    def load(self, state: dict) -> None:
        """Go on from a state; a lineage that it does not hold starts from scratch."""
        for one in (one for own in self._all.values() for one in own.values()):
            one.failure = ""
        self.serve(state.get("serves", LEARNER), state.get("before", ""))
        for name, own in self.shadows.items():
            for target, one in own.items():
                if target in (kept := state.get("shadows", {}).get(name, {})):
                    one.load(kept[target])
