"""Rows a CPU second of ``POST /predict`` with many rows: Arrow tables and JSON lists against single requests.

    python benchmarks/bench_many_rows.py [ROWS]

A linear model of 20 features serves in a process of its own over HTTP; only its CPU time is counted, decoding and
encoding included. Medians of five requests.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa

NAMES = tuple(f"feature_{i}" for i in range(20))


def serve() -> None:
    """Serve until the input ends; print the port, then the CPU seconds used for each line that comes."""
    import time

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    from published import snapshot

    from rtml.models.compiled import compile
    from rtml.models.rls import RecursiveLeastSquares
    from rtml.serving.app import make_app
    from rtml.serving.endpoint import Endpoint
    from rtml.serving.service import Service

    model, service = compile(RecursiveLeastSquares(), NAMES), Service()
    for row in np.random.default_rng(0).standard_normal((100, len(NAMES))):
        model.learn(row, float(row.sum()))
    service.publish(snapshot(model=model, names=NAMES))
    with Endpoint(make_app(service)) as endpoint:
        print(endpoint.url, flush=True)
        for _ in sys.stdin:
            print(time.process_time(), flush=True)


def bodies(rows: int) -> dict[str, tuple[int, list[bytes]]]:
    """Of each way the rows in a request, and the requests."""
    X = np.random.default_rng(1).standard_normal((rows, len(NAMES)))
    table, sink = pa.table(dict(zip(NAMES, X.T.copy(), strict=True))), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    asked = [{"key": "ETH-USD", "features": dict(zip(NAMES, row, strict=True))} for row in X[:1000].tolist()]
    return {
        f"Arrow, {rows:,} rows a request": (rows, [sink.getvalue().to_pybytes()]),
        "JSON list, 1,000 rows a request": (1000, [json.dumps(asked).encode()]),
        "one row a request": (1, [json.dumps(one).encode() for one in asked]),
    }


def main(rows: int = 200_000) -> dict[str, float]:
    """Print and return rows a CPU second of the server by way."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdin=-1, stdout=-1, text=True)
    url, found = server.stdout.readline().strip(), {}

    def cpu() -> float:
        server.stdin.write("\n")
        server.stdin.flush()
        return float(server.stdout.readline())

    with httpx.Client(base_url=url, timeout=60) as client:
        for way, (n, requests) in bodies(rows).items():
            taken = []
            for _ in range(6):
                before = cpu()
                for body in requests:
                    client.post("/predict", content=body).raise_for_status()
                taken.append((cpu() - before) / len(requests))
            found[way] = n / statistics.median(taken[1:])
            print(f"{way:34} {found[way]:12,.0f} rows a CPU second", flush=True)
    server.communicate()
    return found


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main(*map(int, sys.argv[1:]))
