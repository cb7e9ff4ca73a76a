"""Spam: is this message one? A text classified, with verdicts that readers give hours later, or never.

make run-all USE_CASE=examples/spam.py
"""

import numpy as np
import pandas as pd

from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, column
from rtml.integrations.text import Text, hashed_words
from rtml.sources.protocol import pieces
from rtml.sources.records import Records, schema_of
from rtml.usecases.by_id import ById

#: The words of a message as 64 numbers; ``Text("text")`` alone takes a small language model instead (rtml[text]).
TEXT = Text("text", hashed_words, "words", size=64)
#: Two events a message: it arrives (``spam`` is missing), and a reader says what it was.
EVENT = np.dtype(
    [("time", "<i8"), ("id", "<i8"), ("sender", "<f8"), ("spam", "<f8"), *((c, "<f8") for c in TEXT.columns)]
)
HOUR = 3600 * 10**9

FEATURES = [
    *TEXT.features(),
    Feature("sent_1d", column("sender").over("24h", "count"), "count", "messages of the last day"),
    Feature("sender", column("sender"), "0/1", "the sender has written before"),
]
GOOD = ["meeting", "lunch", "report", "friday", "thanks", "project", "draft", "review", "call", "tomorrow"]
BAD = [["prize", "winner", "free", "money", "claim", "click"], ["crypto", "wallet", "verify", "account", "urgent"]]


class Mailbox:
    """Twenty days of a seeded mailbox: a fifth is spam, and half way spam comes to speak of other things."""

    symbols, schema = ("",), schema_of(EVENT)

    def __init__(self, seed: int = 7, days: int = 20, messages: int = 150) -> None:
        self.name, self.rows = f"mailbox:seed={seed}", 0
        self._random, self._days, self._messages = np.random.default_rng(seed), days, messages

    def chunks(self, n: int = 50_000):
        """Raw rows in order of time."""
        r, number = self._random, self._days * self._messages
        time = 1_735_689_600 * 10**9 + np.sort(r.integers(0, self._days * 24 * 3600, number)) * 10**9
        spam = r.random(number) < 0.2
        words = [[*r.choice(GOOD, 2), *r.choice(BAD[i > number // 2] if s else GOOD, 3)] for i, s in enumerate(spam)]
        known = (r.random(number) < np.where(spam, 0.2, 0.6)).astype(float)
        message = {"time": time, "id": np.arange(number), "sender": known, "text": [" ".join(w) for w in words]}
        arrived = pd.DataFrame(message).assign(spam=np.nan)
        told = arrived.assign(time=time + r.integers(1, 30, number) * HOUR, spam=spam.astype(float))
        table = pd.concat([arrived, told[r.random(number) < 0.8]]).sort_values("time", kind="stable")
        for piece in pieces(table, n):
            yield pd.DataFrame(TEXT.expand(piece))


class Messages(Records):
    """A recording with the columns time, id, sender, text and spam (empty where a message arrives)."""

    def _named(self, event, columns):
        from rtml.sources.tables import read

        return pd.DataFrame(TEXT.expand(read(self.path).whole(self.path.name).rename(columns=dict(columns))))


def source(name: str = "", *, symbols=(), columns=None, seed: int = 7, **_):
    """The seeded mailbox, or a recording."""
    return Messages(name, EVENT, symbols, columns) if name else Mailbox(seed)


use_case = UseCase(
    name="spam",
    question="Is this message spam?",
    event=EVENT,
    operator=lambda config: ById(FEATURES, [*TEXT.columns, "sender"], "spam", timeout="7d"),
    targets=(Target("spam", "probability"),),
    models={"spam": "recursive_logistic"},
    source=source,
)
