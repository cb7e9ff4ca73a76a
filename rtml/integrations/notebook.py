"""A live stream in a notebook's cell: rows as they become due, a plot that moves, and a clean end.

>>> with LiveStream(source, speed=60, seconds=5) as stream, MovingPlot("price") as plot:  # doctest: +SKIP
...     for rows in stream:
...         plot.add(rows["time"], rows["price"])
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import pandas as pd

from rtml.core.clock import Clock
from rtml.plots.style import BLUE, canvas, styled
from rtml.sources.pacing import Paced
from rtml.sources.protocol import Source


class LiveStream:
    """Rows of a source as they become due: of an exchange as they come, of a recording at a speed.

    Leaving the ``with`` block stops it and whatever waits; so does interrupting the cell, which then ends without a
    trace.

    Parameters
    ----------
    source
        Of :func:`rtml.open_source`, or a :class:`rtml.usecases.crypto.recordings.resampled.Resampled` one.
    speed
        Of a recording: 1 as it happened, 60 a minute each second, 0 as fast as possible.
    seconds
        How long to follow it, of the machine's time; 0: to its end.
    rows
        How many rows to follow it, 0: to its end. The same rows whatever the machine does.

    Examples
    --------
    >>> from rtml.usecases.crypto.synthetic.market import Synthetic
    >>> with LiveStream(Synthetic(hours=0.1), speed=0, rows=500) as stream:
    ...     sum(len(frame) for frame in stream)
    500
    """

    def __init__(
        self, source: Source, *, speed: float = 1.0, seconds: float = 0.0, rows: int = 0, clock: Clock | None = None
    ) -> None:
        self._source, self._most, self._clock, self._stop = source, rows, clock or Clock(), threading.Event()
        self._paced, self._seconds = Paced(speed, self._clock, self._stop), seconds
        self.rows = 0  #: that came so far

    def __iter__(self) -> Iterator[pd.DataFrame]:
        start = self._clock.elapsed()
        for chunk in self._source.chunks(2_000):
            for frame in self._paced.pieces(chunk):
                frame = frame.iloc[: self._most - self.rows] if self._most else frame
                self.rows += len(frame)
                yield frame
                late = self._seconds and self._clock.elapsed() - start >= self._seconds * 1e9
                if late or self._stop.is_set() or (self._most and self.rows >= self._most):
                    return

    def stop(self) -> None:
        """End it: a loop over it ends with the frame that it has."""
        self._stop.set()
        getattr(self._source, "stop", lambda: None)()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> bool:
        self.stop()
        return kind is KeyboardInterrupt


class MovingPlot:
    """A curve that is drawn again in its place while points come.

    Parameters
    ----------
    title, unit
        What it shows, and the unit of its values.
    points
        How many of the newest are shown.
    every_s
        Shortest time between two drawings, seconds.
    show
        Shows a figure and gives what updates it; IPython's display unless given.
    """

    def __init__(
        self,
        title: str,
        unit: str = "",
        *,
        points: int = 2_000,
        every_s: float = 0.2,
        show: Callable[[Any], Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._title, self._unit, self._every_s = title, unit, every_s
        self._times: deque[int] = deque(maxlen=points)
        self._values: deque[float] = deque(maxlen=points)
        self._show, self._clock, self._handle, self._drawn_at = show or _displayed, clock or Clock(), None, 0
        self.drawings = 0  #: how often it was drawn

    def add(self, times: Any, values: Any) -> None:
        """Take points, times in ns, and draw if it is time to; what is no number is left out."""
        values = np.asarray(values, float)
        there = np.isfinite(values)
        self._times.extend(np.asarray(times, np.int64)[there].tolist())
        self._values.extend(values[there].tolist())
        if not self.drawings or self._clock.elapsed() - self._drawn_at >= self._every_s * 1e9:
            self.draw()

    @property
    def figure(self) -> Any:
        """The newest points as a figure."""
        return _curve(self._title, self._unit, np.array(self._times, "datetime64[ns]"), np.array(self._values))

    def draw(self) -> None:
        """Draw it now, in its place."""
        if self._handle is None:
            self._handle = self._show(self.figure)
        else:
            self._handle.update(self.figure)
        self.drawings, self._drawn_at = self.drawings + 1, self._clock.elapsed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._values:
            self.draw()


def _displayed(figure: Any) -> Any:
    from IPython.display import display

    return display(figure, display_id=True)


@styled
def _curve(title: str, unit: str, times: np.ndarray, values: np.ndarray) -> Any:
    figure, [[axes]] = canvas(title, 1, 1, 3.0)
    axes.plot(times, values, color=BLUE)
    axes.set(ylabel=unit, xlabel="event time, UTC")
    return figure
