"""Every figure draws, fits on its paper, says its units, and has something to say about nothing."""

import ast
import itertools
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import drift_figures
import fraud_figures
import learning_figures
import numpy as np
import pandas as pd
import pytest
import stage_figures
import training_figures
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image

from rtml.metrics import metrics
from rtml.metrics.confidence_sequence import confidence_sequence
from rtml.plots import figures, style
from rtml.usecases.crypto import figures as crypto_figures
from rtml.usecases.fraud import alert_figures
from rtml.usecases.fraud import figures as case_figures

S, N = 10**9, 2000
T0 = 1_767_571_200 * S
NAMES = ["rls", "sgd", "tree", "ridge_hourly", "ar1", "diverged", "zero"]


def random():
    return np.random.default_rng(5)


def moments(n=N):
    return T0 + np.arange(1, n + 1) * 10 * S


def bars(n=N):
    trades = random().poisson(np.where(np.arange(n) % 500 < 60, 0, 4))
    complete = (np.arange(n) // 30) % 40 != 7
    close = 3000 * np.exp(np.cumsum(random().normal(0, 2e-4, n)))
    columns = {"close": close, "volume": trades * 0.3, "empty": trades == 0, "complete": complete}
    return pd.DataFrame(columns, index=pd.to_datetime(moments(n), utc=True).rename("end"))


def features(n=N, count=17):
    X = random().normal(size=(n, count)) * (1 + (np.arange(n) > n / 2))[:, None]
    names = [f"feature_with_a_name_{i}" for i in range(count)]
    frame = pd.DataFrame(X, columns=names, index=pd.to_datetime(moments(n), utc=True))
    y = np.where(np.arange(n) % 97 == 5, np.nan, 0.3 * X[:, 0] + random().normal(size=n))
    return frame.assign(y=y, id=moments(n)), pd.DataFrame({"unit": "bp"}, index=names)


def predictions(n=N):
    y = random().standard_t(4, n) * 3
    y[10:20] = np.nan
    shares = dict(zip(NAMES, (0.3, 0.2, 0.15, 0.29, 0.0, 0.0, 0.0), strict=True))
    p = {name: share * np.nan_to_num(y) + share * random().normal(size=n) for name, share in shares.items()}
    return y, p | {"diverged": 30 * random().normal(size=n), "ar1": 0.1 * random().normal(size=n)}


def questions(n=40):
    y = np.where(np.arange(n) == 5, np.nan, 1.0)
    return SimpleNamespace(moment=moments(n), known=moments(n) + 25 * S, y=y)


def curves(n=N):
    y, p = predictions(n)
    return {name: (moments(n), metrics.cumulative("r2_zero", y, p[name])) for name in NAMES}


def versions(n=12):
    at = pd.to_datetime(T0 + np.arange(1, n + 1) * 3600 * S, utc=True)
    frame = pd.DataFrame({"number": np.arange(1, n + 1), "at": at})
    action = ["rollback" if i == 7 else "promote" for i in range(n)]
    return frame, pd.DataFrame(
        {"at": at, "action": action, "number": [i if a < "q" else 6 for i, a in enumerate(action, 1)]}
    )


def durations(n=3000):
    return random().lognormal(0, 0.4, n) * np.where(random().random(n) < 0.004, 12, 1)


def compared(n=N):
    y, p = predictions(n)
    return (moments(n), *confidence_sequence((y - p["rls"]) ** 2 - y**2))


def weights(n=24):
    index = pd.date_range("2026-01-05", periods=n, freq="1h", tz="UTC")
    columns = [f"feature_with_a_name_{i}" for i in range(15)]
    return pd.DataFrame(np.cumsum(random().normal(size=(n, 15)), axis=0), index, columns)


def costs():
    y, p = predictions()
    rows = {"r2_zero": {name: metrics.r2_zero(y, one) for name, one in p.items()}}
    return pd.DataFrame(rows).assign(cpu_seconds=np.geomspace(0.001, 40, len(p)), samples=np.arange(len(p)) * 1000)


def up(n=N):
    y, p = predictions(n)
    return metrics.calibration(metrics.sign_labels(y), 1 / (1 + np.exp(-p["rls"])))


DRAWN = {
    "market": lambda: crypto_figures.market(bars(), "ETH-USD"),
    "arrivals": lambda: figures.arrivals(
        {"ETH-USD": moments(), "BTC-USD": moments()}, {"late": moments(9), "in quarantine": moments(0)}
    ),
    "feature_panel": lambda: figures.feature_panel(*features()),
    "feature_label_correlation": lambda: figures.feature_label_correlation(features()[0], top=12),
    "delay_timeline": lambda: figures.delay_timeline(questions()),
    "score_over_time": lambda: figures.score_over_time(curves(), baseline=0.0),
    "windowed_r2": lambda: figures.windowed_r2(curves(), "1h", best=(moments(), np.full(N, 0.1))),
    "paired_difference": lambda: figures.paired_difference(*compared(), ("rls", "zero")),
    "calibration": lambda: figures.calibration(up()),
    "cost_quality": lambda: figures.cost_quality(costs()),
    "predicted_realised": lambda: crypto_figures.predicted_realised(
        predictions()[0], predictions()[1]["rls"], cost_bp=10
    ),
    "versions": lambda: figures.versions(*versions(), score=(moments(), np.full(N, 0.1))),
    "weights_over_time": lambda: figures.weights_over_time(weights()),
    "truth_vs_learned": lambda: crypto_figures.truth_vs_learned((moments(), np.ones(N)), curves()["rls"]),
    "latency": lambda: figures.latency(durations(), budget_ms=100),
    "swaps": lambda: figures.swaps(np.arange(3000) / 500, durations(), np.arange(3000) // 600),
}
MODULES = ["data", "scores", "live", "advice", "comparison", "history", "intervals"]
one, none = slice(0, 1), slice(0, 0)
NOTHING = {
    "market": lambda: crypto_figures.market(bars(0)),
    "arrivals": lambda: figures.arrivals({"events": []}, {"late": []}),
    "feature_label_correlation": lambda: figures.feature_label_correlation(features()[0].iloc[none]),
    "delay_timeline": lambda: figures.delay_timeline(questions(0)),
    "score_over_time": lambda: figures.score_over_time({"rls": (moments(3), [np.nan] * 3)}),
    "windowed_r2": lambda: figures.windowed_r2({}),
    "paired_difference": lambda: figures.paired_difference(*compared(50)),
    "calibration": lambda: figures.calibration(metrics.calibration([], [])),
    "cost_quality": lambda: figures.cost_quality(costs().iloc[none]),
    "predicted_realised": lambda: crypto_figures.predicted_realised([np.nan], [1.0]),
    "versions": lambda: figures.versions(versions()[0].iloc[none]),
    "weights_over_time": lambda: figures.weights_over_time(weights(0)),
    "truth_vs_learned": lambda: crypto_figures.truth_vs_learned((moments(1), [np.nan]), (moments(1), [np.nan])),
    "latency": lambda: figures.latency([]),
    "swaps": lambda: figures.swaps([], [], []),
}
LITTLE = {
    "market": lambda: crypto_figures.market(bars(1)),
    "arrivals": lambda: figures.arrivals({"events": moments(1)}),
    "feature_panel": lambda: figures.feature_panel(features(1)[0], features()[1].iloc[:4]),
    "feature_label_correlation": lambda: figures.feature_label_correlation(features(8)[0]),
    "delay_timeline": lambda: figures.delay_timeline(questions(1)),
    "score_over_time": lambda: figures.score_over_time({"rls": (moments(1), [0.1])}, baseline="rls"),
    "windowed_r2": lambda: figures.windowed_r2({"zero": (moments(3), [np.nan, 0.0, 0.0])}),
    "paired_difference": lambda: figures.paired_difference(*compared(120)),
    "calibration": lambda: figures.calibration(metrics.calibration([1, 0], [0.5, 0.5])),
    "cost_quality": lambda: figures.cost_quality(costs().iloc[one]),
    "predicted_realised": lambda: crypto_figures.predicted_realised([1.0, -1.0] * 10, [0.0] * 20),
    "versions": lambda: figures.versions(versions(1)[0]),
    "weights_over_time": lambda: figures.weights_over_time(weights(1)),
    "truth_vs_learned": lambda: crypto_figures.truth_vs_learned((moments(1), [1.0]), (moments(1), [np.nan])),
    "latency": lambda: figures.latency([1.0]),
    "swaps": lambda: figures.swaps([0.0], [1.0], [1]),
}
for others in (fraud_figures, learning_figures):
    DRAWN |= others.DRAWN
    NOTHING |= others.NOTHING
    LITTLE |= others.LITTLE
every_figure = pytest.mark.parametrize("name", DRAWN)


@pytest.fixture(scope="module")
def drawn():
    """Each figure drawn once, with its layout done."""
    made = {name: draw() for name, draw in DRAWN.items()}
    for figure in made.values():
        figure.draw_without_rendering()
    return made


def texts(figure):
    """All texts that are seen, with the boxes they take (pixels)."""
    hidden = {id(label) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in _beyond(axis)}
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [(t, t.get_window_extent()) for t in found if t.get_text().strip() and id(t) not in hidden]


def _beyond(axis):
    """Labels of ticks beyond the limits of an axis: matplotlib keeps them and does not draw them."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    for tick in axis.get_major_ticks() + axis.get_minor_ticks():
        if not low - slack <= tick.get_loc() <= high + slack:
            yield from (tick.label1, tick.label2)


@every_figure
def test_a_figure_fits_on_its_paper(drawn, name):
    paper = drawn[name].bbox
    for text, box in texts(drawn[name]):
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= paper.x1 + 1 and box.y1 <= paper.y1 + 1, text.get_text()


@every_figure
def test_no_text_touches_another(drawn, name):
    for (a, box), (b, other) in itertools.combinations(texts(drawn[name]), 2):
        width = min(box.x1, other.x1) - max(box.x0, other.x0)
        height = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert width <= 1 or height <= 3, f"{a.get_text()!r} touches {b.get_text()!r}"


@every_figure
def test_text_is_large_enough_to_read(drawn, name):
    assert min(text.get_fontsize() for text, _ in texts(drawn[name])) >= 9
    assert drawn[name].get_size_inches()[0] <= style.WIDTH


@every_figure
def test_axes_say_what_they_show_and_the_title_asks(drawn, name):
    figure = drawn[name]
    assert figure.get_suptitle().endswith("?")
    assert figure.get_supxlabel() or any(ax.get_xlabel() for ax in figure.axes)
    assert any(ax.get_ylabel() or ax.get_title("left") or ax.get_yticklabels()[0].get_text() for ax in figure.axes)


@pytest.mark.parametrize("name", ["market", "score_over_time"])
def test_a_figure_is_small_and_the_same_bytes_each_time(name):
    made = []
    for _ in range(2):
        DRAWN[name]().savefig(blob := BytesIO(), format="svg", metadata={"Date": None})
        made.append(blob.getvalue())
    assert made[0] == made[1]
    assert len(made[0]) < 900_000


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_said_to_be_nothing(name):
    figure = NOTHING[name]()
    figure.set_layout_engine("none")
    figure.draw_without_rendering()
    assert any(word in text.get_text() for text, _ in texts(figure) for word in ("no ", "too few"))


@every_figure
def test_a_single_row_is_drawn(name):
    figure = LITTLE[name]()
    figure.set_layout_engine("none")  # the layout is the slow part, and tested above
    figure.draw_without_rendering()


def test_a_notebook_shows_a_figure_as_the_value_of_its_cell():
    png, size = DRAWN["latency"]()._repr_png_()
    picture = Image.open(BytesIO(png))
    assert (size["width"], picture.width) == (960, 1300)
    assert picture.mode == "P" and len(png) < 60_000, "a palette keeps notebooks and reports small"
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["score_over_time"])
def test_the_style_of_the_notebook_does_not_matter(name):
    import matplotlib

    with matplotlib.rc_context({"font.size": 40, "axes.facecolor": "black", "svg.hashsalt": "other"}):
        DRAWN[name]().savefig(dark := BytesIO(), format="svg", metadata={"Date": None})
    DRAWN[name]().savefig(plain := BytesIO(), format="svg", metadata={"Date": None})
    assert dark.getvalue() == plain.getvalue()


def test_matplotlib_is_loaded_by_the_first_figure_and_pyplot_never():
    code = (
        "import sys; from rtml.plots import figures; assert 'matplotlib' not in sys.modules;"
        "figures.latency([1.0, 2.0])._repr_png_(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_public_function_is_listed_and_tested():
    package = Path(style.__file__).parent
    listed = public([package / f"{module}.py" for module in MODULES])
    assert listed == set(figures.__all__)
    elsewhere = (crypto_figures, case_figures, alert_figures, stage_figures, drift_figures, training_figures)
    others = public([Path(module.__file__) for module in elsewhere])
    assert listed | others == set(DRAWN) == set(LITTLE)


def public(files):
    """Names of the functions of modules that do not begin with an underscore."""
    nodes = [node for file in files for node in ast.parse(file.read_text()).body]
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}


def test_a_missing_column_is_said_with_those_there_are():
    with pytest.raises(LookupError, match="market needs the columns empty, complete; there are: close, volume"):
        crypto_figures.market(bars()[["close", "volume"]])
    with pytest.raises(ValueError, match=r"nothing to draw: 0 rows"):
        figures.feature_panel(features()[0].iloc[none], features()[1])


@given(values=st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=1, max_size=900), points=st.integers(4, 200))
def test_a_thinned_line_keeps_its_ends_its_lowest_and_its_highest_value(values, points):
    time, shown = style.thin(moments(len(values)), values, points)
    assert len(shown) <= points + 2 or len(shown) == len(values)
    assert (np.diff(time.astype("i8")) > 0).all()
    assert (time[0], time[-1]) == (moments(1).astype("M8[ns]")[0], moments(len(values)).astype("M8[ns]")[-1])
    if not np.isnan(values).all():
        assert (np.nanmin(shown), np.nanmax(shown)) == (np.nanmin(values), np.nanmax(values))


@given(wanted=st.lists(st.floats(0, 1), min_size=1, max_size=12).map(sorted), gap=st.floats(0.01, 0.08))
def test_labels_are_apart_in_order_and_do_not_move_without_need(wanted, gap):
    placed = style.spread(np.array(wanted), gap)
    assert (np.diff(placed) >= gap - 1e-9).all()
    if (np.diff(wanted) >= gap).all():
        np.testing.assert_allclose(placed, wanted, atol=1e-9)


def test_limits_leave_out_the_wild_start_and_the_model_that_diverged():
    calm = 0.05 + 0.01 * random().normal(size=500)
    calm[:20] = -300
    low, high = style.robust_limits([calm, calm + 0.01, np.full(500, -25.0)], include=[0.0])
    assert -0.1 < low < 0 and 0.08 < high < 0.3


def test_a_model_that_diverged_is_still_named_with_its_value(drawn):
    labels = [text.get_text() for text, _ in texts(drawn["score_over_time"])]
    assert any(label.startswith("diverged ▼") for label in labels)


def test_a_model_has_one_colour_in_all_figures():
    assert style.colours(["zero", "rls"])["rls"] == style.colours(["rls", "mine"])["rls"]
    many = style.colours([f"model {i}" for i in range(8)])
    assert len(set(many.values())) == 8


SIGHT = {  # what is seen of linear red, green, blue (Machado, Oliveira and Fernandes 2009, full severity)
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


@pytest.mark.parametrize("sight", SIGHT)
def test_colour_blind_eyes_tell_the_models_apart(sight):
    paint = style.colours(["rls", "sgd", "tree", "ridge_hourly", "ar1", "zero"])
    seen = {}
    for name, colour in paint.items():
        value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        seen[name] = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1) ** (1 / 2.2)
    for a, b in itertools.combinations(paint, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 0.12, (a, b)
