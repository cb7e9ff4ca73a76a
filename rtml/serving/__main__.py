"""Keep a run's champion up behind HTTP: ``python -m rtml.serving --run latest``."""

from __future__ import annotations

import argparse
import sys

from rtml.dataset import Dataset
from rtml.recipe import Recipe
from rtml.registry import Registry
from rtml.run import Run, run_folder, shown
from rtml.serving.app import make_app
from rtml.serving.endpoint import serve_forever
from rtml.serving.feed import Feed
from rtml.serving.follower import Follower
from rtml.serving.service import Service


def main(arguments: list[str] | None = None) -> None:
    """Serve until Ctrl-C; without a champion it serves too, and every prediction says which command makes one."""
    parser = argparse.ArgumentParser(prog="python -m rtml.serving", description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="latest", help="name or folder of a run")
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1, 0 for a free one")
    parser.add_argument("--follow", action="store_true", help="follow what ingest and training processes write there")
    chosen = parser.parse_args(arguments)
    if chosen.follow:
        with Follower(run_folder(chosen.run)) as follower:
            serve_forever(make_app(follower.service, lineage=follower.lineage), port=chosen.port)
        return
    run = Run(run_folder(chosen.run).resolve(), "serving")
    service = Service(run.path("live/predictions.db") if run.folder.exists() else ":memory:")
    try:
        feed = prepared(run, service)
    except (FileNotFoundError, LookupError) as ex:
        feed = None
        print(f"rtml: {ex.args[0] if ex.args else ex}", file=sys.stderr)
    serve_forever(make_app(service, lineage=feed.lineage if feed else None), port=chosen.port)
    service.close()


def prepared(run: Run, service: Service) -> Feed:
    """Publish what a run has come to: its champion, and the features of its last bar."""
    recipe = Recipe.read(run.need("recipe.json", made_by="01_ingest"))
    run.need("questions.parquet", made_by="02_features")
    newest = "live/registry" if (run.folder / "live" / "registry").exists() else "registry"
    feed = Feed(service, Registry(run.need(newest, made_by="04_online_train")), recipe)
    feed.refresh()
    feed.show(Dataset.read(run.folder))
    print(f"rtml: {shown(run.folder)}: {service.snapshot.version} serves {recipe.target}", file=sys.stderr)
    return feed


if __name__ == "__main__":
    main()
