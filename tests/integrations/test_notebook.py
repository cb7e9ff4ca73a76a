"""A cell follows a stream, its plot moves, and it ends cleanly: after so many rows, so long, or when interrupted."""

import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from rtml.core.clock import ManualClock, span
from rtml.integrations.notebook import LiveStream, MovingPlot
from rtml.usecases.crypto.recordings.resampled import Resampled
from rtml.usecases.crypto.synthetic.market import Synthetic

NOTEBOOK = Path(__file__).parents[2] / "examples" / "live_stream.ipynb"
HISTORY = Synthetic(hours=0.1)


class Handle:
    """What a notebook gives for a figure that is shown."""

    def __init__(self, figure):
        self.figures = [figure]

    def update(self, figure):
        self.figures.append(figure)


class Endless:
    """A source that sends for ever, and is told when nobody listens any more."""

    name, symbols, rows = "endless", ("A",), 0
    schema = HISTORY.schema

    def __init__(self):
        self.stopped = threading.Event()

    def chunks(self, n=50_000):
        frame = next(HISTORY.chunks(10))
        while not self.stopped.is_set():
            yield frame

    def stop(self):
        self.stopped.set()


def test_it_ends_after_so_many_rows_with_the_same_rows_at_any_speed():
    made = Resampled(HISTORY, block="1m", jitter="1s")
    times = []
    for speed in (0, 5e5):
        with LiveStream(made, speed=speed, rows=401) as stream:
            times.append(np.concatenate([rows["time"] for rows in stream]))
        assert stream.rows == 401
    assert np.array_equal(*times)


def test_it_ends_when_its_time_is_up_and_tells_the_source():
    source, clock = Endless(), ManualClock()
    with LiveStream(source, speed=0, seconds=3, clock=clock) as stream:
        for _ in stream:
            clock.advance(span("1s"))
    assert stream.rows == 30 and source.stopped.is_set()


def test_an_interrupted_cell_ends_without_a_trace_and_any_other_error_is_shown():
    source = Endless()
    with LiveStream(source, speed=0) as stream:
        for _ in stream:
            raise KeyboardInterrupt
    assert source.stopped.is_set() and stream.rows == 10
    with pytest.raises(ZeroDivisionError), LiveStream(Endless(), speed=0):
        _ = 1 / 0


def test_it_can_be_stopped_from_another_thread_while_it_waits():
    stream = LiveStream(HISTORY, speed=1e-6)
    threading.Timer(0.1, stream.stop).start()
    assert sum(len(rows) for rows in stream) < HISTORY.rows


def test_the_plot_shows_the_newest_points_in_its_place_and_not_too_often():
    clock, shown = ManualClock(), []
    with MovingPlot(
        "price", points=50, every_s=1.0, clock=clock, show=lambda f: shown.append(Handle(f)) or shown[0]
    ) as plot:
        for i in range(40):
            plot.add([10 * i, 10 * i + 5], [float(i), np.nan if i % 2 else -float(i)])
            clock.advance(span("250ms"))
    assert len(shown) == 1 and plot.drawings == len(shown[0].figures) == 11, "ten seconds, and once at the end"
    line = shown[0].figures[-1].axes[0].lines[0]
    assert len(line.get_ydata()) == 50 and line.get_ydata()[-1] == 39.0


def test_the_notebook_runs_and_its_plot_has_moved():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += "\nROWS = 1500"
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": NOTEBOOK.parent}}
    ).execute()
    images = [
        out
        for cell in notebook.cells
        if cell.cell_type == "code"
        for out in cell.outputs
        if "image/png" in out.get("data", {})
    ]
    assert len(images) == 1 and "1,500 rows" in "".join(
        out.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs
    )
