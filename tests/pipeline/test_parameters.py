"""A parameter is a typed literal with a meaning; a value that does not fit is refused with a sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.pipeline.parameters import Parameter, checked, chosen, declared, from_text, read_line


def notebook(tmp_path, lines, tags=("parameters",)):
    cell = {"cell_type": "code", "source": [line + "\n" for line in lines], "metadata": {"tags": list(tags)}}
    path = tmp_path / "01_ingest.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": [], "metadata": {}}, cell]}))
    return path


def test_a_notebook_declares_its_parameters(tmp_path):
    lines = ["HORIZON_S: float = 5.0  # how far ahead, seconds", 'SYMBOLS: list = ["BTC/USDT"]  # instruments']
    found = declared(notebook(tmp_path, lines))
    assert found == {
        "HORIZON_S": Parameter("HORIZON_S", "float", 5.0, "how far ahead, seconds"),
        "SYMBOLS": Parameter("SYMBOLS", "list", ["BTC/USDT"], "instruments"),
    }


def test_a_notebook_without_the_tag_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"01_ingest\.ipynb needs one code cell with the tag 'parameters', got 0"):
        declared(notebook(tmp_path, ["SEED: int = 7  # random seed"], tags=()))


@pytest.mark.parametrize(
    "line",
    [
        "horizon = 5",
        "OUT = f'runs/{SEED}'",
        'URL: str = "http://x/?a=b"  # where',
        "WINDOW: tuple = (1, 5)  # both",
        "LIMIT: int | None = None  # none",
        "SEED: int = 7",
        "SEED: int = 7.0  # a float",
        "HOURS: float = 24  # an int",
    ],
)
def test_a_line_that_papermill_would_get_wrong_is_refused(line):
    with pytest.raises(ValueError, match=r"reads 'NAME: type = literal|is declared"):
        read_line(line, "01_ingest")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "7", 7),
        ("float", "2", 2.0),
        ("str", "a=b c", "a=b c"),
        ("bool", "False", False),
        ("bool", "yes", True),
        ("list", "a, b", ["a", "b"]),
        ("list", '["a", 2]', ["a", 2]),
        ("dict", '{"price": "last"}', {"price": "last"}),
    ],
)
def test_a_text_is_read_by_the_declared_type(kind, text, value):
    got = from_text(Parameter("X", kind, None, "meaning"), text)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "7.5"),
        ("int", ""),
        ("float", "fast"),
        ("bool", "maybe"),
        ("list", '["a"'),
        ("list", "{}"),
        ("dict", "[1]"),
    ],
)
def test_a_text_of_another_type_is_refused_with_the_meaning(kind, text):
    with pytest.raises(ValueError, match=rf"X must be {kind}.*, got .*: random seed; its default is None"):
        from_text(Parameter("X", kind, None, "random seed"), text)


@given(
    value=st.integers()
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.lists(st.text())
    | st.dictionaries(st.text(), st.text())
)
def test_a_value_survives_its_text(value):
    text = json.dumps(value) if not isinstance(value, float) else repr(value)
    assert from_text(Parameter("X", type(value).__name__, None, "meaning"), text) == value


def test_a_whole_number_will_do_for_a_float_but_not_the_other_way():
    assert checked(Parameter("X", "float", 1.0, "meaning"), 3) == 3.0
    for kind, value in (("int", 3.0), ("int", True), ("float", "3"), ("list", "a")):
        with pytest.raises(ValueError, match="X must be"):
            checked(Parameter("X", kind, None, "meaning"), value)


SEED = Parameter("SEED", "int", 7, "random seed")
HOURS = Parameter("HOURS", "float", 24.0, "length of the stream, hours")
BOTH = {"01_ingest": {"SEED": SEED, "HOURS": HOURS}, "02_features": {"SEED": SEED}}


def test_a_length_of_time_is_checked_before_anything_runs():
    bar = Parameter("BAR", "str", "10s", "length of a bar")
    assert [from_text(bar, text) for text in ("1m", "10s,60s", "0s")] == ["1m", "10s,60s", "0s"]
    for text in ("7x", "", "1m,"):
        with pytest.raises(ValueError, match=f"BAR must be a length of time such as .* got '{text}': length of a bar"):
            from_text(bar, text)
    assert from_text(Parameter("EVERY", "str", "", "time between versions, none if empty"), "") == ""


def test_a_value_goes_to_every_notebook_that_declares_it_and_what_is_given_wins():
    got = chosen(BOTH, profile={"SEED": 1, "HOURS": 3}, given={"SEED": "2"})
    assert got == {"01_ingest": {"SEED": 2, "HOURS": 3.0}, "02_features": {"SEED": 2}}


def test_an_unknown_name_stops_everything_and_says_what_was_meant():
    with pytest.raises(LookupError, match=r"parameter 'HUORS' \(did you mean HOURS\?\); declared: HOURS, SEED"):
        chosen(BOTH, profile={}, given={"HUORS": "3"})
