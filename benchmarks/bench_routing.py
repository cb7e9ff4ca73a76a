"""Canaries, bandits and the cost of a route, beside the rules of other programs: python benchmarks/bench_routing.py.

Canary: the base fails 1 %, 5 % of the traffic goes to the canary, a look every 100 canary requests up to 20,000.
False stops are of canaries that are like the base. Argo: an analysis with failureLimit 3 on the error rate of each
interval. Kayenta: Mann-Whitney at 98 % on the last 50 intervals. Options: --runs 1000.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from rtml.registry.routing import evidence
from rtml.registry.routing.assignment import assigned, cut_of
from rtml.registry.routing.experiment import _OF_FAILURES

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks" / "studies"))  # where simulated tests are at home
from trials import simulate

LOOK, LOOKS, TIMES, BASE = 100, 200, 19, 0.01  # the base is asked 19 times as often


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(1)
    print(f"{'rule':34s} {'false stops':>12s}   canary requests until the stop, median (share stopped), canary fails")
    print(f"{'':34s} {'':>12s}   {'2 %':>14s} {'3 %':>14s} {'5 %':>14s}")
    seen = {rate: stops(rate, rng, runs) for rate in (BASE, 0.02, 0.03, 0.05)}
    for name in seen[BASE]:
        cells = []
        for rate in (0.02, 0.03, 0.05):
            stopped = seen[rate][name]
            first = np.median(stopped[stopped.any(1)].argmax(1) + 1) * LOOK if stopped.any() else np.nan
            cells.append(f"{first:8,.0f} ({stopped.any(1).mean():.2f})")
        print(f"{name:34s} {seen[BASE][name].any(1).mean():12.3f}   {' '.join(f'{c:>14s}' for c in cells)}")
    bandits(rng)
    costs()


def stops(rate: float, rng: np.random.Generator, runs: int) -> dict[str, np.ndarray]:
    """At which looks each rule stops, (runs, looks)."""
    own = rng.binomial(LOOK, rate, (runs, LOOKS))
    base = rng.binomial(LOOK * TIMES, BASE, (runs, LOOKS))
    share, level = own / LOOK, base / (LOOK * TIMES)
    bets = own.cumsum(1)[..., None] * evidence.failure(True, 1 / (1 + TIMES))
    bets = bets + base.cumsum(1)[..., None] * evidence.failure(False, 1 / (1 + TIMES))
    few = min(runs, 150)  # Mann-Whitney is slow
    return {
        "e-process on failures (rtml)": np.log(_OF_FAILURES) + evidence.capital(bets) >= np.log(20),
        "Argo: 3 intervals above 2 %": (share > 0.02).cumsum(1) > 3,
        "Argo: 3 intervals above 2 x base": (share > 2 * level).cumsum(1) > 3,
        "z above 1.645 at every look": z(own.cumsum(1), base.cumsum(1)) > 1.645,
        f"Kayenta: Mann-Whitney ({few} runs)": mann_whitney(share[:few], level[:few]),
    }


def z(own: np.ndarray, base: np.ndarray) -> np.ndarray:
    n = LOOK * np.arange(1, LOOKS + 1)
    pooled = (own + base) / (n * (1 + TIMES))
    return (own / n - base / (n * TIMES)) / np.sqrt(np.maximum(pooled * (1 - pooled) / n * (1 + 1 / TIMES), 1e-12))


def mann_whitney(share: np.ndarray, level: np.ndarray) -> np.ndarray:
    stopped = np.zeros(share.shape, bool)
    for run, (own, base) in enumerate(zip(share, level, strict=True)):
        for look in range(9, LOOKS, 10):
            part = slice(max(0, look - 49), look + 1)
            found = mannwhitneyu(own[part], base[part], alternative="two-sided")
            if own[part].mean() > base[part].mean() and found.pvalue < 0.02:
                stopped[run, look:] = True
                break
    return stopped


def bandits(rng: np.random.Generator) -> None:
    """Right answers missed in 20,000 requests."""
    gap = np.tile([0.80, 0.85], (200, 1))
    turned = np.concatenate([gap[:100], gap[100:, ::-1]])
    print(f"\n{'right answers missed of 20,000':34s} {'.80 and .85':>16s} {'turned at half':>16s}")
    rows = [("A/B test to the end", "ab", 1.0, "z at the end"), ("A/B test, anytime-valid stop", "ab", 1.0, "anytime")]
    rows += [(f"{p}, discount {d}", p, d, "anytime") for p in ("thompson", "ucb", "exp3-ix") for d in (1.0, 0.9997)]
    for name, design, discount, rule in rows:
        cells = []
        for rates in (gap, turned):
            regret = simulate(design, rates, rng, rule=rule, discount=discount).regret
            cells.append(f"{regret.mean():7.0f} ± {1.96 * regret.std() / np.sqrt(len(regret)):.1f}")
        print(f"{name:34s} {cells[0]:>16s} {cells[1]:>16s}")


def costs() -> None:
    cut, keys = cut_of({"a": 0.5, "b": 0.3, "c": 0.2}), [f"card {i}" for i in range(100_000)]
    start = time.process_time()
    for key in keys:
        assigned("test 1", key, cut, 0.5)
    print(f"\nassignment of a unit: {(time.process_time() - start) / len(keys) * 1e6:.2f} us CPU")


if __name__ == "__main__":
    main()
