"""What Spark calls, called as Spark does it: rows of a group in any order and pieces, another worker each time.

On a real cluster, with kills: ``tests/extras/test_spark.py``.
"""

import sys
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.state import dumps, loads
from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.features.keys import partition
from rtml.integrations import spark
from rtml.integrations import spark_tables as tables
from rtml.integrations.spark_stages import Predictions, Records, Windows
from rtml.store import offline
from rtml.store.event_log import EventLog
from rtml.training.run_config import RunConfig
from rtml.usecases.crypto.bars import BAR, Bars
from rtml.usecases.crypto.trades import EVENT, events

HOUR = 3600 * 10**9
PARTITIONS = 4


def windows(lateness="2h", partitions=PARTITIONS):
    x = column("amount")
    declared = [Feature(f"{how}_{w}", x.over(w, how), "EUR", "") for w in ("5h", "1d") for how in ("sum", "max")]
    features = FeatureSet(declared, ["amount"], lateness=lateness, partitions=partitions)
    return Windows(features, key="card", reads="only_asks")


def payments(seed, n=300, texts=False):
    r = np.random.default_rng(seed)
    time = np.sort(r.integers(0, 72 * HOUR, n)) - r.integers(0, 4 * HOUR, n) * (r.random(n) < 0.2)
    card = r.integers(0, 12, n)
    table = {"id": np.arange(n), "card": np.array([f"card {c}" for c in card], object) if texts else card}
    table |= {"time": time, "amount": r.integers(1, 10**4, n).astype(float), "only_asks": r.random(n) < 0.1}
    return pd.DataFrame(table)


def trades(seed, n=400, symbols=3):
    r = np.random.default_rng(seed)
    time = np.sort(r.integers(0, 300 * 10**9, n)) - r.integers(0, 2 * 10**9, n)
    rows = events(time, id=np.arange(n), price=r.uniform(9, 11, n), size=r.random(n), side=r.choice([-1, 1], n))
    table = pd.DataFrame({name: rows[name] for name in EVENT.names})
    return table.assign(symbol=r.choice(["a", "b", "c"][:symbols], n), seq=np.arange(1, n + 1))


def bars():
    return Records(Bars("10s", "1s"), EVENT, BAR)


class Store:
    """States of groups as Spark keeps them, bytes by key, and the micro-batches that it makes."""

    def __init__(self, make, by, order, partitions=0):
        self.name = spark.PARTITION if partitions else by
        self.states, self._make = {}, partial(spark.Keyed, make, self.name, order)
        self.by, self.partitions = by, partitions

    def batch(self, rows, r):
        """One micro-batch: a group's rows come in another order, in pieces, to another worker."""
        found = []
        for key, group in packed(rows, self.by, self.partitions, r).groupby(self.name):
            worker = self._make()
            worker.init(SimpleNamespace(getValueState=lambda *_, key=key: Value(self.states, key)))
            cut = int(r.integers(len(group) + 1))
            found += worker.handleInputRows((key,), iter([group[:cut], group[cut:]]))
            worker.close()
        return found


def packed(rows, by, partitions, r):
    """What comes behind a shuffle: packed rows of every group, in any order."""
    rows = rows.sample(frac=1, random_state=int(r.integers(2**31)))
    batches = pa.Table.from_pandas(rows, preserve_index=False).to_batches(max_chunksize=int(r.integers(1, 90)))
    table = pa.Table.from_batches(spark.pack(batches, by, partitions)).to_pandas()
    return table.sample(frac=1, random_state=int(r.integers(2**31)))


class Value:
    """A value state of one key."""

    def __init__(self, states, key):
        self._states, self._key = states, key

    def exists(self):
        return self._key in self._states

    def get(self):
        return (bytearray(self._states[self._key]),)

    def update(self, value):
        (self._states[self._key],) = value


class Frame:
    """A table as far as a batch needs it: groups of it go through a function of Arrow tables."""

    isStreaming = False

    def __init__(self, rows, **types):
        self._rows = rows
        self.schema = {
            name: SimpleNamespace(dataType=SimpleNamespace(simpleString=lambda t=t: t)) for name, t in types.items()
        }

    def mapInArrow(self, function, schema):
        batches = pa.Table.from_pandas(self._rows.sample(frac=1, random_state=1), preserve_index=False).to_batches(70)
        out = pa.Table.from_batches(function(iter(batches)))
        assert out.column_names == [column.split()[0] for column in schema.split(", ")]
        return Frame(out.to_pandas())

    def groupBy(self, by):
        self._by = by
        return self

    def applyInArrow(self, function, schema):
        tables = [pa.Table.from_pandas(group, preserve_index=False) for _, group in self._rows.groupby(self._by)]
        out = [function((table[self._by][0],), table) for table in tables]
        assert all(t.column_names == [column.split()[0] for column in schema.split(", ")] for t in out)
        return pa.concat_tables(out).to_pandas()


