"""CPU time of several ways to do the same, in turn, as medians and ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def compare(title: str, work: int, runs: dict[str, Callable[[], object]], repeat: int = 5) -> dict[str, float]:
    """Run each way once to warm up, then ``repeat`` rounds in turn; print work a CPU second and the first's ratio."""
    median = medians(runs, repeat)
    print(f"\n{title} (median CPU of {repeat})")
    for name, taken in median.items():
        ratio = taken / next(iter(median.values()))
        beside = "" if name == next(iter(median)) else f"   {next(iter(median))} is {ratio:.1f} times as fast"
        print(f"  {name:10s} {work / taken / 1e6:8.3f} M/s {1e6 * taken / work:9.3f} us each{beside}")
    return median


def medians(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Median CPU seconds of each way, after one round to warm up where there is more than one."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeat + (repeat > 1)):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn or repeat == 1:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}
