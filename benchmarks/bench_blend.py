"""The blend beside its members, the champion of before and river: quality of what is served, and CPU an event.

``python benchmarks/bench_blend.py [STREAM ...]`` prints a table of streams: R² and AUC of the sign against no change
for numbers, accuracy and log loss for classes, over the second half, every answer learned once it is known. ``z`` is
Diebold and Mariano's against the best member and against ``rls``: above zero the blend is better. Without names a
subset that takes about a minute; ``all`` for everything; recordings need ``RTML_SHARED_DATA``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from river import linear_model, preprocessing

from rtml.core.questions import Questions
from rtml.evaluation.dataset import build
from rtml.evaluation.progressive import progressive
from rtml.metrics import metrics
from rtml.models import catalogue as zoo
from rtml.models.blend import CompiledBlend
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks" / "studies"))

from drifting import drifting, recorded

DATA = Path(os.environ.get("RTML_SHARED_DATA", Path(__file__).parents[2] / "shared/data"))
MARKETS = {
    "demo": ("synthetic", "10s"),
    "recurring": ("synthetic:recurring", "10s"),
    "no drift": ("synthetic:none", "10s"),
    "ETH Huobi": ("huobi_ethusdt_push_2018-04-16,huobi_btcusdt_push_2018-04-16", "10s"),
    "BTC Bybit": ("bybit_btcusd_trades_2019-10-01_h00-12", "10s"),
    "ETH Kraken": ("kraken_ethusd_1m_2023-04-03,kraken_btcusd_1m_2023-04-03", "1m"),
    "BTC feed": ("oracle_btcusd_1hz_2026-07-24_h00-12", "10s"),
    "XRP Binance": ("binance_xrpeth_aggtrades_2019-10", "10s"),
    "XRP Kraken": ("kraken_xrpeur_trades_2022-05", "1m"),
    "AAVE Kraken": ("kraken_aaveusd_trades_2021q4", "5m"),
    "AXS Kraken": ("kraken_axsusd_trades_2021q4", "5m"),
    "ETH perpetual 2024": ("binance_usdm_ethusdt_trades_2024-08-08,binance_usdm_btcusdt_trades_2024-08-08", "1s"),
}
CLASSES = {
    "elec2": ("elec2.parquet", "0s"),
    "elec2, a day late": ("elec2.parquet", "1d"),
    "noaa": ("noaa_weather.parquet", "0s"),
    "usenet1": ("usenet1.parquet", "0s"),
    "sudden": ("", "0s"),
}
USUAL = ("demo", "recurring", "ETH Huobi", "BTC Bybit", "elec2", "noaa", "sudden")


def market(name: str) -> Questions:
    """Questions of a recording or a seeded market, by the live path."""
    source, bar = MARKETS[name]
    if not source.startswith("synthetic"):
        source = ",".join(str(DATA / "crypto" / f"{part}.parquet") for part in source.split(","))
    opened = open_source(source)
    inputs = list(opened.symbols[1:])
    config = RunConfig.of("crypto", opened.symbols[:1], opened.name, inputs=inputs, bar=bar, horizon=bar)
    with tempfile.TemporaryDirectory() as folder, EventLog(Path(folder) / "events.db") as log:
        ingest(opened, log, PART)
        return build(log, PART, config).of("return")


def classes(name: str) -> Questions:
    """Questions of a recorded or a seeded drift set with two classes."""
    file, delay = CLASSES[name]
    return recorded(DATA / "drift" / file, delay) if file else drifting("sudden", delay=delay).questions


def blended(asked: Questions, classifier: bool) -> tuple[dict[str, np.ndarray], float]:
    """What the blend and each member said, and CPU microseconds a question."""
    model = CompiledBlend(asked.names, classifier)
    order = np.argsort(asked.known, kind="stable")
    order = order[~np.isnan(asked.y[order])]
    columns = (asked.moment, asked.known, order, int(asked.known[order[-1]]))
    start = time.process_time()
    kept, _ = model.replay_at(asked.X, asked.y, np.empty((0, 1 + model.memory)), *columns)
    spent = 1e6 * (time.process_time() - start) / len(asked)
    said = dict(zip(model.members, kept[:, 1:].T, strict=False))
    return {"blend": kept[:, 0]} | {k: p for k, p in said.items() if not np.isnan(p).any()}, spent


def river(asked: Questions, classifier: bool) -> np.ndarray:
    """River's own way: stochastic gradient descent behind a scaler, by its own loop of dicts."""
    model = linear_model.LogisticRegression() if classifier else linear_model.LinearRegression()
    return progressive(preprocessing.StandardScaler() | model, asked).predictions


