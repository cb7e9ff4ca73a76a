"""Run the loopback exchange until Ctrl-C: ``cd tests && python -m loopback --port 9101``."""

from __future__ import annotations

import argparse
import json
import time

from loopback.feed import Feed
from loopback.server import Loopback
from loopback.tape import tapes


def main() -> None:
    """Serve a tape."""
    arguments = argparse.ArgumentParser(prog="python -m loopback", description=__doc__)
    for name, default, meaning in (
        ("port", 0, "0: any that is free"),
        ("rate", 10.0, "trades a second of a symbol"),
        ("seconds", 3600.0, "length of the tape"),
        ("past", 1800.0, "how much of it has happened at the start, seconds"),
        ("speed", 1.0, "how fast its clock runs"),
        ("symbols", 2, "how many"),
        ("seed", 7, "random seed"),
    ):
        arguments.add_argument("--" + name, type=type(default), default=default, help=meaning)
    given = arguments.parse_args()
    feed = Feed(tapes(given.seconds, given.rate, given.seed, given.symbols), given.speed, given.past, wall=True)
    with Loopback(feed, given.port) as exchange:
        print(json.dumps({"port": exchange.port, "client_options": exchange.client_options}), flush=True)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