def cut(rows, cuts):
    edges = [0, *sorted(c % (len(rows) + 1) for c in cuts), len(rows)]
    return [rows[a:b] for a, b in pairwise(edges) if b > a]


def same(got, want, order):
    got, want = (table.sort_values(order, kind="stable").reset_index(drop=True) for table in (got, want))
    pd.testing.assert_frame_equal(got[want.columns].infer_objects(), want, check_exact=True)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 299), max_size=4), texts=st.booleans())
@settings(max_examples=10)
def test_a_stream_in_any_micro_batches_is_answered_as_in_one_process(seed, cuts, texts):
    rows, store, whole = payments(seed, texts=texts), Store(windows, "card", "id", PARTITIONS), windows()
    want = pd.DataFrame(whole.push({name: rows[name].to_numpy() for name in rows}))
    got = [out for piece in cut(rows, cuts) for out in store.batch(piece, np.random.default_rng(seed))]
    same(pd.concat(got), want, "id")
    late = 0
    for blob in store.states.values():
        again = windows()
        again.load(loads(blob)["stage"])
        late += again.features.late
        assert dumps(again.state) == dumps(loads(blob)["stage"])
    assert late == whole.features.late


def test_a_table_in_groups_is_answered_as_in_one_process():
    rows, whole = payments(5), windows()
    want = pd.DataFrame(whole.push({name: rows[name].to_numpy() for name in rows}))
    assert whole.features.late > 5, "late rows are in it"
    same(spark.computed(Frame(rows), windows, "card", "id", PARTITIONS), want, "id")
    one = pd.DataFrame(windows(partitions=1).push({name: rows[name].to_numpy() for name in rows}))
    assert not one.equals(want), "one watermark over all keys would be another rule"


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 399), max_size=4))
@settings(max_examples=6)
def test_bars_of_every_symbol_are_those_of_one_process(seed, cuts):
    rows, store = trades(seed), Store(bars, "symbol", "seq")
    wanted = []
    for symbol, group in rows.groupby("symbol"):
        out = Bars("10s", "1s").push(group[list(EVENT.names)].to_records(index=False).astype(EVENT)).reshape(-1)
        wanted.append(pd.DataFrame({name: out[name] for name in BAR.names}).assign(symbol=symbol))
    want = pd.concat(wanted)
    assert len(want) > 60
    got = [out for piece in cut(rows, cuts) for out in store.batch(piece, np.random.default_rng(seed))]
    same(pd.concat(got), want, ["symbol", "end"])
    same(spark.computed(Frame(rows, symbol="string"), bars, "symbol", "seq"), want, ["symbol", "end"])


def backtest():
    return Predictions(RunConfig.of("crypto", ("A",), source="synthetic", models={"return": "rls"}))


def test_a_backtest_of_every_symbol_is_the_run_of_each_alone():
    rows = trades(3, 900)
    got = spark.computed(Frame(rows, symbol="string"), backtest, "symbol", "seq")
    store = Store(backtest, "symbol", "seq")
    live = pd.concat(
        [out for piece in cut(rows, [100, 101, 700]) for out in store.batch(piece, np.random.default_rng(0))]
    )
    for symbol, group in rows.groupby("symbol"):
        alone = backtest()._flow.push(group[list(EVENT.names)].to_records(index=False).astype(EVENT))
        assert len(alone.id) > 20 and alone.predictions["return"].any()
        for found in (got, live):
            of = found[found["symbol"] == symbol]
            assert of["return"].to_numpy().tobytes() == alone.predictions["return"].tobytes()
            assert of["id"].tolist() == alone.id.tolist() and of["moment"].tolist() == alone.moment.tolist()


def test_a_function_of_a_whole_group_sees_it_in_order_whatever_comes_out():
    def first_and_last(columns):
        return {"first": columns["id"][:1], "last": columns["id"][-1:]}

    rows = payments(1)
    got = spark.grouped(Frame(rows), first_and_last, "first long, last long", "card", "id", PARTITIONS)
    want = rows.groupby(partition(rows["card"].to_numpy(), PARTITIONS))["id"].agg(["min", "max"])
    assert got.set_index("partition").to_numpy().tolist() == want.to_numpy().tolist()


