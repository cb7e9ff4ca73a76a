"""The live exchange: its door, which opens with the live milestone."""

from __future__ import annotations


class Exchange:
    """A live exchange as a source; not there yet, and says so."""

    def __init__(self, name: str, symbols: tuple[str, ...] = ()):
        raise RuntimeError(
            f"the live exchange {name!r} is not built yet: it arrives with the live milestone. "
            "Until then set SOURCE to synthetic, or to a recording (Parquet or CSV)"
        )
