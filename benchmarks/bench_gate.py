"""What the gate and the registry cost, and how soon a better candidate is promoted: `make bench`."""

import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from rtml.kernels import betting
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile
from rtml.registry.promotion.rules import Rules
from rtml.registry.promotion.sequential_test import SequentialTest, Terms
from rtml.registry.registry import Registry
from rtml.training.learner import Learner

NAMES = tuple(f"x{i}" for i in range(30))


def cost(work, times: int = 200) -> tuple[float, float]:
    """Median CPU and wall time of a call, ms."""
    cpu, wall = [], []
    for i in range(times):
        start = time.process_time(), time.perf_counter()
        work(i)
        cpu.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    return 1e3 * median(cpu), 1e3 * median(wall)


def checkpoint() -> None:
    """A version of a linear model of 30 features: its bytes, and kept durably with its row."""
    from rtml.core.state import dumps

    learner = Learner(compile(zoo.build("rls"), NAMES), NAMES)
    registry, rng = Registry(Path(tempfile.mkdtemp())), np.random.default_rng(7)
    learner.ask(0, 0, rng.normal(size=30))
    learner.tell(0, 1.0, 1)
    took = cost(lambda i: dumps(learner.model.state))
    print(f"checkpoint of a linear model: {took[0]:.3f} ms CPU")
    about = dict(features="f", data={"part": "events", "first_offset": 1, "last_offset": 2})
    took = cost(lambda i: registry.save("m", dumps(learner.model.state) + bytes([i]), at=i, **about))
    print(f"kept durably as a version: {took[1]:.2f} ms wall, {took[0]:.2f} ms CPU")


def shadow() -> None:
    """One question asked and answered in a duel of two linear models."""
    models = [[compile(zoo.build("rls"), NAMES)] for _ in range(2)]
    sequential_test, X = (
        SequentialTest(Terms(("return",), (False,), 0), *models),
        np.random.default_rng(7).normal(size=(3000, 30)),
    )

    def one(i):
        sequential_test.ask(i, i, X[i])
        sequential_test.tell(i, (0.5,))

    print(f"a question in shadow: {1e3 * cost(one, 3000)[1]:.0f} us")


def promotions() -> None:
    """False promotions over 1,000 streams, and answers until a better candidate serves, by its gain."""
    needed = np.array([Rules().needed(number) for number in range(1, 500)])

    def won(draw, streams):
        drawn = (draw(np.random.default_rng(s)) for s in range(streams))
        return np.array([betting.first_win(d, 30, needed, Rules().lost, Rules().timeouts, 0.0) for d in drawn])

    nulls = {
        "normal": lambda rng: rng.normal(0, 1, 5000),
        "student t, 2.5 degrees": lambda rng: rng.standard_t(2.5, 5000),
        "lognormal, sigma 1, rare losses": lambda rng: np.exp(0.5) - rng.lognormal(0, 1, 5000),
        "lognormal, sigma 1.5, rare losses": lambda rng: np.exp(1.125) - rng.lognormal(0, 1.5, 5000),
    }
    for name, draw in nulls.items():
        print(f"false promotions, {name}: {(won(draw, 1000) >= 0).mean():.1%} of 1,000 streams of 5,000 answers")
    for gain in (0.1, 0.2, 0.3, 0.5):
        found = won(lambda rng, gain=gain: rng.normal(gain, 1, 5000), 200)
        after = np.median(found[found >= 0]) + 1
        print(f"gain of {gain} standard deviations: promoted in {(found >= 0).mean():.0%}, after {after:.0f} answers")


if __name__ == "__main__":
    checkpoint()
    shadow()
    promotions()
