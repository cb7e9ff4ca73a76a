"""Every hot path in one table: ours, the peer's best form in the same run, the ratio, the goal, MISSED where missed.

``python benchmarks/table.py [PART ...]`` prints one line as soon as it is measured; without names all parts. Rates are
of CPU time, medians of turns; a line that says wall is of the clock. A peer that is not installed is named as such.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import bench_bars
import bench_blend
import bench_http
import bench_ingest
import bench_live
import bench_progressive
import bench_stores
import bench_trees
import bench_windows
import numpy as np
import pandas as pd
import polars as pl
from river import forest, linear_model, preprocessing, tree
from timing import medians

from rtml.core.questions import Questions
from rtml.core.state import dumps
from rtml.evaluation.progressive import progressive
from rtml.models.compiled import compile
from rtml.models.forest import AdaptiveRandomForest
from rtml.models.rls import RecursiveLeastSquares
from rtml.models.rows import packer
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.store.facts import Facts
from rtml.store.point_in_time import join
from rtml.training.learner import Learner
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.recordings.replay import Replay
from rtml.usecases.crypto.schema import TRADES

S = 10**9
ROOT = Path(__file__).parents[1]


class Line(NamedTuple):
    """One path: what was measured, how many are better (``>=`` or ``<=``) than which goal."""

    path: str
    n: int
    unit: str
    ours: float
    sign: str
    goal: float
    peer: str = "-"
    theirs: float = float("nan")
    note: str = ""

    def __str__(self) -> str:
        ratio = self.ours / self.theirs if self.sign == ">=" else self.theirs / self.ours
        missed = self.ours < self.goal if self.sign == ">=" else self.ours > self.goal
        beside = f"{self.theirs:>10.4g} {ratio:>8.2f}" if ratio == ratio else f"{'':>10} {'':>8}"
        what = f"{self.path:46} {self.n:>11,} {self.unit:10} {self.ours:>10.4g} {self.peer:22} {beside}"
        return f"{what} {self.sign} {self.goal:<7g} {'MISSED' if missed else '':6} {self.note}".rstrip()


HEAD = f"{'path':46} {'n':>11} {'unit':10} {'ours':>10} {'peer':22} {'theirs':>10} {'ratio':>8} goal"


def rates(n: int, repeat: int = 3, **runs: Callable[[], object]) -> list[float]:
    """Millions a CPU second of each way, the ways in turn."""
    return [n / seconds / 1e6 for seconds in medians(runs, repeat).values()]


def _wall(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def start() -> Iterator[Line]:
    """Commands and imports, warm."""
    yield Line("a command's first word, wall", 1, "s", min(_wall("-m", "rtml", "--help") for _ in range(3)), "<=", 1.0)
    serving = "import rtml.serving.app, rtml.serving.endpoint"
    every = (
        "import importlib, pkgutil, rtml\n"
        "for m in pkgutil.walk_packages(rtml.__path__, 'rtml.'):\n"
        "    'integrations' in m.name or m.name.endswith('__main__') or importlib.import_module(m.name)"
    )
    for name, code, goal in (("what serving needs", serving, 1.5), ("all of rtml", every, 2.5)):
        code += "\nimport time; print(time.process_time())"
        spent = [float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)) for _ in range(3)]
        yield Line(f"import {name}", 1, "CPU s", min(spent), "<=", goal)


def job() -> Iterator[Line]:
    """The main job, where everything is compiled."""
    with tempfile.TemporaryDirectory() as folder:
        yield Line("five notebooks and report, warm, wall", 1, "s", _wall("-m", "rtml", "run", f"{folder}/r"), "<=", 25)


def log() -> Iterator[Line]:
    """The event log of a file: in bulk, and one durable event."""
    n, trades = 2_000_000, bench_ingest.table(2_000_000).assign(symbol="ETH-USD")
    trades["time"] *= 10**6
    rows, _ = TRADES.accept(trades, ("ETH-USD",))
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        with EventLog(Path(folder) / "log.db") as log:
            for k in range(0, n, 50_000):
                log.append("a", rows[k : k + 50_000])
            append = time.process_time() - began
            read = medians({"read": lambda: [log.read("a", k, 50_000) for k in range(0, n, 50_000)]}, 3)["read"]
            one = [time.perf_counter()]
            for k in range(200):
                log.append("b", rows[k : k + 1])
                one.append(time.perf_counter())
        size = (Path(folder) / "log.db").stat().st_size / n
    yield Line("log: append, 50,000 a time, durable", n, "M/s", n / append / 1e6, ">=", 10)
    yield Line("log: read, 50,000 a time", n, "M/s", n / read / 1e6, ">=", 20)
    yield Line("log: bytes an event", n, "B", size, "<=", 30, "as records", rows.itemsize)
    yield Line("log: one durable event, wall", 200, "us", 1e6 * float(np.median(np.diff(one))), "<=", 5000)


def rows() -> Iterator[Line]:
    """From a file to the log, and the reading of a file alone by the peer."""
    n = 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench__ETH-USD.parquet"
        bench_ingest.table(n).to_parquet(path)
        turn = iter(range(9))

        def ours() -> None:
            with EventLog(Path(folder) / f"{next(turn)}.db") as log:
                ingest(Replay(str(path)), log, "events")

        ours, theirs = rates(n, 3, ours=ours, polars=lambda: pl.read_parquet(path))
    yield Line("ingest: Parquet to log, judged", n, "M/s", ours, ">=", 5, "polars, read alone", theirs)


def linear() -> Iterator[Line]:
    """A scaler and a linear regression with their error: replayed, delayed, live, from a file."""
    ten, few = bench_progressive.questions(1_000_000, 10), 10_000
    dicts = bench_progressive.dicts(ten, few)
    (river,) = rates(few, river=lambda: bench_progressive.by_hand(bench_progressive.linear(), dicts))
    at_once = Questions(ten.id, ten.moment, ten.X, ten.y, ten.moment + 1, ten.names)
    random = bench_progressive.questions(1_000_000, 10, random_delay=True)
    for name, asked, goal in (("replay", at_once, 20), ("delayed", ten, 12), ("random delay", random, 12)):
        mae = float(np.abs(asked.y - progressive(bench_progressive.linear(), asked).predictions).mean())
        (ours,) = rates(len(asked), ours=lambda asked=asked: _mae(asked))
        yield Line(f"linear, {name}", len(asked), "M/s", ours, ">=", goal, "river by hand", river, f"MAE {mae:.3f}")
    yield Line("linear, delayed", len(ten), "M/s", ours, ">=", 12, _absent("vowpalwabbit", "Vowpal Wabbit"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pd.DataFrame(ten.X, columns=list(ten.names)).assign(y=ten.y).to_parquet(path)
        (ours,) = rates(len(ten), ours=lambda: _mae(_read(path)))
    yield Line("linear, Parquet to MAE", len(ten), "M/s", ours, ">=", 8, "river by hand", river)
    build = bench_progressive.linear
    ours, whole = rates(
        few, model=lambda: _live(compile(build(), ten.names), dicts), learner=lambda: _asked(build(), dicts, ten.names)
    )
    yield Line("one event live, dict in: linear", few, "M/s", ours, ">=", 1, "river by hand", river)
    yield Line("the same, asked and told later", few, "M/s", whole, ">=", 1, "river by hand", river)


def _mae(asked: Questions) -> float:
    return float(np.abs(asked.y - progressive(bench_progressive.linear(), asked).predictions).mean())


def _read(path: Path) -> Questions:
    table = pl.read_parquet(path)
    *names, _ = table.columns
    at = S * np.arange(len(table))
    columns = table.select(names).to_numpy(order="c"), table["y"].to_numpy()
    return Questions(np.arange(len(table)), at, *columns, at + 10 * S, tuple(names))


def _asked(model, rows: list, names: tuple[str, ...]) -> None:
    """Ask, and tell the answer ten questions later, one event at a time."""
    learner, late = Learner(model, names), bench_progressive.DELAY
    for i, (x, _) in enumerate(rows):
        if i >= late:
            learner.tell(i - late, rows[i - late][1], i - 1)
        learner.ask(i, i, x)


def _live(model, rows: list) -> None:
    """Predict and learn, one event at a time."""
    row = packer(model.names)
    for x, y in rows:
        values = row(x)
        model.predict(values)
        model.learn(values, y)


def trees() -> Iterator[Line]:
    """Hoeffding tree and forest at an accuracy; MOA's is of the same rows."""
    asked = bench_trees.questions(100_000)
    for name, build, peer, few, speed, right in (
        ("Hoeffding tree", tree.HoeffdingTreeClassifier, tree.HoeffdingTreeClassifier, 5_000, 2.5, 0.824),
        ("forest of ten", AdaptiveRandomForest, lambda: forest.ARFClassifier(seed=1), 500, 0.15, 0.839),
    ):
        share = bench_trees.right(build, asked)
        (ours,) = rates(len(asked), 1, ours=lambda build=build: progressive(build(), asked))
        (river,) = rates(few, 1, river=lambda peer=peer, few=few: bench_trees.by_hand(peer(), asked, few))
        note = f"right {share:.4f} (goal {right:.3f}{'' if share >= right else ', MISSED'})"
        yield Line(name, len(asked), "M/s", ours, ">=", speed, "river by hand", river, note)
        yield Line(f"{name}: share of right answers", len(asked), "", share, ">=", right, _absent("capymoa", "MOA"))
    dicts = bench_progressive.dicts(asked, 5_000)
    model = compile(tree.HoeffdingTreeClassifier(), asked.names)
    (ours,) = rates(len(dicts), ours=lambda: _live(model, dicts))
    yield Line("one event live, dict in: Hoeffding tree", len(dicts), "M/s", ours, ">=", 0.5)
    yield from _checkpoint(asked)


