"""The command line, called in the process of a test."""

from __future__ import annotations

import pytest

from rtml.pipeline.commands import rtml


def carry_out(*words: object) -> None:
    """Carry out ``rtml WORDS``; an exit code other than 0 is a SystemExit."""
    rtml.main([str(word) for word in words], prog_name="rtml", standalone_mode=False)


def command(*words: object) -> int | str | None:
    """Carry out ``rtml WORDS`` and give back its exit code."""
    with pytest.raises(SystemExit) as ended:
        rtml([str(word) for word in words], prog_name="rtml")
    return ended.value.code
