"""Processes go on where the disk does not: logs and lines that cannot be written stop nobody."""

import json
import os
import re
import stat
import sys
import threading
from io import StringIO

import pytest

from rtml.core import process
from rtml.core.process import Logbook, alone, tell


def test_a_log_that_cannot_be_written_stops_nobody_and_says_what_is_missing(tmp_path, monkeypatch):
    book, real = Logbook(tmp_path / "live.log"), os.open

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    book.say("one")
    book.say("two")
    monkeypatch.setattr(os, "open", real)
    book.say("three")
    book.say("four")
    lines = [json.loads(line) for line in book.path.read_text().splitlines()]
    assert [(line["event"], line.get("lines_lost", 0)) for line in lines] == [("three", 2), ("four", 0)]
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o600


def test_a_log_or_lock_that_is_a_link_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    for name in ("live.log", "run.lock"):
        (tmp_path / name).symlink_to(secret)
    with pytest.raises(ValueError, match="is a link"):
        Logbook(tmp_path / "live.log")
    with pytest.raises(OSError, match="symbolic link"), alone(tmp_path / "run.lock", "taken"):
        pass
    assert secret.read_text() == "mine"


def test_a_line_that_cannot_be_printed_stops_nobody(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        tell("hello")
        monkeypatch.undo()
        with pytest.raises(OSError):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("goes_on", "reminded"), [(False, True), (True, False)])
def test_on_a_terminal_silence_is_broken_until_a_service_is_up(monkeypatch, goes_on, reminded):
    terminal, over = Terminal(), threading.Event()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", StringIO())
    monkeypatch.delenv("RTML_QUIET", raising=False)
    with process.at_work("rtml x", goes_on, patience_s=0.0):
        print("up")
        over.wait(0.6)
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "rtml x: starting" and bool(lines[1:]) == reminded
    assert all(re.fullmatch(r"rtml x: at work, \d+ s", line) for line in lines[1:])
    assert sys.stderr is terminal
