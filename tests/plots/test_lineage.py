"""The lineage and the loop as figures: what is drawn is what the registry and the story say."""

import pandas as pd

from rtml.plots import figures

MINUTE = 60 * 10**9


def graph():
    nodes = [
        {"name": f"eth@{n}", "at": n * MINUTE, "served": [], "kept": n != 2, "parent": None, "id": str(n)}
        for n in (1, 2, 3)
    ]
    nodes[0]["served"], nodes[2]["served"] = (
        [{"from": MINUTE, "until": 4 * MINUTE}],
        [{"from": 4 * MINUTE, "until": None}],
    )
    edges = [
        {"from": "eth@1", "to": "eth@2", "kind": "data"},
        {"from": "eth@2", "to": "eth@3", "kind": "model"},
    ]
    served = [{"at": MINUTE, "version": "eth@1"}, {"at": 4 * MINUTE, "version": "eth@3"}]
    return {"nodes": nodes, "edges": edges, "served": served}


def test_every_version_edge_and_turn_is_drawn_and_those_that_served_are_named():
    ax = figures.lineage(graph()).axes[0]
    assert [text.get_text() for text in ax.texts] == ["eth@1", "eth@3"]
    assert len(ax.lines) == 2 + 2 and sum(len(c.get_offsets()) for c in ax.collections) == 3
    heights = {tuple(c.get_offsets()[i])[1] for c in ax.collections for i in range(len(c.get_offsets()))}
    assert heights == {0, 1, 2}


def test_a_lineage_without_a_version_says_so():
    figure = figures.lineage({"nodes": [], "edges": [], "served": []})
    assert "no version was saved yet" in figure.axes[0].texts[0].get_text()


def test_the_loop_shows_what_happened_in_lanes_and_what_served():
    at = pd.to_datetime([0, MINUTE, 2 * MINUTE, 3 * MINUTE], utc=True)
    story = pd.DataFrame({"at": at, "kind": ["promoted", "alert", "trigger", "promoted"]})
    story["version"], story["serving"] = ["eth@1", "", "", "eth@2"], ["eth@1", "eth@1", "eth@1", "eth@2"]
    ax = figures.loop(story).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["serving", "promoted", "trigger", "alert"]
    assert [text.get_text() for text in ax.texts] == ["1", "2"] and len(ax.lines) == 2
