"""JSON of any shape as one table: rows, columns, one value a line, rows inside an answer of a server."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rtml.core.later import pd
from rtml.sources.table import Known, Table, Unreadable, few


def read_json(path: Path, content: bytes, known: Known) -> Table:
    """One JSON value, or one a line, whatever the file is called.

    Examples
    --------
    >>> content = b'{"status": "ok", "trades": [{"price": 1.5}, {"price": 2}]}'
    >>> read_json(Path("trades.json"), content, lambda name: name == "price").frame["price"].tolist()
    [1.5, 2]
    """
    try:
        return _records(path, msgspec.json.decode(content), known)
    except msgspec.DecodeError:
        if len(lines := content.splitlines()) < 2:
            raise
    rows, ragged = [], []
    for number, line in enumerate(lines, 1):
        try:
            rows += [msgspec.json.decode(line)] if line.strip() else []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
            ragged.append((f"line {number} is no JSON: {broken}", line.decode(errors="replace")))
    if not rows:
        return _records(path, msgspec.json.decode(content), known)  # says what is wrong with it
    table = _records(path, rows, known)
    return Table(table.frame, table.headless, few(path, ragged, len(table.frame)))


def _records(path: Path, held: object, known: Known) -> Table:
    """A list of objects or of lists, or an object that holds one of them, is columns, or is what pandas writes."""
    while isinstance(held, dict):
        if {"columns", "data"} <= held.keys():
            return Table(pd.DataFrame(held["data"], columns=held["columns"], dtype=object))
        if any(map(known, held)) and all(isinstance(column, dict) for column in held.values()):
            held = {name: list(column.values()) for name, column in held.items()}
        lists = [value for value in held.values() if isinstance(value, list)]
        if len(lists) == len(held) > 1 and not any(isinstance(v, dict) for column in lists for v in column):
            return Table(pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in held.items()}))
        held = [held] if any(map(known, held)) and not any(map(_nested, held.values())) else _inner(held)
    if isinstance(held, list) and held and all(isinstance(row, dict) for row in held):
        return Table(pd.DataFrame([_flat(row, known) for row in held], dtype=object))
    if isinstance(held, list) and held and all(isinstance(row, list) for row in held):
        return Table(pd.DataFrame(held, dtype=object), headless=True)
    raise Unreadable(f"{path.name} holds no list of rows: JSON must be a list of objects, one a row")


def _nested(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(row, dict | list) for row in value))


def _inner(held: dict) -> object:
    """What an object holds beside words about it: its rows, else the only object, else objects of one kind by id."""
    rows = [value for value in held.values() if isinstance(value, list) and _nested(value)]
    inner = rows or [value for value in held.values() if isinstance(value, dict) and value]
    alike = len(inner) > 1 and not rows and len({tuple(value) for value in inner}) == 1 == len(held) // len(inner)
    return inner[0] if len(inner) == 1 else inner if alike else None


def _flat(row: dict, known: Known) -> dict:
    """A message without its envelope: ``{"stream": ..., "data": {...}}``."""
    inner = [value for value in row.values() if isinstance(value, dict)]
    return row | inner[0] if len(inner) == 1 and not any(map(known, row)) else row
