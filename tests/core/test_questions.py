"""Questions in columns: what cannot be asked or answered is said."""

import numpy as np
import pytest
from streams import NAMES, stream

from rtml.core.clock import NEVER
from rtml.core.questions import Questions


def questions(**changed):
    columns = {"id": [1, 2, 3], "moment": [10, 20, 20], "X": np.ones((3, 2)), "y": [0.5, np.nan, 1.0]}
    columns |= {"known": [20, NEVER, 30], "names": ("a", "b")}
    return Questions(**columns | changed)


def test_columns_get_their_types():
    asked = questions()
    assert (asked.id.dtype, asked.moment.dtype, asked.known.dtype) == (np.int64,) * 3
    assert asked.X.dtype == asked.y.dtype == np.float64 and asked.X.flags.c_contiguous
    assert len(asked) == 3 and len(questions(id=[], moment=[], X=np.empty((0, 2)), y=[], known=[])) == 0


def test_a_part_is_questions_again():
    whole = stream(20, unlabelled=0.2)
    parts = [whole[:7], whole[7:7], whole[7:]]
    for name in ("id", "moment", "X", "y", "known"):
        column = np.concatenate([getattr(part, name) for part in parts])
        assert column.tobytes() == getattr(whole, name).tobytes()
    assert parts[1].names == NAMES


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"moment": [10, 9, 20]}, r"question 2 at 1970.* follows 1970.*; sort the event log or raise the lateness"),
        ({"known": [10, NEVER, 30]}, r"question 1 is asked at 1970.* and its answer known at .*; a label looks ahead"),
        ({"known": [20, NEVER, NEVER]}, r"question 3 has an answer, 1\.0, but no time when it becomes known"),
        ({"y": [0.5, np.inf, 1.0]}, r"the answer of question 2 must be finite or NaN, got inf"),
        ({"X": [[1, 1], [1, np.nan], [1, 1]]}, r"feature 'b' of question 2 must be a finite number, got nan"),
        ({"X": [[1, 1], [-np.inf, 1], [np.inf, 1]]}, r"feature 'a' of question 2 must be a finite number, got -inf"),
        ({"X": np.ones((3, 3))}, r"X must have 3 rows of 2 columns \(a, b\), got shape \(3, 3\)"),
        ({"y": [1.0, 2.0]}, r"y must have one value a question \(3\), got shape \(2,\)"),
        ({"moment": [10.0, 20.0, 30.0]}, r"moment must be whole numbers \(ns UTC for times\), got float64"),
    ],
)
def test_what_cannot_be_is_said(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        questions(**changed)


def test_huge_finite_features_are_fine():
    assert questions(X=np.full((3, 2), 1.7e308)).X[0, 0] == 1.7e308
