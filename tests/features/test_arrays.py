"""Arrays as pandas 3 and Arrow hand them out (read-only, strided) and integers are taken wherever rows come in."""

import numpy as np
import pandas as pd
import pytest

from rtml.core.arrays import plain
from rtml.core.questions import Questions
from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.trades import events

S = 10**9
AMOUNTS = [3, 1, 4, 1, 5, 9, 2, 6]
FRAME = pd.DataFrame({"t": np.arange(8) * S, "amount": AMOUNTS, "card": [1, 2] * 4, "name": list("abab") * 2})


def read_only(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


FORMS = {
    "as pandas gives them": lambda values: pd.Series(values).to_numpy(),
    "read-only": read_only,
    "with strides": lambda values: np.repeat(np.asarray(values), 2)[::2],
    "both": lambda values: read_only(np.repeat(np.asarray(values), 2))[::2],
    "of Arrow": lambda values: pd.Series(values).convert_dtypes(dtype_backend="pyarrow"),
}


def features():
    return FeatureSet([Feature("spent", column("amount").over("3s", "sum"), "EUR", "spent")], columns=["amount"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["card", "name", None])
def test_features_take_them_as_they_take_plain_ones(form, key):
    time, amount = FRAME["t"].to_list(), FRAME[["amount"]].to_numpy().copy().astype(float)
    keys = None if key is None else FRAME[key].to_list()
    wanted = features().push(np.array(time), amount, None if key is None else np.array(keys))
    given = None if key is None else FORMS[form](keys)
    rows = read_only(FRAME[["amount"]].to_numpy())
    told = features()
    assert told.push(FORMS[form](time), rows, given).tobytes() == wanted.tobytes()
    assert features().push(FORMS[form](time[:1]), rows[:1]).tolist() == [[3.0]]
    if key:
        at = FORMS[form]([t + 60 * S for t in time])
        assert told.read(at, given).tolist() == [[0.0]] * 8


@pytest.mark.parametrize("form", ["read-only", "with strides", "both"])
def test_bars_and_questions_take_them(form):
    rows = events(np.arange(60) * S + 10**18, price=1.5, id=np.arange(60))
    wanted = Bars().push(rows)
    assert len(wanted) > 3 and Bars().push(FORMS[form](rows)).tobytes() == wanted.tobytes()
    columns = [FORMS[form](values) for values in ([1, 2], [5, 6], [0, 1], [9, 9])]
    id, moment, y, known = columns
    asked = Questions(id, moment, read_only(np.ones((2, 2), int))[:, ::2], y, known, ("x",))
    assert all(getattr(asked, name).flags.writeable for name in ("id", "moment", "X", "y", "known"))
    assert asked.X.dtype == np.float64


def test_a_plain_array_is_not_copied():
    array = np.arange(3.0)
    assert plain(array, np.float64) is array
