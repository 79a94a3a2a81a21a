"""Figures that others published, to be shown beside ours: the tables of `published.toml`, each with its source."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import TypeAdapter

from dragflow.bench.metrics.catalogue import BY_KEY, Metric
from dragflow.core.fields import STRICT
from dragflow.files import schema

CAVEAT = (
    "These figures are the papers'; they were not measured here. Features (theirs are DIFT on Stable Diffusion 2.1), "
    "weights, picture sizes, prompts, regions and the choice of samples may differ from those behind our figures: read "
    "them side by side, do not rank one against the other."
)
_SAME_PICTURES = {"DragBench": "DragBench-DR", "DragBench-DR/SR": "DragBench-DR"}
"""Names of our data sets, and what papers call the set with their pictures."""


@dataclass(frozen=True)
class PublishedRow:
    """One method, or one variant of it."""

    name: str
    values: tuple[float, ...]
    """One for each column of its table."""


@dataclass(frozen=True)
class PublishedTable:
    """A table as it was published."""

    title: str
    source: str
    """Paper and number of the table."""
    data: str
    """Name of the data set; "" if it is not one of ours."""
    columns: tuple[Metric, ...]
    rows: tuple[PublishedRow, ...]


@dataclass(frozen=True)
class _Column:
    better: Literal["up", "down"]
    digits: int
    unit: str
    source: str


@dataclass(frozen=True)
class _Table:
    title: str
    source: str
    data: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]


@dataclass(frozen=True)
class _File:
    __pydantic_config__ = STRICT

    columns: dict[str, _Column]
    tables: tuple[_Table, ...]


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Every table, those of one data set in the order in which reports show them."""
    text = (resources.files("dragflow.bench") / "published.toml").read_text(encoding="utf-8")
    file = schema.parse(TypeAdapter(_File), tomllib.loads(text), "published.toml")
    known = BY_KEY | {key: Metric(key, c.better, c.digits, c.unit, c.source) for key, c in file.columns.items()}
    return tuple(
        PublishedTable(table.title, table.source, table.data, tuple(known[key] for key in table.columns), table.rows)
        for table in file.tables
    )


def published_for(data_name: str) -> tuple[PublishedTable, ...]:
    """The tables of a data set by its name in reports; empty if nothing was published."""
    name = _SAME_PICTURES.get(data_name, data_name)
    return tuple(table for table in published_tables() if table.data and table.data == name)


def published_elsewhere() -> tuple[PublishedTable, ...]:
    """The tables whose data set is not one of ours."""
    return tuple(table for table in published_tables() if not table.data)