def losses(y: np.ndarray, p: np.ndarray, classifier: bool) -> np.ndarray:
    """Squared error, or log loss."""
    if not classifier:
        return (y - p) ** 2
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -np.log(np.where(y == 1.0, p, 1.0 - p))


def z(worse: np.ndarray, better: np.ndarray, lags: int = 6) -> float:
    """Diebold and Mariano's statistic: how sure it is that the second has the smaller losses."""
    gap = worse - better
    off = gap - gap.mean()
    spread = off @ off + sum(2 * (1 - k / (lags + 1)) * (off[k:] @ off[:-k]) for k in range(1, lags + 1))
    return float(gap.mean() * len(gap) / np.sqrt(spread)) if spread > 0 else 0.0


def score(y: np.ndarray, p: np.ndarray, classifier: bool) -> str:
    """Two numbers of a prediction."""
    if classifier:
        return f"{((p > 0.5) == (y == 1.0)).mean():8.4f} {losses(y, p, True).mean():7.4f}"
    moved = y != 0.0
    return f"{1 - ((y - p) ** 2).sum() / (y**2).sum():8.4f} {metrics.auc((y[moved] > 0).astype(float), p[moved]):7.4f}"


def row(name: str) -> None:
    """One stream: blend, best member in hindsight, the champion of before, river."""
    classifier = name in CLASSES
    asked = (classes if classifier else market)(name)
    said, spent = blended(asked, classifier)
    before = zoo.build("recursive_logistic" if classifier else "rls")
    said |= {"champion": progressive(before, asked).predictions, "river": river(asked, classifier)}
    scored = np.isfinite(asked.y) & (np.arange(len(asked)) >= (0 if classifier else len(asked) // 2))
    y = asked.y[scored]
    lost = {who: losses(y, p[scored], classifier) for who, p in said.items()}
    best = min((who for who in said if who not in ("blend", "champion", "river")), key=lambda who: lost[who].mean())
    print(f"\n{name}: {len(asked):,} questions, {len(asked.names)} features, {spent:.1f} us an event")
    for who in ("blend", best, "champion", "river"):
        beside = "" if who == "blend" else f"   z {z(lost[who], lost['blend']):5.1f}"
        print(f"  {who:55s} {score(y, said[who][scored], classifier)}{beside}")


def speed(n: int = 20_000) -> float:
    """128 least squares members on ten features in one pass: millions of model-events a CPU second."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(n, 10))
    at = 10 * np.arange(n, dtype=np.int64)
    asked = Questions(np.arange(n), at, X, X[:, 0] + rng.normal(size=n), at + 5, tuple(f"f{j}" for j in range(10)))
    forgetting = [1.0, 0.998, 0.9995, 0.999, 0.9999, 0.9998, 0.9997]
    how = {"forgetting": forgetting, "ridge": [10.0 * 2**k for k in range(9)], "random": 0, "rates": (), "every": 32}
    model = CompiledBlend(asked.names, False, how | {"champion": "forgetting 1 ridge 10"})
    columns = (at, asked.known, np.arange(n), int(asked.known[-1]))
    start = time.process_time()
    model.replay_at(asked.X, asked.y, np.empty((0, 1 + model.memory)), *columns)
    spent = time.process_time() - start
    members = sum("ridge" in name for name in model.members)
    print(f"\n{members} settings in one pass, mixed: {members * n / spent / 1e6:.1f} M model-events/s")
    return members * n / spent / 1e6


if __name__ == "__main__":
    speed()
    wanted = sys.argv[1:] or list(USUAL)
    for each in [*MARKETS, *CLASSES] if wanted == ["all"] else wanted:
        row(each)
