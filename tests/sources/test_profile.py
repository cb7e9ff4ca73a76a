"""The profile of a recording of any use case says how its columns will be read, and names the command that uses it."""

import pandas as pd
import pytest
from command_line import carry_out, command

T0 = 1_735_689_600


@pytest.fixture
def clicks(tmp_path):
    """Four clicks, one of them without an item, in columns of the usual names."""
    table = {"Timestamp": [T0, T0 + 1, T0 + 9, T0 + 20], "user_id": [1, 1, 2, 2], "sku": ["a", "b", None, "a"], "x": 0}
    pd.DataFrame(table).to_csv(tmp_path / "clicks.csv", index=False)
    return str(tmp_path / "clicks.csv")


def test_clicks_and_payments_are_shown_as_they_will_be_read(clicks, tmp_path, capsys):
    carry_out("inspect", clicks, "--use-case", "sessions")
    said = capsys.readouterr().out
    for text in ("s since 1970", "visitor", "item is missing", "2025-01-01 00:00:20 UTC"):
        assert text in said
    assert said.endswith(f"next: rtml run mine --source {clicks} --use-case sessions\n")

    ids = {"transaction_id": [1], "customer_id": ["07"], "terminal_id": ["3"]}
    pd.DataFrame({"ts": [T0], **ids, "amount": [1.5], "fraud": [0]}).to_csv(tmp_path / "paid.csv", index=False)
    assert command("inspect", str(tmp_path / "paid.csv"), "--use-case", "fraud")
    assert """such as --columns '{"card": "<column>"}'""" in capsys.readouterr().err
    carry_out("inspect", str(tmp_path / "paid.csv"), "--use-case", "fraud", "--columns", '{"fraud": "fraud"}')
    said = capsys.readouterr().out
    assert """-p 'COLUMNS={"fraud": "fraud"}'""" in said and "customer_id" in said


def test_what_is_made_or_received_is_not_inspected(capsys):
    for source in ("shop", "http"):
        assert command("inspect", source, "--use-case", "sessions")
        assert f"{source} is made or received, not read: name a file" in capsys.readouterr().err
