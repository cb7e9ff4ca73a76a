"""Figures of how versions came to be and to serve: the lineage as a graph, the loop as a line of time (notebook 04)."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    PURPLE,
    RED,
    canvas,
    need,
    nothing,
    styled,
    time_axis,
    times,
)

_LANES = (  # what the loop shows, from top to bottom: kind, words, colour
    ("alert", "alert", ORANGE),
    ("trigger", "trigger", RED),
    ("version", "version saved", GREY),
    ("shadow", "comparison begins", BLUE),
    ("promoted", "promoted", GREEN),
    ("refused", "refused", PURPLE),
    ("given up", "given up", LIGHT),
    ("promote by a person", "by a person", INK),
    ("rolled back", "rolled back", RED),
)
_NAMED = ("promoted", "promote by a person", "rolled back")


@styled
def lineage(graph: dict, title: str = "Which version came from which, and which of them served?"):
    """Versions as points over event time, parents joined to children, those that served above, in order of serving.

    Parameters
    ----------
    graph
        ``lineage.graph(registry, model)``.

    Examples
    --------
    >>> node = {"name": "eth@1", "at": 0, "kept": True, "served": [{"from": 0, "until": None}]}
    >>> child = {"name": "eth@2", "at": 60 * 10**9, "kept": True, "served": []}
    >>> edges = [{"from": "eth@1", "to": "eth@2", "kind": "data"}]
    >>> ax = lineage({"nodes": [node, child], "edges": edges, "served": [{"at": 0, "version": "eth@1"}]}).axes[0]
    >>> [text.get_text() for text in ax.texts], len(ax.lines)  # the line of the parent, the bar of the one that served
    (['eth@1'], 2)
    """
    nodes = graph["nodes"]
    figure, [[ax]] = canvas(title, height=4.2)
    if not nodes:
        nothing(ax, "no version was saved yet")
        return figure
    names = {node["name"] for node in nodes}  # the learner, which is no version, serves without a point of its own
    order = list(dict.fromkeys(act["version"] for act in graph["served"] if act["version"] in names))
    height = {node["name"]: order.index(node["name"]) + 1 if node["name"] in order else 0 for node in nodes}
    at = {node["name"]: pd.Timestamp(node["at"], tz="UTC") for node in nodes}
    _parents(ax, graph["edges"], at, height)
    last = max([*at.values(), *(pd.Timestamp(act["at"], tz="UTC") for act in graph["served"])])
    _served(ax, nodes, height, last)
    for kept, face in ((True, BLUE), (False, "white")):
        some = [node["name"] for node in nodes if node["kept"] is kept]
        ax.scatter([at[n] for n in some], [height[n] for n in some], s=26, color=face, edgecolor=BLUE, zorder=3)
    for name in order[:: -(-len(order) // 18) or 1]:  # more names would touch
        ax.annotate(name, (at[name], height[name]), xytext=(-6, 5), textcoords="offset points", ha="right", fontsize=9)
    ax.set_yticks([0], ["never served"])
    ax.set_ylim(-0.6, len(order) + 0.9)
    ax.set_title("point: version · grey: parent to child, red: other model · green: serves · hollow: state collected")
    time_axis(ax, times(pd.DatetimeIndex([min(at.values()), last])))
    return figure


@styled
def loop(timeline: pd.DataFrame):
    """What happened over event time, one lane a kind, and which version served.

    Parameters
    ----------
    timeline
        ``rtml.usecases.crypto.rehearsal.timeline(...)``: ``at``, ``kind``, ``version``, ``serving``.

    Examples
    --------
    >>> at = pd.date_range("2025-01-31", periods=3, freq="h", tz="UTC")
    >>> rows = {"at": at, "kind": ["version", "shadow", "promoted"], "version": "eth@2"}
    >>> ax = loop(pd.DataFrame(rows | {"serving": ["nothing", "nothing", "eth@2"]})).axes[0]
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['serving', 'promoted', 'comparison begins', 'version saved']
    """
    need(timeline, ("at", "kind", "version", "serving"), "loop")
    figure, [[ax]] = canvas("From drift to a better version, and back from a mistake: when?", height=4.6)
    lanes = [lane for lane in _LANES if (timeline["kind"] == lane[0]).any()]
    if not lanes:
        nothing(ax, "no event yet")
        return figure
    for y, (kind, _, colour) in enumerate(lanes[::-1], start=1):
        shown = timeline[timeline["kind"] == kind]
        ax.scatter(shown["at"], np.full(len(shown), y), color=colour, s=34, marker="|" if kind == "version" else "o")
        if kind in _NAMED:
            _numbers(ax, shown, y, (timeline["at"].iloc[-1] - timeline["at"].iloc[0]) / 40)
    turns = timeline[timeline["serving"].ne(timeline["serving"].shift())]
    ends = [*turns["at"].iloc[1:], timeline["at"].iloc[-1]]
    for i, (start, end, serving) in enumerate(zip(turns["at"], ends, turns["serving"], strict=True)):
        if serving != "nothing":
            ax.plot([start, end], [0, 0], color=GREEN if i % 2 else BLUE, lw=7, solid_capstyle="butt")
    ax.set_yticks(range(len(lanes) + 1), ["serving", *(words for _, words, _ in lanes[::-1])])
    ax.set_ylim(-0.7, len(lanes) + 0.9)
    ax.set_title("numbers: versions; the bar below changes its colour whenever another version serves")
    time_axis(ax, times(pd.DatetimeIndex(timeline["at"].iloc[[0, -1]])))
    return figure


def _parents(ax, edges: list[dict], at: dict, height: dict) -> None:
    """A line from every parent to its child."""
    for edge in edges:
        ends = (edge["from"], edge["to"])
        if edge["from"] in at:
            colour = RED if edge["kind"] == "model" else LIGHT
            ax.plot([at[name] for name in ends], [height[name] for name in ends], color=colour, lw=1.1, zorder=1)


def _numbers(ax, shown: pd.DataFrame, y: int, apart: pd.Timedelta) -> None:
    """The numbers of versions above their points, as many as do not touch."""
    last = None
    for at, version in zip(shown["at"], shown["version"], strict=True):
        if last is None or at - last >= apart:
            place = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 9}
            ax.annotate(version.rpartition("@")[2], (at, y), **place)
            last = at


def _served(ax, nodes: list[dict], height: dict, last: pd.Timestamp) -> None:
    """Bars over the times in which each version served."""
    for node in nodes:
        for turn in node["served"]:
            until = pd.Timestamp(turn["until"], tz="UTC") if turn["until"] is not None else last
            span = [pd.Timestamp(turn["from"], tz="UTC"), until]
            ax.plot(span, [height[node["name"]]] * 2, color=GREEN, lw=5, alpha=0.55, solid_capstyle="butt", zorder=2)
