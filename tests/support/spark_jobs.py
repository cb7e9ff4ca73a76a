"""Jobs for Spark: stages that its workers build again by name, and a driver that a test may kill.

python spark_jobs.py MASTER LOG CHECKPOINT TABLE
"""

import sys

import numpy as np

from rtml.features.feature_set import FeatureSet
from rtml.integrations import spark
from rtml.integrations.spark_stages import Predictions, Records, Windows
from rtml.integrations.spark_tables import OFFSET, log_stream, to_delta
from rtml.usecases.crypto.bars import BAR, Bars
from rtml.usecases.crypto.trades import EVENT

PARTITIONS = 8
PART = "events"


def view(number):
    """A view of the fraud use case with watermarks by partition; 0: card, 1: terminal, 2: labels of the card."""
    from rtml.usecases.fraud.use_case import features  # a worker imports what it is asked for

    of = features()[number]
    own = FeatureSet(of.features.features, of.features.columns, lateness="1h", partitions=PARTITIONS)
    return Windows(own, key=of.key, reads="only_asks" if of.labels else None)


def card_payments():
    return view(0)


def terminal_payments():
    return view(1)


def card_labels():
    return view(2)


def bars():
    return Records(Bars("10s", "1s"), EVENT, BAR)


def backtest():
    from rtml.training.run_config import RunConfig

    return Predictions(RunConfig.of("crypto", ("A",), source="synthetic", models={"return": "rls"}))


def scored(columns):
    """A backtest of one symbol, as one row: how many questions, and the sum of their predictions."""
    found = backtest().push(columns)
    return {"questions": np.array([len(found["id"])]), "total": np.array([found["return"].sum()])}


def of_symbols(frame):
    """Trades by symbol: each is the only key of a market of its own."""
    from pyspark.sql.functions import lit

    return frame.withColumnRenamed("key", "symbol").withColumn("key", lit(0))


def begin(session, log, checkpoint, table):
    """The query of the tests: bars of every symbol of a log, into a Delta table, with all that is there now."""
    found = spark.computed(of_symbols(log_stream(session, log, PART, rows=4000)), bars, "symbol", OFFSET)
    return to_delta(found, table, checkpoint, availableNow=True)


if __name__ == "__main__":
    master, *places = sys.argv[1:]
    query = begin(spark.session(master, "driver", spark__sql__shuffle__partitions="2"), *places)
    print("begun", flush=True)
    query.awaitTermination()
