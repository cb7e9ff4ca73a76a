"""Texts of ids that a log holds as numbers: lines of JSON in a file beside it, added to by whoever writes events."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

ENDING = ".names"  # behind the name of the log's file


class Names:
    """Text of each id by its number; several processes may add and read.

    Parameters
    ----------
    path
        The file; made with the first text.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Names(Path(folder) / "log.names").keep({2**52: "red shoes"})
    ...     names = Names(Path(folder) / "log.names")
    ...     names.get(2**52), names.get(7)
    ('red shoes', None)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._held: dict[int, str] = {}
        self._read = 0  # bytes of the file

    def keep(self, texts: Mapping[int, str]) -> None:
        """Add what is not there yet, before the events that speak of it."""
        if new := {number: text for number, text in texts.items() if number not in self._held}:
            self._catch_up()
        lines = [json.dumps([int(number), new[number]]) for number in new if number not in self._held]
        if lines:
            with open(self.path, "ab") as file:  # one write, so that lines of several processes do not mix
                os.write(file.fileno(), ("\n".join(lines) + "\n").encode())
            self._held |= new

    def get(self, number: int) -> str | None:
        """The text of a number; None where it stands for itself."""
        if number not in self._held:
            self._catch_up()
        return self._held.get(number)

    def _catch_up(self) -> None:
        """Read whole lines that were added; what is no line of a text is passed over."""
        if not self.path.exists() or self.path.stat().st_size <= self._read:
            return
        with open(self.path, "rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        self._read += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            try:
                number, text = json.loads(line)
            except ValueError:  # cut off by a crash: its event was not written either
                continue
            self._held[number] = text