def _checkpoint(asked: Questions) -> Iterator[Line]:
    learner = Learner(AdaptiveRandomForest(), asked.names)
    learner.replay(asked[:50_000])
    took = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(5):
            began = time.perf_counter()
            state = dumps(learner.model.state)
            file.seek(0)
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
            took.append(1e3 * (time.perf_counter() - began))
    note = f"{len(state) / 1e6:.1f} MB"
    yield Line("forest checkpoint, durable, wall", 50_000, "ms", float(np.median(took)), "<=", 5, note=note)


def blend() -> Iterator[Line]:
    """Many settings in one pass."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        rate = bench_blend.speed()
    yield Line("128 settings in one pass, model-events", 20_000, "M/s", rate, ">=", 100)


def bars() -> Iterator[Line]:
    """Bars of ten seconds, de-duplicated; the peers do not."""
    for symbols, goal in ((1, 150), (100, 60)):
        trades = bench_bars.tape(symbols)
        columns = {name: np.ascontiguousarray(trades[name]) for name in ("time", "key", "price", "size")}
        table = pl.DataFrame(columns)
        peers = {"polars lazy": lambda table=table: _polars_bars(table)}
        if symbols == 1:
            peers["numpy reduceat"] = lambda c=columns: _reduceat(c["time"], c["price"], c["size"])
        shuffled = trades.copy()
        shuffled["id"] = np.random.default_rng(3).permutation(len(trades))
        ways = {"shuffled": lambda t=shuffled, s=symbols: Bars(symbols=s).push(t)}
        ours, odd, *theirs = rates(
            len(trades), ours=lambda t=trades, s=symbols: Bars(symbols=s).push(t), **ways, **peers
        )
        name, best = max(zip(peers, theirs, strict=True), key=lambda pair: pair[1])
        yield Line(f"bars, {symbols} symbols", len(trades), "M/s", ours, ">=", goal, name, best)
        yield Line(f"bars, {symbols} symbols, shuffled ids: slower", len(trades), "times", ours / odd, "<=", 2)


def _polars_bars(table: pl.DataFrame) -> pl.DataFrame:
    p = pl.col("price")
    about = [p.first().alias("o"), p.max().alias("h"), p.min().alias("l"), p.last().alias("c"), pl.col("size").sum()]
    return table.lazy().group_by(["key", pl.col("time") // 10**10]).agg(about).collect()


def _reduceat(at: np.ndarray, price: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, ...]:
    bar = at // 10**10
    first = np.flatnonzero(np.r_[True, bar[1:] != bar[:-1]])
    last = np.r_[first[1:], len(at)] - 1
    extremes = np.maximum.reduceat(price, first), np.minimum.reduceat(price, first)
    return (price[first], *extremes, price[last], np.add.reduceat(size, first))


def windows() -> Iterator[Line]:
    """Sum, count, mean and max by key and time; the peer's rows are sorted within its time."""
    rng, n = np.random.default_rng(5), bench_windows.ROWS
    at = np.sort(rng.integers(0, 60 * bench_windows.DAY, n))
    key, amount = rng.integers(0, bench_windows.KEYS, n), rng.lognormal(3, 1, n)
    table = pl.DataFrame({"key": key, "amount": amount, "at": at}).with_columns(pl.from_epoch("at", time_unit="ns"))
    for spans, goal in ((("24h",), 12), (bench_windows.THREE, 6)):
        ours, theirs = rates(
            n,
            ours=lambda spans=spans: bench_windows.features(*spans).push(at, amount, key),
            polars=lambda spans=spans: [_rolling(table, span) for span in spans],
        )
        yield Line(f"windows of {' '.join(spans)}", n, "M/s", ours, ">=", goal, "polars .rolling", theirs)


