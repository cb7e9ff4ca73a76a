"""The metadata of a version: the schema of its data, metrics and description, enforced when it is saved."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from rtml.core.run_folder import plain

_Text = str | UnsetType
_Number = int | UnsetType


class Data(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What was learned since the parent: events of a part of the log, or a version of a table.

    Examples
    --------
    >>> msgspec.convert({"part": "events", "first_offset": 1, "last_offset": 9}, Data).last_offset
    9
    >>> msgspec.to_builtins(Data(table="cards", version=3))
    {'table': 'cards', 'version': 3}
    """

    part: _Text = UNSET
    first_offset: _Number = UNSET
    last_offset: _Number = UNSET
    first_time: _Number = UNSET
    last_time: _Number = UNSET
    table: _Text = UNSET
    version: _Number = UNSET
    lineage: _Text = UNSET  # that serves, where there are challengers


class Description(msgspec.Struct):
    """What is described, besides what a user adds.

    Examples
    --------
    >>> msgspec.convert({"cause": "every 10m", "note": "mine"}, Description).cause
    'every 10m'
    """

    models: dict[str, str] = {}
    fingerprint: str = ""
    cause: str = ""


def checked(data: dict, metrics: dict, describe: dict) -> tuple[dict, dict, dict]:
    """The three as JSON knows them, or a refusal that names the field.

    Examples
    --------
    >>> checked({"part": "events", "first_offset": 1, "last_offset": 9}, {"mse": 0.5}, {})[1]
    {'mse': 0.5}
    >>> checked({"part": 7}, {}, {})
    Traceback (most recent call last):
    ValueError: data of a version: Expected `str`, got `int` - at `$.part`: see rtml/registry/metadata.py
    """
    rules = (("data", data, Data), ("metrics", metrics, dict[str, float | None]), ("describe", describe, Description))
    return tuple(_checked(*rule) for rule in rules)


def _checked(name: str, value: dict, rule: Any) -> dict:
    value = plain(value)
    try:
        msgspec.convert(value, rule)
    except msgspec.ValidationError as ex:
        raise ValueError(f"{name} of a version: {ex}: see rtml/registry/metadata.py") from ex
    return value
