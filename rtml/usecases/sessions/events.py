"""Clicks as events: what a row must hold to become one, and how an item id of any text becomes a number."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.later import pd
from rtml.sources.columns import UNREADABLE, Schema, codes, integers, numbers, read_moment

VIEW, CART, PURCHASE = range(3)
ACTIONS = dict.fromkeys(("view", "click", "clicks", "pageview", "page_view", "view_item", "pv"), VIEW)
ACTIONS |= dict.fromkeys(("cart", "carts", "addtocart", "add_to_cart"), CART)
ACTIONS |= dict.fromkeys(("purchase", "buy", "order", "orders", "transaction"), PURCHASE)

#: One event. ``time`` is ns UTC; ``session``, ``visitor``, ``item`` and ``category`` are numbers of ids (see
#: :func:`number_of`), -1 where there is none; ``price`` is NaN where it is not known.
EVENT = np.dtype(
    [
        ("time", "<i8"),
        ("session", "<i8"),
        ("visitor", "<i8"),
        ("item", "<i8"),
        ("category", "<i8"),
        ("price", "<f8"),
        ("action", "i1"),
    ]
)

#: The columns of a raw row, with what each must hold.
COLUMNS = {
    "time": "ns UTC as an integer, or a date and time with its zone",
    "session": "an id of any text; may be missing where a visitor is given",
    "visitor": "an id of any text; may be missing where a session is given",
    "item": "an id of any text: what was clicked",
    "category": "an id of any text, or nothing",
    "price": "a number of zero or more, or nothing",
    "action": "view (also when missing), cart or purchase",
}

WORDS = 1 << 52  # numbers from here on stand for ids that are no whole numbers


def clicks(time, *, session=-1, visitor=-1, item=0, category=-1, price=np.nan, action=VIEW) -> np.ndarray:
    """Build an array of events from columns; a scalar stands for every row.

    Examples
    --------
    >>> clicks([10, 20], visitor=1, item=[7, 8])["item"]
    array([7, 8])
    """
    rows = np.empty(len(time), EVENT)
    columns = dict(time=time, session=session, visitor=visitor, item=item, category=category, price=price)
    for name, column in (columns | {"action": action}).items():
        rows[name] = column
    return rows


def number_of(id: object) -> int:
    """Number below 2**53 of an id of any text: exact as a float, and the same in every process; -1 for none.

    A whole number below 2**52 stands for itself, and so does an integer from there to 2**53, which is the number of a
    text; any other text gets 52 bits of its BLAKE2 hash. Of a million texts two have the same number with a chance of
    1 in 9,000.

    Examples
    --------
    >>> number_of("214821026"), number_of(214821026.0), number_of("red shoes 38") == number_of(" red shoes 38")
    (214821026, 214821026, True)
    """
    if id is None or id is pd.NA or id is pd.NaT or (isinstance(id, float) and id != id):
        return -1
    if isinstance(id, float | np.floating) and float(id).is_integer():
        id = int(id)
    if isinstance(id, int | np.integer) and WORDS <= id < 2 * WORDS:
        return int(id)
    text = str(id).strip()
    if text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < WORDS:
        return int(text)
    hashed = int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()) & (WORDS - 1)
    return WORDS + hashed if text else -1


def numbers_of(column: pd.Series | None, n: int) -> np.ndarray:
    """Numbers of a column of ids, -1 where one is missing.

    Examples
    --------
    >>> numbers_of(pd.Series([12, 7]), 2), numbers_of(None, 2)
    (array([12,  7]), array([-1, -1]))
    """
    if column is None:
        return np.full(n, -1, np.int64)
    if column.dtype.kind == "i" and len(column) and column.min() >= 0 and column.max() < WORDS:
        return column.to_numpy(np.int64)
    try:
        places, ids = pd.factorize(column)
    except TypeError:  # a list or a dict where an id belongs
        places, ids = pd.factorize(column.map(str))
    return np.array([*(number_of(id) for id in ids), -1], np.int64)[places]


@dataclass(frozen=True)
class _Raw:
    """The columns of a raw frame as arrays, whatever they held."""

    time: np.ndarray
    session: np.ndarray
    visitor: np.ndarray
    item: np.ndarray
    category: np.ndarray
    price: np.ndarray
    action: np.ndarray

    @classmethod
    def parse(cls, frame: pd.DataFrame, _) -> _Raw:
        n = len(frame)
        return cls(
            time=integers(frame.get("time"), n, read_moment, missing=UNREADABLE),
            price=numbers(frame.get("price"), n),
            action=codes(frame.get("action"), ACTIONS, n, missing=VIEW),
            **{name: numbers_of(frame.get(name), n) for name in ("session", "visitor", "item", "category")},
        )

    def faults(self):
        """Reasons in the order in which they are looked for, each with the rows it holds for."""
        yield "time is missing or not a moment", self.time == UNREADABLE
        yield "time is out of range", (self.time <= 0) | (self.time == NEVER)
        yield "item is missing", self.item < 0
        yield "neither a session nor a visitor is given", (self.session < 0) & (self.visitor < 0)
        yield "price is negative or infinite", ~np.isnan(self.price) & ~((self.price >= 0) & np.isfinite(self.price))
        yield "action is not view, cart or purchase", self.action < 0

    def events(self) -> np.ndarray:
        ids = dict(session=self.session, visitor=self.visitor, item=self.item, category=self.category)
        return clicks(self.time, **ids, price=self.price, action=self.action)


def texts_of(frame: pd.DataFrame) -> dict[int, str]:
    """Texts of items and categories that are no whole numbers, by the number that stands for each.

    Examples
    --------
    >>> list(texts_of(pd.DataFrame({"item": ["shoe", "12", "shoe"]})).values())
    ['shoe']
    """
    found: dict[int, str] = {}
    for column in (frame[name] for name in ("item", "category") if name in frame and frame[name].dtype.kind != "i"):
        texts = {str(id).strip() for id in column.dropna().drop_duplicates()}
        found |= {number: text for text in texts if str(number := number_of(text)) != text}
    return found


CLICKS = Schema("clicks", COLUMNS, _Raw.parse, texts=texts_of)
