"""Strict parsing of JSON and TOML by pydantic, with errors that name the path in the file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from dragflow.core.errors import UserError
from dragflow.core.fields import STRICT

T = TypeVar("T")


class Strict(BaseModel):
    """What a file may say; anything else is an error. The dataclasses of its fields are read as strictly."""

    model_config = STRICT


def parse(adapter: TypeAdapter[T], data: object, source: str) -> T:
    """Validate plain data (as JSON or TOML gave it) into a typed value.

    Raises:
        UserError: naming every path in the file that breaks the schema.
    """
    try:
        return adapter.validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise UserError(f"{source}: {'; '.join(sentences(error))}") from error


def check(value: T, name: str = "") -> T:
    """A dataclass that a program made, read as strictly as if a file held it.

    Args:
        value: the dataclass.
        name: what the paths of its fields begin with in an error.

    Raises:
        UserError: naming every field that has another type or is out of range.
    """
    try:
        return _adapter(type(value)).validate_json(json.dumps(asdict(cast("Any", value)), default=str))
    except ValidationError as error:
        raise UserError("; ".join(sentences(error, name))) from error


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def sentences(error: ValidationError, place: str = "") -> list[str]:
    """What breaks the schema, one plain sentence for each path in the file, whose value was at `place` in it."""
    return [_sentence(problem, place) for problem in error.errors(include_url=False)]


def load_json(text: str, source: str) -> object:
    """Parse JSON; duplicate keys and NaN are refused.

    Raises:
        UserError: not JSON.
    """

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise UserError(f"{source}: duplicate key {sorted(twice)[0]!r} in one object: keep one")
        return dict(pairs)

    def refuse(name: str) -> float:
        raise UserError(f"{source}: {name} is not a finite number")

    with _parsing(source):
        try:
            return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise UserError(f"{source} is not JSON: {error.msg} at {place}") from error


def load_toml(text: str, source: str) -> dict[str, Any]:
    """A table from TOML text.

    Raises:
        UserError: not TOML, nested too deeply, or a number that is too long.
    """
    with _parsing(source):
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{source} is not TOML: {error}") from error


@contextmanager
def _parsing(source: str) -> Iterator[None]:
    """What overwhelms a parser of the standard library, as one sentence."""
    try:
        yield
    except RecursionError as error:
        raise UserError(f"{source} is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{source} holds a number that cannot be read: {error}") from error


def _sentence(problem: Mapping[str, Any], place: str) -> str:
    path = ".".join(str(part) for part in ((place,) if place else ()) + problem["loc"]) or "the top level"
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{path} is not a known key: check its spelling"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{path} is missing"
    if problem["type"] == "union_tag_not_found":
        return f"{path} has no `type`, which must say what it is"
    given = problem.get("input")
    shown = f" (given {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path}: {said[:1].lower()}{said[1:]}{shown}"
