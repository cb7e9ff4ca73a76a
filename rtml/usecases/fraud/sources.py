"""Sources of card payments by name: the seeded town, or a recorded table whose labels are revealed days later."""

from __future__ import annotations

from collections.abc import Iterator, Set
from functools import cached_property
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock, span, span_text
from rtml.core.later import pd
from rtml.core.state import digest
from rtml.sources.columns import UNREADABLE, nanoseconds, numbers
from rtml.sources.decimals import read_decimals
from rtml.sources.moments import ZONED, exact_numbers, floats, in_zone, read_moments, texts
from rtml.sources.table import check_twins
from rtml.sources.tables import Unreadable, read
from rtml.usecases.fraud.schema import PAYMENTS, VERDICTS, read_key
from rtml.usecases.fraud.synthetic_cards import Cards

#: What SOURCE may say.
SOURCES = {
    "cards": "a seeded town of cards and terminals; fraud of four patterns is known and changes; runs anywhere",
    "<file>": "recorded payments, Parquet or CSV: ts, transaction_id, customer_id, terminal_id, amount, is_fraud",
    "<file>,<file>": "the same without is_fraud, and its labels: transaction_id, is_fraud, ts (when it became known)",
}

#: Names of ours, and of a recorded table. Nothing else is read: a column that explains the label cannot leak.
COLUMNS = {
    "time": "ts",
    "id": "transaction_id",
    "card": "customer_id",
    "terminal": "terminal_id",
    "amount": "amount",
    "fraud": "is_fraud",
}


_UNTOLD = ("unknown", "pending", "open", "?", "-")  # words that say as little as a blank cell