def _rolling(table: pl.DataFrame, span: str) -> pl.DataFrame:
    a = pl.col("amount")
    about = [a.sum().alias("s"), a.mean().alias("m"), a.max().alias("x"), a.count().alias("c")]
    return table.lazy().sort("key", "at").rolling("at", period=span, group_by="key").agg(about).collect()


def joins() -> Iterator[Line]:
    """What was known of a key: the join of pandas knows one time, ours two."""
    rng, n, asked = np.random.default_rng(7), 211_000, 200_000
    at, key = np.arange(n), rng.integers(0, bench_stores.KEYS, n)
    values = rng.normal(size=(n, len(bench_stores.NAMES)))
    for name, order in (("in order of time", np.arange(n)), ("in any order", rng.permutation(n))):
        facts = Facts(key[order], at[order], at[order], values[order], bench_stores.NAMES, "abc")
        wanted, moment = rng.integers(0, bench_stores.KEYS, asked), np.sort(rng.integers(0, n, asked))
        left = pd.DataFrame({"key": wanted, "happened": moment})
        right = facts.frame().drop(columns=["known", "definition", "deleted"])
        ordered = right["happened"].is_monotonic_increasing
        theirs = lambda left=left, right=right, ordered=ordered: pd.merge_asof(  # noqa: E731
            left, right if ordered else right.sort_values("happened"), on="happened", by="key"
        )
        ours, peer = rates(asked, 5, ours=lambda f=facts, k=wanted, m=moment: join(f, k, m), pandas=theirs)
        yield Line(f"point-in-time join, facts {name}", asked, "M/s", ours, ">=", peer, "pandas merge_asof", peer)


