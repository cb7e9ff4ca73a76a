"""The offline store: rows are there once and whole, and what was read once is read again, byte for byte."""

import threading

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.store.facts import Facts
from rtml.store.offline import FeatureTable

NAMES = ("spend", "count")


def facts(rows, definition="v1"):
    """Facts of (key, happened, known, value[, deleted])."""
    key, happened, known, value, deleted = zip(*[(*row, False)[:5] for row in rows], strict=True)
    return Facts(key, happened, known, [[v, v + 1] for v in value], NAMES, definition, deleted)


@pytest.fixture
def table(tmp_path):
    return FeatureTable(tmp_path / "cards", NAMES)


def test_history_comes_back_by_key_and_range(table):
    table.append(facts([(1, 10, 10, 1.0), (2, 15, 15, 2.0), (1, 20, 20, 3.0), (1, 30, 31, 4.0)]))
    found = table.features(keys=[1], start=10, end=30)
    assert found[["key", "happened", "known", "spend", "count"]].values.tolist() == [
        [1, 10, 10, 1.0, 2.0],
        [1, 20, 20, 3.0, 4.0],
    ]
    assert set(found["definition"]) == {"v1"} and table.rows == len(table.history()) == 4


def test_the_same_offset_is_appended_once(table):
    assert table.append(facts([(1, 10, 10, 1.0)]), "log", offset=5) == 1
    assert FeatureTable(table.path).append(facts([(1, 10, 10, 1.0)]), "log", offset=5) == 0
    assert table.append(facts([(1, 11, 11, 1.0)]), "log", offset=4) == 0
    assert table.append(facts([(1, 11, 11, 1.0)]), "another log", offset=4) == 1
    assert (table.rows, table.offset("log"), table.offset("another log"), table.offset("none")) == (2, 5, 4, 0)


def test_writers_of_one_source_at_the_same_time_write_every_offset_once(table):
    wrote = []

    def write():
        own = FeatureTable(table.path)
        for offset in range(1, 11):
            wrote.append(own.append(facts([(1, offset, offset, 1.0)]), "log", offset, sealed=0))

    threads = [threading.Thread(target=write) for _ in range(3)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert len(wrote) == 30 and sum(wrote) == 10 == table.rows
    assert table.history()["happened"].tolist() == list(range(1, 11))


def test_a_correction_is_a_later_fact_and_the_past_stays_as_it_was_known(table):
    table.append(facts([(1, 10, 10, 1.0), (1, 20, 20, 2.0)]))
    table.append(facts([(1, 10, 30, 7.0)]))  # corrected
    table.append(facts([(1, 20, 40, 0.0, True), (1, 50, 50, 5.0)]))  # taken back
    assert table.features()["spend"].tolist() == [7.0, 5.0]
    assert table.features(as_of=39)["spend"].tolist() == [7.0, 2.0]
    assert table.features(as_of=29)["spend"].tolist() == [1.0, 2.0]
    assert len(table.history()) == 5


def test_a_moment_that_is_not_over_is_not_read_as_of(table):
    with pytest.raises(ValueError, match="holds nothing"):
        table.features(as_of=5)
    table.append(facts([(1, 10, 10, 1.0), (1, 20, 20, 2.0)]))
    assert len(table.features(as_of=19)) == 1
    with pytest.raises(ValueError, match="more may come that was known at"):
        table.features(as_of=20)
    table.append(facts([(2, 20, 20, 3.0)]), sealed=20)
    assert len(table.features(as_of=20)) == 3


def test_what_was_known_before_the_seal_cannot_come_any_more(table):
    table.append(facts([(1, 10, 10, 1.0), (1, 20, 20, 2.0)]))
    with pytest.raises(ValueError, match=r"row 1 \(key 3\) says it was known at .* what is learned late is known late"):
        table.append(facts([(1, 21, 21, 1.0), (3, 5, 19, 2.0)]))
    assert table.rows == 2
    assert table.append(facts([(3, 5, 20, 2.0)])) == 1


BATCHES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 5), st.floats(-9, 9), st.booleans()), max_size=5
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15)
@given(BATCHES)
def test_what_was_read_as_of_a_moment_has_the_same_bytes_ever_after(tmp_path_factory, batches):
    table, read, start = FeatureTable(tmp_path_factory.mktemp("table") / "t", NAMES), {}, 0
    for batch in batches:
        rows = [(key, start + at, start + at + delay, value, gone) for key, at, delay, value, gone in batch]
        if rows:
            table.append(facts(rows))
        start = max(start, table.sealed + 1)
        for moment in range(table.sealed + 1):
            bytes_ = table.as_of(moment).facts().newest().digest
            assert read.setdefault(moment, bytes_) == bytes_, moment
    version = table.version
    table.compact()
    table.vacuum(keep_hours=0)
    for moment, bytes_ in list(read.items())[-3:]:
        assert FeatureTable(table.path).as_of(moment).facts().newest().digest == bytes_
    assert table.version >= version


