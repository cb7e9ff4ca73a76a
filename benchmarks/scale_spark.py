"""24 h windows of cards on Spark beside one process: rows a second, the same bits, and from which size a cluster pays.

make scale, or: python benchmarks/scale_spark.py [ROWS] [CARDS]   (in an environment with pyspark, and Java 17)

A master and two workers of one core are started on this machine and stopped at the end. Rates are in CPU time of all
processes of the cluster, so that others who work on the machine change them little; wall time stands beside them.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.integrations import spark
from rtml.integrations.spark_stages import Windows

HOUR = 3600 * 10**9
PARTITIONS, FILES, WORKERS = 64, 4, 2


def make() -> Windows:
    """Sum and count of a card's last 24 h, with 64 watermarks."""
    declared = [Feature(f"{how}_24h", column("amount").over("24h", how), "", "") for how in ("sum", "count")]
    return Windows(FeatureSet(declared, ["amount"], lateness="1h", partitions=PARTITIONS), key="card")


def write(folder: Path, rows: int, cards: int) -> None:
    """Payments of two days in files, in order of time."""
    r = np.random.default_rng(0)
    columns = {"id": np.arange(rows), "time": np.sort(r.integers(0, 48 * HOUR, rows))}
    columns |= {"card": r.integers(0, cards, rows), "amount": r.integers(1, 10**4, rows).astype(float)}
    folder.mkdir()
    for k, places in enumerate(np.array_split(np.arange(rows), FILES)):
        pq.write_table(pa.table({name: values[places] for name, values in columns.items()}), folder / f"{k}.parquet")


class Meter:
    """Wall time and CPU time of this process and all it started, since it was made."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), self.used()

    @staticmethod
    def used() -> float:
        """CPU seconds of the processes so far."""
        me = psutil.Process()
        return sum(sum(p.cpu_times()[:4]) for p in [me, *me.children(recursive=True)])

    def said(self, what: str, rows: int) -> float:
        """Print a line of the table; CPU seconds so far."""
        wall, cpu = time.perf_counter() - self._began, self.used() - self._cpu
        print(f"{what:44} {rows / wall:12,.0f} {rows / cpu:16,.0f} {wall:8.1f} s", flush=True)
        return cpu


def one_process(data: Path, out: Path) -> pd.DataFrame:
    """The same from file to file without Spark."""
    rows = pq.read_table(data)
    found = make().push({name: rows[name].to_numpy() for name in rows.column_names})
    pq.write_table(pa.table(found), out)
    return pd.DataFrame(found)


def same(session, folder: Path, want: pd.DataFrame) -> str:
    """Whether what Spark wrote is what one process found, bit by bit."""
    got = session.read.parquet(str(folder)).toPandas().sort_values("id", ignore_index=True)
    return "same bits" if got[want.columns].equals(want) else "OTHER BITS"


def batch(session, data: Path, out: Path) -> None:
    rows = session.read.parquet(str(data))
    spark.computed(rows, make, "card", "id", PARTITIONS).write.mode("overwrite").parquet(str(out))


def stream(session, arrived: Path, folder: Path) -> list[tuple[int, float]]:
    """Take the files that have arrived since the last time, one a micro-batch; rows and seconds of each."""
    schema = session.read.parquet(str(arrived)).schema
    rows = session.readStream.schema(schema).option("maxFilesPerTrigger", 1).parquet(str(arrived))
    found = spark.computed(rows, make, "card", "id", PARTITIONS)
    sink = found.writeStream.format("parquet").option("checkpointLocation", str(folder / "checkpoint"))
    query = sink.trigger(availableNow=True).start(str(folder / "stream"))
    query.awaitTermination()
    progress = [(p["numInputRows"], p["durationMs"]["triggerExecution"] / 1e3) for p in query.recentProgress]
    return [(n, wall) for n, wall in progress if n]


def main(rows: int = 4_000_000, cards: int = 1_000_000) -> None:
    """Measure, compare and say from which size on a cluster pays."""
    folder = Path(tempfile.mkdtemp(prefix="rtml-scale-"))
    try:
        with spark.cluster(WORKERS) as url:
            measured(folder, url, rows, cards)
    finally:
        shutil.rmtree(folder)


def measured(folder: Path, url: str, rows: int, cards: int) -> None:
    few = rows // 4
    write(folder / "small", few, cards)
    write(folder / "data", rows, cards)
    one_process(folder / "small", folder / "one.parquet")
    session = spark.session(url, "scale", spark__sql__shuffle__partitions="4")
    print(f"{rows:,} payments of {cards:,} cards, sum and count of 24 h, two workers of one core\n")
    print(f"{'':44} {'rows/s (wall)':>12} {'rows/CPU second':>16}")
    meter = Meter()
    want = one_process(folder / "data", folder / "one.parquet")
    alone = rows / meter.said("one process, file to file", rows)
    took = {}
    for what, n in (("small", few), ("small", few), ("data", rows), ("data", rows)):
        meter = Meter()
        batch(session, folder / what, folder / "out")
        took[what] = meter.said(f"batch, {n:,} rows", n)
    print("batch:", same(session, folder / "out", want))
    spread = (rows - few) / (took["data"] - took["small"])
    fixed = max(0.0, took["data"] - rows / spread)
    (folder / "arrived").mkdir()
    for what, files in (("first", [0]), ("the others", range(1, FILES))):
        for k in files:
            (folder / "data" / f"{k}.parquet").rename(folder / "arrived" / f"{k}.parquet")
        meter = Meter()
        pieces = stream(session, folder / "arrived", folder)
        meter.said(f"stream, {what} of {FILES} micro-batches", sum(n for n, _ in pieces))
        for n, wall in pieces:
            print(f"    micro-batch of {n:,} rows: {wall:.1f} s, {n / wall:,.0f} rows/s", flush=True)
    print("stream:", same(session, folder / "stream", want))
    session.stop()
    print(pays(alone, spread, fixed))


def pays(alone: float, spread: float, fixed: float) -> str:
    """From which size on a cluster is quicker, by rows a CPU second of one process and of a core of the cluster."""
    cores = int(alone / spread) + 1
    lines = [f"\none process {alone:,.0f} rows/s; a core of the cluster {spread:,.0f}, and {fixed:.1f} s a job"]
    lines += [f"with fewer than {cores} cores one process is always quicker"]
    for n in (2 * cores, 8 * cores):
        size = fixed / (1 / alone - 1 / (n * spread))
        lines.append(f"with {n} cores the cluster is quicker from {size:,.0f} rows a job on")
    lines.append("below that it pays where keys do not fit: 104 bytes each, and 16 for each row inside a window")
    return "\n".join(lines)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
