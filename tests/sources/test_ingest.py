"""What ``rtml ingest`` says on the console while it works."""

import json
from collections import Counter
from unittest.mock import Mock

import pytest

from rtml.sources import ingest

HEADER = "symbol,time,price,size,side\n"


def _followed(tmp_path, capsys, *rows: str) -> list[str]:
    """Lines of the console for trades one second apart, given as price and size."""
    lines = [f"ETH-USD,{1735689600000 + 1000 * i},{row.replace(' ', ',')},buy\n" for i, row in enumerate(rows)]
    (tmp_path / "trades.csv").write_text(HEADER + "".join(lines))
    ingest.follow(tmp_path / "run", source=str(tmp_path / "trades.csv"), symbols="ETH-USD", speed=0.0)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("2000 1", "2001 1"), "2 events, stopped"),
        (("2000 1", "-1 1"), "1 events, 1 rejected (price is not a positive number: 1), stopped"),
        (
            ("-1 1", "2000 1", "2000 much", "0 1"),
            "1 events, 3 rejected (price is not a positive number: 2; size is not a number of zero or more: 1)"
            ", stopped",
        ),
    ],
)
def test_rows_that_the_schema_rejects_are_counted_on_the_console_by_reason(tmp_path, capsys, rows, said):
    assert _followed(tmp_path, capsys, *rows)[-1] == said


def test_the_first_row_of_each_reason_is_shown_as_it_came_also_in_the_log(tmp_path, capsys):
    said = _followed(tmp_path, capsys, "2000 1", "-7 1", "2001 much", "-8 1")
    shown = [line for line in said if line.startswith("rejected: ")]
    assert len(shown) == 2
    assert (
        "price is not a positive number (trade: positive, quote currency), such as {" in shown[0] and "-7" in shown[0]
    )
    assert "size is not a number of zero or more (trade: zero or more, base currency" in shown[1] and "2001" in shown[1]
    logged = [json.loads(line) for line in (tmp_path / "run" / "live.log").read_text().splitlines()]
    assert [line["reason"] for line in logged if line["event"] == "rows rejected"] == [
        "price is not a positive number",
        "size is not a number of zero or more",
    ]


def test_a_row_of_another_key_is_shown_with_the_keys_of_the_run_and_where_to_name_others():
    said = ingest._rejection(
        "key is not one of this run", '{"key": "west"}', ("north", "south"), {"key": "one of the keys"}
    )
    assert said == (
        "rejected: key is not one of this run (the run has north, south; name others with --symbols), "
        'such as {"key": "west"}'
    )


def test_a_line_that_says_the_same_as_the_one_before_is_not_printed_again(capsys):
    ingestor = Mock(state="live", problem="", failure=None, rejections=Counter())
    log = Mock(last=lambda part: 5, refused=lambda part: 0)
    ingest._follow(ingestor, log, Mock(wait=Mock(side_effect=[False, False, False, True])))
    assert capsys.readouterr().out.splitlines() == ["5 events, live", "5 events, stopped"]
