"""Configurations of runs that tests share: one symbol is asked, the others are read beside it."""

from rtml.training.run_config import RunConfig


def market_run(symbols, source="synthetic", **how):
    """A market whose first symbol is asked for."""
    return RunConfig.of("crypto", tuple(symbols)[:1], source, inputs=tuple(symbols)[1:], **how)
