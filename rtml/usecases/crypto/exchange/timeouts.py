"""How long a live source waits for what, and how it waits between two tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait.

    ``dead``: a socket without any frame is dead; ``answer``: a subscription must be answered; ``start``: the exchange
    must be reached; ``fill``: a hole must be filled before it is given up; ``tick``: between pings, and so ticks, of a
    quiet market (Binance hangs up at six messages a second); ``longest``: between two tries, unless the exchange asks
    for more; ``beat``: between two looks at all that.

    Examples
    --------
    >>> Timeouts(longest=2.0).pause(tries=9)
    2.0
    """

    dead: float = 3.0
    answer: float = 5.0
    start: float = 30.0
    fill: float = 60.0
    tick: float = 0.3
    longest: float = 10.0
    beat: float = 0.05

    def pause(self, tries: int, asked: float = 0.0) -> float:
        """Seconds before try number ``tries``: each twice the one before; an exchange may ask for up to a minute.

        Examples
        --------
        >>> [Timeouts().pause(tries) for tries in (1, 2, 9)], Timeouts().pause(1, asked=30)
        ([0.1, 0.2, 10.0], 30)
        """
        return max(min(self.longest, 0.05 * 2 ** min(tries, 20)), min(asked, 60))
