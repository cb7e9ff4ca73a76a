"""Rows a second from a topic, a table and files into the log of a run, in wall time; servers start on this machine."""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from servers import Server, missing

from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog

ROWS = 20_000  # the mock broker keeps 5 MB


def rows() -> pd.DataFrame:
    """Trades of one symbol."""
    time_ns = 1_700_000_000 * 10**9 + np.arange(ROWS) * 10**6
    return pd.DataFrame({"symbol": "ETH-USD", "time": time_ns, "price": 1.5, "size": 2.0, "id": np.arange(ROWS)})


def topic(server: Server, frame: pd.DataFrame) -> str:
    """A topic that holds the rows."""
    from confluent_kafka import Producer

    broker = server.url.removeprefix("kafka://").partition("?")[0]
    producer = Producer({"bootstrap.servers": broker})
    for row in frame.to_dict("records"):
        producer.produce("trades", json.dumps(row).encode())
        producer.poll(0)
    producer.flush()
    return f"kafka://{broker}/trades"


def table(server: Server, frame: pd.DataFrame) -> str:
    """A table that holds the rows."""
    import psycopg

    with psycopg.connect(server.url) as db, db.cursor() as cursor:
        cursor.execute(
            "create table trades (n bigserial primary key, symbol text, time bigint, price float8, size float8, id int)"
        )
        with cursor.copy("copy trades (symbol, time, price, size, id) from stdin") as copy:
            for row in frame.itertuples(index=False):
                copy.write_row(row)
    return f"{server.url}?table=trades&by=n"


def measured(name: str, url: str) -> None:
    """Print how fast it comes into a log."""
    with tempfile.TemporaryDirectory() as folder, EventLog(Path(folder) / "events.db") as log:
        source, began = open_source(url, symbols=["ETH-USD"]), time.perf_counter()
        ingest(source, log, "events")
        assert log.last("events") == ROWS
        print(f"{name:12} {ROWS / (time.perf_counter() - began):10,.0f} rows/s", flush=True)


def main() -> None:
    """Each connector once."""
    frame = rows()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csv", "parquet", "jsonl"):
            place = Path(folder) / kind
            place.mkdir()
            if kind == "csv":
                frame.to_csv(place / "a.csv", index=False)
            elif kind == "parquet":
                pq.write_table(pa.Table.from_pandas(frame), place / "a.parquet")
            else:
                frame.to_json(place / "a.jsonl", orient="records", lines=True)
            measured(kind, place.as_uri())
    for system, fill in (("kafka", topic), ("postgres", table)):
        if reason := missing(system):
            print(f"{system:12} {reason}")
            continue
        server = Server(system)
        measured(system, fill(server, frame))
        server.close()


if __name__ == "__main__":
    main()