def http() -> Iterator[Line]:
    """One request of 64 connections."""
    with contextlib.redirect_stdout(io.StringIO()):
        table = bench_http.main(requests := 5_000)
    for row, goal in zip(table, (20, 24), strict=True):
        note = f"uvicorn with fixed bytes {row['floor']:.1f}; {row['rate']:,.0f} requests/s sustained"
        about = ("<=", goal, "FastAPI and pydantic", row["fastapi"], note)
        yield Line(f"POST /predict, {row['asked']}", requests, "CPU us", row["ours"], *about)


def live() -> Iterator[Line]:
    """A tick to its prediction; the load of the machine is said."""
    took = bench_live.measure(20.0, 40.0)[5:]
    note = f"load {os.getloadavg()[0]:.1f}"
    for share, goal in ((0.5, 0.5), (0.99, 3), (0.999, 20)):
        value = float(np.quantile(took, share))
        yield Line(f"tick to prediction, p{100 * share:g}, wall", len(took), "ms", value, "<=", goal, note=note)


def answers() -> Iterator[Line]:
    """Many open questions, and many features."""
    open_, chunk, n = 10_000, 1_000, 100_000
    asked = bench_progressive.questions(n + 2 * open_, 10)
    late = Questions(asked.id, asked.moment, asked.X, asked.y, asked.moment + open_ * S, asked.names)
    learner = Learner(bench_progressive.linear(), late.names)
    learner.replay(late[:open_], int(late.moment[open_ - 1]))
    began = time.process_time()
    for k in range(open_, open_ + n, chunk):
        learner.replay(late[k : k + chunk], int(late.moment[k + chunk - 1]))
    spent = 1e6 * (time.process_time() - began) / n
    yield Line(f"an answer, {open_:,} open, {chunk:,} a chunk", n, "CPU us", spent, "<=", 0.3)
    build = lambda: preprocessing.StandardScaler() | RecursiveLeastSquares()  # noqa: E731
    for d, n, goal in ((200, 4_000, 12.0), (2_000, 60, 2_000.0)):
        wide = bench_progressive.questions(n, d)
        (ours,) = rates(n, ours=lambda wide=wide: progressive(build(), wide))
        few = bench_progressive.dicts(wide, 20)
        peer = lambda few=few: bench_progressive.by_hand(linear_model.BayesianLinearRegression(), few)  # noqa: E731
        theirs = 1 / rates(len(few), 1, river=peer)[0] if d < 1_000 else float("nan")
        yield Line(f"RLS, {d:,} features, an answer", n, "CPU us", 1 / ours, "<=", goal, "river, Bayesian", theirs)


def _absent(module: str, name: str) -> str:
    return name if find_spec(module) else f"{name}: not installed"


PARTS = (start, log, rows, linear, trees, blend, bars, windows, joins, http, answers, live, job)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if unknown := set(wanted) - {part.__name__ for part in PARTS}:
        sys.exit(f"no part {', '.join(sorted(unknown))}: there are {', '.join(part.__name__ for part in PARTS)}")
    print(HEAD)
    missed = 0
    for part in PARTS:
        for line in part() if not wanted or part.__name__ in wanted else ():
            print(line, flush=True)
            missed += "MISSED" in str(line)
    print(f"\n{missed} lines missed, load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