class Recorded:
    """Recorded payments, each followed by its label as an event of its own, ``delay`` later.

    A payment whose label is blank has none yet: it is never labelled.

    Parameters
    ----------
    path
        A Parquet, CSV, feather or JSON file, as a table in order of time; behind a comma a second one, of labels:
        the payment's id, its label, and the time at which that became known. The first label of a payment counts.
    delay
        How long after its payment a label becomes known, where no file of labels says it.
    days
        Only the first days of it, 0 for all.
    columns
        Names of the table's columns where they are not the usual ones of :data:`COLUMNS`; ``zone`` is the time zone
        of times without one, such as ``UTC``.
    """

    schema = PAYMENTS
    symbols = ("payment",)

    def __init__(self, path: str | Path, delay: str = "7d", days: float = 0.0, columns: dict | None = None) -> None:
        self.delay, self.days = span(delay), days
        self._columns = COLUMNS | (columns or {})
        self._zone, self._given = self._columns.pop("zone", ""), set(columns or {})
        one, behind, other = (str(path), "", "") if Path(path).is_file() else str(path).partition(",")
        self.path = Path(one.strip())
        self.read_as: list[tuple[str, pd.DataFrame, dict[str, str]]] = []
        self._held = self._read(self.path, self._columns.keys() - ({"fraud"} if behind else set()))
        self._labels = self._read(Path(other.strip()), {"id", "fraud"}) if behind else None
        part = f":days={days:g}" if days else ""
        files = [self.path, Path(other.strip())] if behind else [self.path]
        hashed = ",".join(f"{file.name}@{digest(file.read_bytes())[:12]}" for file in files)
        self.name = f"file:{hashed}{part}:delay={span_text(self.delay)}"

    def _read(self, path: Path, needed: Set[str]) -> pd.DataFrame:
        """A table that has the columns of these names of ours, kept with what its columns are read as."""
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}: SOURCE is 'cards' or a Parquet file of payments, or CSV")
        table = read(path, known=set(self._columns.values()).__contains__).whole(path.name)
        has = list(table.columns)
        if missing := [str(name) for ours, name in self._columns.items() if ours in needed and name not in has]:
            raise LookupError(
                f"{path.name} has no column {', '.join(missing)}; it has: {', '.join(has)}: name those that are "
                'meant, such as COLUMNS={"card": "<column>"}'
            )
        check_twins(table, {ours: name for ours, name in self._columns.items() if ours not in self._given})
        self.read_as.append((path.name, table, {o: name for o, name in self._columns.items() if name in has}))
        return table

    @property
    def notes(self) -> tuple[str, ...]:
        """What of a file of labels is of no payment, or is not the first label of its payment."""
        if self._labels is None:
            return ()
        ids = _ids(self._labels[self._columns["id"]]).astype(str)
        lost = int((~ids.isin(self._table["id"].astype(str))).sum())
        counts = {"are of no payment": lost, "are not the first of their payment": int(ids.duplicated().sum())}
        return tuple(f"{self.read_as[1][0]}: {n:,} of {len(ids):,} labels {what}" for what, n in counts.items() if n)

    @property
    def rows(self) -> int:
        """Number of raw rows: a payment for each line of the table, and a label where it is known."""
        return len(self._table) + len(self._told)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in order of arrival, at most ``n`` at a time; at equal times payments before labels."""
        table, told = self._table, self._told
        rows = np.concatenate([np.arange(len(table)), told])
        when = np.concatenate([table["known"].to_numpy(), table["told"].to_numpy()[told]])
        order = np.argsort(when, kind="stable")
        for start in range(0, len(order), n):
            places = order[start : start + n]
            frame = table.iloc[rows[places]].reset_index(drop=True)
            label = places >= len(table)
            frame["time"] = frame["time"].where(~label, when[places])
            frame.insert(0, "kind", np.where(label, "label", "payment"))
            frame["fraud"] = frame["fraud"].where(label, None)
            yield frame.drop(columns=["known", "timed", "told"])

    def truth(self) -> pd.DataFrame:
        """One row a payment: its label and when it becomes known, and how the fraud was made where the file says it.

        For reports of what was found, never for features.
        """
        table = self._table.assign(known=self._table["told"], pattern="")
        if "fraud_scenario" in self._held.columns:
            names = np.array(["", "dear", "terminal", "leak"])
            made = self._held["fraud_scenario"].to_numpy(np.int64)
            table["pattern"] = names[made[: len(table)]]
        fraud = np.array([VERDICTS.get(word, 0) == 1 for word in table["fraud"]], bool)
        units = numbers(table["amount"], len(table))
        amount = np.rint(np.where(np.abs(units) < 1e12, units, 0.0) * 100).astype(np.int64)
        return table.assign(amount=amount, fraud=fraud).drop(columns=["timed", "told"])

    @cached_property
    def _told(self) -> np.ndarray:
        """Places of the payments whose label is known."""
        return np.flatnonzero(self._table["fraud"].notna() & self._table["timed"])

    @cached_property
    def _table(self) -> pd.DataFrame:
        frame = self._ours(self._held)
        exact = self._moments(frame["time"], self.path.name)
        back = np.flatnonzero(np.diff(exact[exact > 0]) < 0)
        if len(back):
            row = int(np.flatnonzero(exact > 0)[back[0] + 1])
            raise Unreadable(
                f"{self.path.name} is not in order of time: {self._columns['time']} of row {row + 1} is "
                f"{frame['time'].iloc[row]}, before that of the row above: sort it by {self._columns['time']} first"
            )
        bad = exact <= 0
        written = texts(frame["time"][bad]).astype(object)
        frame["time"] = exact
        if bad.any():
            frame["time"] = frame["time"].astype(object).mask(bad, written)
        frame["timed"] = ~bad
        frame["known"] = np.maximum.accumulate(np.where(exact > 0, exact, 0))
        frame["amount"] = read_decimals(frame["amount"], f"{self._columns['amount']} of {self.path.name}")
        frame["id"], frame["told"] = _ids(frame["id"]), frame["known"] + self.delay
        if self._labels is None:
            frame["fraud"] = self._verdicts(frame["fraud"], self.path.name)
        else:
            frame = self._labelled(frame)
        if self.days:
            frame = frame[frame["known"] < exact[exact > 0].min() + self.days * 86_400e9]
        return frame

    def _ours(self, table: pd.DataFrame) -> pd.DataFrame:
        named = {name: ours for ours, name in self._columns.items() if name in table.columns}
        return table[list(named)].rename(columns=named)

    def _labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Payments with their labels of the other file, and when each became known."""
        file, labels = self.read_as[1][0], self._ours(self._labels)
        labels["fraud"], labels["id"] = self._verdicts(labels["fraud"], file), _ids(labels["id"]).astype(str)
        labels["told"] = self._moments(labels["time"], file) if "time" in labels else 0
        first = labels[labels["fraud"].notna()].sort_values("told", kind="stable").drop_duplicates("id")
        found = first.set_index("id").reindex(frame["id"].astype(str))
        told = found["told"].fillna(0).to_numpy(np.int64)
        frame["fraud"] = found["fraud"].to_numpy(object)
        frame["told"] = np.where(told > 0, told, frame["told"])
        return frame

    def _moments(self, column: pd.Series, file: str) -> np.ndarray:
        """Times as ns UTC; those without a zone are of the zone that COLUMNS names, and otherwise refused."""
        where = f"{self._columns['time']} of {file}"
        if column.dtype.kind == "M":  # as exact as any: also long ago
            naive = np.full(len(column), getattr(column.dtype, "tz", None) is None)
            exact = nanoseconds(column.dt.tz_localize("UTC") if naive.any() else column)
        else:
            text = texts(column)
            words = text.notna() & np.isnan(floats(text))
            naive = (words & ~text.str.fullmatch(ZONED, case=False).fillna(False)).to_numpy(bool)
            exact = read_moments(column, Clock().now(), where)
        if not self._zone and 2 * naive.sum() > naive.size - (exact <= 0).sum():
            raise Unreadable(f'{where} holds times without a zone: say which it is, such as COLUMNS={{"zone": "UTC"}}')
        return np.where(naive, in_zone(exact, self._zone) if self._zone else UNREADABLE, exact)

    def _verdicts(self, column: pd.Series, file: str) -> pd.Series:
        """Labels as the file has them, in lower case, missing where none is known yet; refused where half is read."""
        where = f"{self._columns['fraud']} of {file}"
        place, found = pd.factorize(texts(column) if column.dtype == object else column)
        known = texts(pd.Series(found)).str.lower().str.replace(r"\.0$", "", regex=True).astype(object)
        words = [None if pd.isna(word) or word in _UNTOLD else word for word in known]
        said = pd.Series(np.array([*words, None], object)[place], index=column.index)
        words = {word for word in words if word}
        if {"-1", "0"} <= words:
            raise Unreadable(f"{where} holds -1, 0 and 1: which one is unknown? leave the unknown ones blank")
        other = said.notna() & ~said.isin(VERDICTS)
        read = {VERDICTS[word] for word in words & VERDICTS.keys()}
        if other.any() and (other.mean() > 0.05 or len(read) < 2):
            row = int(np.flatnonzero(other)[0])
            raise Unreadable(
                f"{where} holds {said.iloc[row]!r} in row {row + 1}: a label is yes or no, true or false, 1 or 0, "
                "1 or -1, fraud or genuine, and blank where it is not known yet; write it so"
            )
        return said


