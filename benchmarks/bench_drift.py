"""Detection delay and false alarms per 100,000 of every detector and kind of drift: python benchmarks/bench_drift.py.

Options: --seeds 20 --n 20000 --still 100000. Delays are in answers (or rows), from where the change begins; in
brackets the share of changes that was seen before the next one. What is fed is in the catalogue of detectors.
"""

import argparse

import pandas as pd

from rtml.detection import delays_and_false_alarms, side_by_side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("seeds", 20), ("n", 20_000), ("still", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    table = delays_and_false_alarms(**vars(parser.parse_args()))
    with pd.option_context("display.width", 250, "display.max_columns", 20):
        print(side_by_side(table))


if __name__ == "__main__":
    main()
