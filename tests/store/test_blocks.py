"""A block gives back the bits of its records, whatever their type and whatever they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rtml.store import blocks
from rtml.usecases.crypto.trades import events

FIELDS = ["<i8", "<u8", "<f8", "<i4", "<u2", "|i1", "|b1", "<f4", "<U2", "|S3", ">i8", "<c16"]
records = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=5).map(
    lambda kinds: np.dtype([(f"f{k}", kind) for k, kind in enumerate(kinds)] + [("pair", "<i2", (2,))])
)


@settings(max_examples=80, deadline=None)
@given(records.flatmap(lambda dtype: arrays.arrays(dtype, st.integers(1, 30))))
def test_any_records_come_back_bit_by_bit(rows):
    data = blocks.pack(rows)
    assert blocks.size(data, rows.dtype) == len(rows)
    assert blocks.unpack(data + b" ", rows.dtype).tobytes() == rows.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
    st.sampled_from([1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**62]),
    st.integers(0, 2**32),
)
def test_whole_numbers_at_every_edge_come_back(starts, most, seed):
    steps = np.random.default_rng(seed).integers(0, most, 50, endpoint=True)
    with np.errstate(over="ignore"):
        held = np.concatenate([np.int64(start) + np.cumsum(steps) for start in starts] + [np.array(starts), steps])
    rows = np.zeros(len(held), [("time", "<i8"), ("small", "|i1"), ("key", "<i4")])
    rows["time"], rows["small"], rows["key"] = held, held.astype("i1"), held.astype("i4")
    assert blocks.unpack(blocks.pack(rows), rows.dtype).tobytes() == rows.tobytes()


def test_a_part_of_a_larger_array_and_padded_records_are_kept():
    padded = np.zeros(9, np.dtype([("a", "i1"), ("b", "<f8")], align=True))
    padded["b"] = np.arange(9)
    dtype = np.dtype(padded.dtype.descr)
    for rows in (padded, padded[::2], padded[::-1]):
        again = blocks.unpack(blocks.pack(rows), dtype)
        assert again["b"].tolist() == rows["b"].tolist()
    records = events([3, 4], price=2.0)
    assert blocks.unpack(records.tobytes(), records.dtype).tobytes() == records.tobytes(), "records as they are"


@pytest.mark.parametrize("many", [16_384])
def test_trades_take_less_than_half_of_their_bytes(many):
    rng = np.random.default_rng(7)
    at = np.cumsum(rng.integers(0, 200, many)) * 10**6
    rows = events(at, id=np.arange(many), price=rng.normal(2000, 1, many), size=rng.random(many), side=1)
    assert len(blocks.pack(rows)) <= 21 * many and rows.itemsize == 54