def _ids(column: pd.Series) -> pd.Series:
    """Ids of payments; where most are texts, the number of each text."""
    if column.dtype.kind in "iu":
        return column
    text = texts(column)
    number = exact_numbers(column, text)[1]
    if 2 * (np.isfinite(number) & ~text.str.match(r"0\d", na=False)).sum() >= text.notna().sum():
        return text.where(np.isfinite(number)).str.replace(r"\.0$", "", regex=True).astype(object)
    return text.map(read_key, na_action="ignore").astype(object)


def open_payments(source: str = "cards", *, seed: int = 7, days: float = 0.0, delay: str = "", columns=None, **_):
    """Open a source by the text of the parameter SOURCE; ``days`` 0 and ``delay`` "" stand for its usual ones.

    Examples
    --------
    >>> open_payments("cards", days=30).name
    'cards:seed=7:days=30:cards=500:terminals=1000:delay=5d'
    """
    if source.strip() == "cards":
        return Cards(seed=seed, days=days or 90.0, delay=delay or "5d")
    return Recorded(source, delay=delay or "7d", days=days, columns=columns)


def catalogue() -> pd.DataFrame:
    """One row a source: what to write, and what it is.

    Examples
    --------
    >>> catalogue()["source"].tolist()
    ['cards', '<file>', '<file>,<file>']
    """
    return pd.DataFrame({"source": list(SOURCES), "meaning": list(SOURCES.values())})
