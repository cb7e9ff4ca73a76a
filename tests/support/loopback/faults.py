"""What goes wrong on command."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Rest:
    """What the next REST requests get instead of an answer."""

    n: int
    status: int = 200
    body: str = ""
    headers: dict = field(default_factory=dict)
    content: str = "application/json"
    abort: bool = False
    delay: float = 0.0
    only: str = ""  # a word that the path must hold


@dataclass
class Faults:
    """The state of everything that is broken now."""

    rest: Rest | None = None
    stall: bool = False  # the socket stays open, nothing is sent, no pong either
    refuse: int = 0  # HTTP status of websocket handshakes
    refuse_headers: dict = field(default_factory=dict)
    reject: str = ""  # why subscriptions are rejected
    rejections: int = 0  # how many
    mute: bool = False  # subscriptions are not answered at all
    skip: int = 0  # trades that the websocket leaves out
    lag: float = 0.0  # seconds of the tape that REST is behind
    shuffle: bool = False  # the trades of a message come in another order

    def clear(self) -> None:
        """Mend everything."""
        self.__init__()
