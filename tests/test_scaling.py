"""What docs/scaling.md derives follows from the figures it derives it from, and from the records of the package."""

import math
import re
from pathlib import Path

import pytest

from rtml.usecases.crypto.trades import EVENT

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the page is not in this copy")
RATE, KEYS, DAY = 1_000_000, 100_000_000, 86_400


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def row(name):
    """Cells behind a row's name; of several rows the first."""
    found = re.search(rf"^\| {re.escape(name)}[^|]*\|(.+?)\|(.*?)\|?$", PAGE.read_text(), re.MULTILINE)
    assert found, f"no row {name!r}"
    return found[1], found[2]


def measured(name):
    return numbers(row(name)[0])


def test_servers_and_processes_are_the_rate_over_what_one_does():
    logs = [measured(f"event log: {name}")[k] for name, k in (("Redis", 0), ("PostgreSQL", 0), ("NATS", 0))]
    needed = re.match(r" (\d+) Redis, (\d+) PostgreSQL or (\d+) NATS", row("log")[0])
    assert [int(n) for n in needed.groups()] == [math.ceil(RATE / rate) for rate in logs]
    parquet, _, _, kafka, _ = measured("connectors into the log")
    assert numbers(row("ingest")[0])[:2] == [math.ceil(RATE / kafka), math.ceil(RATE / parquet)]
    slowest, _, bytes_a_key, bytes_a_row = measured("windows of 24 h")
    assert numbers(row("features")[1])[0] == slowest
    assert numbers(row("state of keys")[0])[0] == pytest.approx(KEYS * bytes_a_key / 1e9)
    assert numbers(row("rows inside 24 h windows")[0])[0] == pytest.approx(RATE * DAY * bytes_a_row / 1e12, rel=0.02)
    parts, a_part, partitions, keys = numbers(row("partitions")[0])[1:5]
    assert (a_part, keys) == (RATE / parts, KEYS / 64) and partitions == 64 / parts


def test_network_and_disk_are_those_of_the_record():
    assert numbers(row("network")[0])[0] == EVENT.itemsize * RATE / 1e6
    assert numbers(row("disk")[0])[0] == pytest.approx(EVENT.itemsize * RATE * DAY / 1e12, abs=0.05)


def test_the_cost_of_a_million_events_is_the_sum_of_its_parts():
    text = re.search(r"\*\*Cost of a million events\*\*(.*?)\n\n", PAGE.read_text(), re.DOTALL)[1]
    log, features, learning, scoring, whole, price, cost, a_day = numbers(text.replace("two columns", ""))[:8]
    rates = measured("event log: Redis")[0], measured("windows of 24 h")[0], measured("recursive least squares")[0]
    seconds = [RATE / rate for rate in (*rates, measured("scoring, linear")[0])]
    assert [log, features, learning, scoring] == pytest.approx(seconds, abs=0.05)
    assert whole == pytest.approx(sum(seconds), abs=0.05)
    assert cost == pytest.approx(price * sum(seconds) / 3600, rel=0.02)
    assert a_day == pytest.approx(DAY * price * sum(seconds) / 3600, rel=0.02)
