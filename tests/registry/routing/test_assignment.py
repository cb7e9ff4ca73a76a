"""Who gets which arm: shares come out, raising the coverage moves nobody, other weights move just what must."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.registry.routing.assignment import PARTS, assigned, cut_of, recut, shares

ARMS = "abcd"
few = settings(max_examples=60)


@st.composite
def weights(draw):
    parts = [draw(st.integers(0, 1000)) for _ in ARMS]
    parts[draw(st.integers(0, 3))] += 1
    return {arm: part / sum(parts) for arm, part in zip(ARMS, parts, strict=True)}


def moved(before, after) -> int:
    """Millionths of the line that have another arm."""
    total, ends = 0, sorted({sum(n for _, n in cut[: i + 1]) for cut in (before, after) for i in range(len(cut))})
    start = 0
    for end in ends:
        arms = [
            next(a for i, (a, _) in enumerate(cut) if sum(n for _, n in cut[: i + 1]) > start)
            for cut in (before, after)
        ]
        total += (end - start) * (arms[0] != arms[1])
        start = end
    return total


@few
@given(weights(), weights(), weights())
def test_other_weights_move_just_the_share_that_must_move(first, second, third):
    cut = cut_of(first)
    for new in (second, third):
        after = recut(cut, new)
        lengths, due = ({a: round(w * PARTS) for a, w in shares(c).items()} for c in (cut, after))
        assert sum(due.values()) == PARTS and all(abs(due.get(a, 0) - new[a] * PARTS) <= 1 for a in ARMS)
        assert moved(cut, after) == sum(max(0, lengths.get(a, 0) - due.get(a, 0)) for a in ARMS)
        cut = after


@few
@given(st.text(), weights(), st.floats(0.01, 1), st.floats(0.01, 1))
def test_raising_the_coverage_moves_nobody_who_took_part(salt, split, one, other):
    cut = cut_of(split)
    for i in range(40):
        narrow, wide = (assigned(salt, f"unit {i}", cut, coverage) for coverage in sorted((one, other)))
        assert narrow in ("", wide)


def test_shares_come_out_and_another_salt_mixes_anew():
    cut = cut_of({"a": 0.7, "b": 0.2, "c": 0.1})
    keys = [f"card {i}" for i in range(20_000)]
    first, second = ([assigned(salt, key, cut, 0.5) for key in keys] for salt in ("test 1", "test 2"))
    for arm, share in (("", 0.5), ("a", 0.35), ("b", 0.1), ("c", 0.05)):
        assert abs(first.count(arm) / len(keys) - share) < 0.012
    both = sum(one == two == "b" for one, two in zip(first, second, strict=True))
    assert abs(both / len(keys) - 0.01) < 0.004, "independent of each other"
    assert first == [assigned("test 1", key, cut, 0.5) for key in keys]


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ({"a": 0.5, "b": 0.6}, "weights must add up to 1, got a 0.5 and b 0.6, which are 1.1"),
        ({"a": 1.5, "b": -0.5}, "weights are shares between 0 and 1, got a 1.5 and b -0.5"),
        ({"a": float("nan")}, "weights are shares between 0 and 1, got a nan"),
        ({}, "weights are shares between 0 and 1, got none"),
    ],
)
def test_weights_that_cannot_be_are_refused_with_a_sentence(split, says):
    with pytest.raises(ValueError, match=says):
        cut_of(split)