def test_a_version_is_read_as_it_was_until_a_vacuum_ends_it_and_says_so(table):
    for k in range(4):
        table.append(facts([(1, 10 + k, 10 + k, float(k))]), "log", offset=k + 1)
    assert table.as_of(version=2).features()["spend"].tolist() == [0.0, 1.0]
    assert "every version can be read" in str(table.vacuum(keep_hours=0, dry_run=True))
    assert table.compact() == (4, 1)
    kept = table.vacuum(keep_hours=1)  # nothing is that old
    assert kept.files == 0 and table.as_of(version=2).features()["spend"].tolist() == [0.0, 1.0]
    ended = table.vacuum(keep_hours=0)
    assert str(ended) == (
        "4 files removed, versions before 5 can no longer be read; reading as of a moment is as before"
    )
    with pytest.raises(FileNotFoundError):
        table.as_of(version=ended.oldest - 1).features()
    assert table.as_of(version=ended.oldest).features()["spend"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert table.features(as_of=11)["spend"].tolist() == [0.0, 1.0]
    assert table.offset("log") == 4 and table.append(facts([(1, 99, 99, 1.0)]), "log", offset=4) == 0


def test_the_file_itself_refuses_a_row_without_key_or_time(table):
    table.append(facts([(1, 10, 10, 1.0)]))
    delta = DeltaTable(table.path)
    for name in ("key", "happened", "known", "definition"):
        row = delta.to_pyarrow_table()
        fields = [pa.field(field.name, field.type) for field in row.schema]
        columns = [pa.array([None], field.type) if field.name == name else row[field.name] for field in fields]
        broken = pa.table(columns, schema=pa.schema(fields))
        with pytest.raises(Exception, match="failed validation"):
            write_deltalake(table.path, broken, mode="append")
    assert table.rows == 1


def test_another_tables_rows_are_refused_with_a_sentence(table, tmp_path):
    with pytest.raises(ValueError, match="holds spend, count, got other"):
        table.append(Facts([1], [1], [1], [[1.0]], ("other",), "v1"))
    with pytest.raises(ValueError, match="keys of cards are int"):
        table.append(Facts(["a"], [1], [1], [[1.0, 2.0]], NAMES, "v1"))
    with pytest.raises(ValueError, match="take another folder"):
        FeatureTable(table.path, ("other",))
    with pytest.raises(FileNotFoundError, match="is no feature table"):
        FeatureTable(tmp_path / "nothing")
    with pytest.raises(ValueError, match="different names"):
        FeatureTable(tmp_path / "new", ("known",))


def test_labels_that_come_days_later_are_facts_of_their_own_table(tmp_path):
    labels = FeatureTable(tmp_path / "labels", ("fraud",), key=str)
    labels.append(Facts(["tx 1", "tx 2"], [10, 20], [710, 720], [[1.0], [0.0]], ("fraud",), "v1"))
    assert labels.features(as_of=715)["key"].tolist() == ["tx 1"]
    assert FeatureTable(labels.path).key is str
