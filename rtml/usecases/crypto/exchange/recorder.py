"""A capture: every message of an exchange and event of its connection, one note per line, and its replay.

A line is the moment of its reception in ns, a space, and JSON: ``[kind, data]`` of a note of ``GapFiller``, messages
and pages as the exchange sent them. The first line says which exchange and symbols; a session that goes on after a stop
begins with such a line again, and with the trades behind which it goes on.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rtml.core.later import pd
from rtml.sources.protocol import pieces
from rtml.usecases.crypto.exchange.dialects import DIALECTS
from rtml.usecases.crypto.exchange.gap_filler import GapFiller
from rtml.usecases.crypto.schema import TRADES, frame


def understand(dialect, markets: dict[str, str], kind: str, data):
    """What a note says to ``GapFiller``: a message or page is read, anything else is taken as it is.

    Examples
    --------
    >>> understand(None, {}, "state", [1, 2])
    [1, 2]
    """
    if kind == "ws":
        return dialect.hear(data)
    if kind == "rest":
        return data[0], *dialect.page(data[1], markets[data[0]])
    return data


class Recorder:
    """Writes notes to a file, each at once; an existing one is never overwritten.

    With ``again`` a file of the same exchange and symbols is written on: a session that goes on after a stop.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Recorder(f"{folder}/a.log", "kraken", {"BTC/USD": "XBT/USD"}, now=5).close()
    ...     print(Path(folder, "a.log").read_text().strip())
    5 ["capture",{"exchange":"kraken","markets":{"BTC/USD":"XBT/USD"}}]
    """

    def __init__(self, path: str | Path, exchange: str, markets: dict[str, str], now: int, again: bool = False) -> None:
        self.path, about = Path(path), {"exchange": exchange, "markets": markets}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        zipped, there = self.path.suffix == ".gz", self.path.exists()
        if there and (zipped or not again or header(self.path) != about):
            raise FileExistsError(f"{path} is there already: name another file to record to")
        if there:
            _whole(self.path)
        mode, at_once = ("xb", {}) if zipped else ("ab", {"buffering": 0})
        self._file = (gzip.open if zipped else open)(self.path, mode, **at_once)
        self.write(now, "capture", about)

    def write(self, now: int, kind: str, data) -> None:
        """Add one note."""
        self._file.write(b"%d %b\n" % (now, msgspec.json.encode([kind, data])))

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Capture:
    """A recorded exchange as a source: the rows that were sent live, in the same order, through the same code.

    Parameters
    ----------
    path : path
        What ``Exchange(record=...)`` wrote; ``.gz`` may be behind its name. A torn last line is left out.
    symbols : sequence of str
        Which of its symbols, the target first; all by default.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Recorder(f"{folder}/a.log", "kraken", {"BTC/USD": "XBT/USD"}, now=5).close()
    ...     print(Capture(f"{folder}/a.log").symbols)
    ('BTC/USD',)
    """

    schema = TRADES

    def __init__(self, path: str | Path, symbols=()) -> None:
        path = Path(path)
        head = header(path)
        if head is None:
            raise ValueError(f"{path.name} is not a capture of an exchange: its first line says nothing of one")
        self._dialect, self._markets = DIALECTS[head["exchange"]], head["markets"]
        missing = [symbol for symbol in symbols if symbol not in self._markets]
        if missing:
            raise LookupError(f"no symbol {', '.join(missing)} in {path.name}; it holds {', '.join(self._markets)}")
        self.symbols = tuple(symbols) or tuple(self._markets)
        with path.open("rb") as file:
            self.name = f"capture:{head['exchange']}:{path.name}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
        self._rows = self._replayed(path)

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._rows)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in the order in which they were sent, at most ``n`` at a time."""
        return pieces(self._rows, n)

    def _replayed(self, path: Path) -> pd.DataFrame:
        gap_filler, rows = GapFiller(self._markets), []
        for kind, data in _notes(path):
            if kind == "capture":
                gap_filler = GapFiller(self._markets)
                continue
            if kind == "begin":
                rows = _upto(rows, data)
            rows += gap_filler.take(kind, understand(self._dialect, self._markets, kind, data))
        table = frame(rows)
        table.loc[table["kind"] == "tick", "symbol"] = self.symbols[0]
        return table[table["symbol"].isin(self.symbols)].reset_index(drop=True)


def header(path: Path) -> dict | None:
    """What a capture's first line says, None for any other file.

    Examples
    --------
    >>> header(Path(__file__)) is None
    True
    """
    try:
        kind, data = next(_notes(path), ("", None))
    except (OSError, EOFError, zlib.error):
        return None
    known = kind == "capture" and isinstance(data, dict) and data.get("exchange") in DIALECTS
    return data if known else None


def _upto(rows: list[tuple], begin: dict) -> list[tuple]:
    """Rows that a session which goes on found held: up to the newest trade behind which it goes on, of any symbol."""
    held = {symbol: at[0] for symbol, at in begin.items() if symbol != "from" and at}
    kept = [k for k, row in enumerate(rows) if row[1] == "trade" and row[6] <= held.get(row[0], -1)]
    return rows[: kept[-1] + 1] if kept else []


def _whole(path: Path) -> None:
    """Cut off a torn last line."""
    with path.open("rb+") as file:
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)


def _notes(path: Path) -> Iterator[tuple[str, object]]:
    decode = msgspec.json.Decoder(tuple[str, object]).decode
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
        while True:
            try:
                line = lines.readline()
                if not line:
                    return
                yield decode(line.partition(b" ")[2])
            except (msgspec.DecodeError, EOFError):  # torn: the machine stopped here
                return