def test_rows_that_come_again_or_too_late_for_their_group_are_refused():
    rows = payments(2)
    store = Store(windows, "card", "id", PARTITIONS)
    store.batch(rows[:200], np.random.default_rng(0))
    kept = dict(store.states)
    for wrong in (rows[:200], rows[150:], pd.concat([rows[200:], rows[200:]])):
        with pytest.raises(ValueError, match=r"of 'id' comes again, or after row \d+ was taken: name a column"):
            store.batch(wrong, np.random.default_rng(0))
    assert kept == store.states, "a refused micro-batch leaves the states alone"


def test_types_are_named_as_spark_does():
    assert bars().schema.startswith("end long, key int, open double, ") and "empty boolean" in bars().schema
    assert windows().schema == "id long, sum_5h double, max_5h double, sum_1d double, max_1d double"


def test_a_log_is_read_by_offsets_in_any_pieces(tmp_path, monkeypatch):
    spark_modules(monkeypatch)
    rows = events(np.arange(50), id=np.arange(50), price=1.0)
    with EventLog(tmp_path / "log.db") as log:
        log.append("events", rows)
    source = tables.LogSource({"log": str(tmp_path / "log.db"), "part": "events", "rows": "20"})
    assert source.schema().startswith("offset long, time long, kind tinyint, key int")
    reader = tables.LogReader(str(tmp_path / "log.db"), "events", 20)
    at, found = reader.initialOffset(), []
    while (end := reader.latestOffset(at, None)) != at:
        found += [batch for part in reader.partitions(at, end) for batch in reader.read(part)]
        assert end["offset"] - at["offset"] <= 20
        at = end
    table = pa.Table.from_batches(found)
    assert table["offset"].to_pylist() == list(range(1, 51)) and table["id"].to_pylist() == list(range(50))
    until = tables.LogReader(str(tmp_path / "log.db"), "events", 100)
    until.prepareForTriggerAvailableNow()
    with EventLog(tmp_path / "log.db") as log:
        log.append("events", rows)
    assert until.latestOffset({"offset": 0}, None) == {"offset": 50}, "what comes later is of the next query"
    gone = SimpleNamespace(value=(90, 120))
    with pytest.raises(LookupError, match="has no event behind 100 of 'events', 120 were there"):
        list(reader.read(gone))


def test_a_micro_batch_is_in_the_table_once_whole_or_not_at_all(tmp_path, monkeypatch):
    spark_modules(monkeypatch)
    schema = pa.schema([("id", pa.int64()), ("x", pa.float64())])
    pieces = [pa.record_batch({"id": [k], "x": [k / 2]}, schema) for k in range(4)]
    assert offline.begin(tmp_path / "t", schema, "query") is None
    writer = tables.DeltaWriter(tmp_path / "t", "query")
    messages = [writer.write(iter(pieces[:2])), writer.write(iter(pieces[2:3])), writer.write(iter([]))]
    assert not len(read(tmp_path / "t")), "a file that no commit names is not of the table"
    for _ in range(2):
        writer.commit(messages, 0)
        assert read(tmp_path / "t")["x"].tolist() == [0.0, 0.5, 1.0]
    failed = [writer.write(iter(pieces[3:]))]
    writer.abort(failed, 1)
    assert len(list((tmp_path / "t").glob("*.parquet"))) == 2
    writer.commit([writer.write(iter(pieces[3:]))], 1)
    assert read(tmp_path / "t")["id"].tolist() == [0, 1, 2, 3] and offline.begin(tmp_path / "t", schema, "query") == 1
    with pytest.raises(ValueError, match="holds id, x, got y: take another folder"):
        offline.begin(tmp_path / "t", pa.schema([("y", pa.int64())]), "query")


def spark_modules(monkeypatch):
    """What the tables take of Spark: two classes that hold what they are given."""
    held = SimpleNamespace(
        WriterCommitMessage=SimpleNamespace, InputPartition=lambda value: SimpleNamespace(value=value)
    )
    for name in ("pyspark", "pyspark.sql", "pyspark.sql.datasource"):
        monkeypatch.setitem(sys.modules, name, held)


def read(folder):
    return DeltaTable(folder).to_pandas().sort_values("id", ignore_index=True)


def test_a_moment_of_sparks_becomes_ns_and_a_missing_group_is_one():
    at = [1736121600000001, 1736121601000000]
    rows = pa.record_batch({"symbol": ["a", None], "at": pa.array(at, pa.timestamp("us", "UTC"))})
    (out,) = spark.pack([rows], "symbol")
    assert out["symbol"].to_pylist() == ["a", None]
    columns = spark.unpack(out["rows"].to_pylist())
    assert columns["at"].tolist() == [1736121600000001000, 1736121601000000000]
