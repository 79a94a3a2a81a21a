"""Strict parsing of JSON and TOML by pydantic, with errors that name the path in the file."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from dragflow.core.checked import sentences
from dragflow.core.errors import UserError, shown
from dragflow.core.fields import STRICT

T = TypeVar("T")
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

_DEEPEST = 32
"""Levels of nesting; nothing that is read has a third of them."""
_LARGEST = 10**300
"""More than any number that is read."""


class Strict(BaseModel):
    """What a file may say; anything else is an error. The dataclasses of its fields are read as strictly."""

    model_config = STRICT


def parse(adapter: TypeAdapter[T], data: object, source: str) -> T:
    """Validate plain data (as JSON or TOML gave it) into a typed value.

    Raises:
        UserError: naming the paths in the file that break the schema.
    """
    try:
        return adapter.validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise UserError(f"{source}: {'; '.join(sentences(error, data))}") from error
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def load_json(text: str, source: str) -> object:
    """Parse JSON; duplicate keys, infinite numbers and absurd ones are refused.

    Raises:
        UserError: not JSON, nested too deeply, or a number that no key takes; the text names the path.
    """

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise UserError(f"{source}: duplicate key {shown(min(twice))} in one object: keep one")
        return dict(pairs)

    def load(part: str) -> object:
        return json.loads(part, object_pairs_hook=unique, parse_int=_whole)

    try:
        return _loaded(load, text, source)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{source} is not JSON: {error.msg} at {place}") from error


def load_toml(text: str, source: str) -> dict[str, Any]:
    """A table from TOML text.

    Raises:
        UserError: not TOML, nested too deeply, or a number that no key takes; the text names the path.
    """
    try:
        return toml_table(text, source)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source} is not TOML: {error}") from error


def toml_table(text: str, source: str) -> dict[str, Any]:
    """A table from TOML text, for a caller that takes what is not TOML for something else.

    Raises:
        UserError: nested too deeply, or a number that no key takes.
        tomllib.TOMLDecodeError: not TOML.
    """

    def load(part: str) -> dict[str, Any]:
        try:
            return tomllib.loads(part)
        except tomllib.TOMLDecodeError:
            raise
        except ValueError:  # a whole number of more digits than Python reads
            return tomllib.loads(re.sub(r"\d[\d_]{4000,}", _TOO_LARGE, part))

    return _loaded(load, text, source)


_TOO_LARGE = "1e300"
"""Stands for a whole number of so many digits that Python does not read it, and is refused as too large."""


def _whole(digits: str) -> float:
    return int(digits) if len(digits) < 400 else math.copysign(float(_TOO_LARGE), -1 if digits[0] == "-" else 1)


def _loaded(load: Callable[[str], T], text: str, source: str) -> T:
    """What a parser of the standard library makes of a text; what would overwhelm a program is refused by its path."""
    try:
        data = load(text)
    except RecursionError:
        data = load(_shallow(text))
    _check_size(data, source)
    return data


def _check_size(data: object, source: str) -> None:
    """Refuse what is nested too deeply, and numbers that are infinite or absurd; without recursion."""
    rest: list[tuple[tuple[str, ...], object]] = [((), [data])]
    while rest:
        path, inside = rest.pop()
        if len(path) > _DEEPEST:
            raise UserError(f"{source}: {'.'.join(path[1:5])}... is nested too deeply: {_DEEPEST} levels are read")
        for key, value in cast("Any", inside.items() if isinstance(inside, dict) else enumerate(cast("Any", inside))):
            if isinstance(value, dict | list):
                rest.append(((*path, str(key)), value))
            elif type(value) in (int, float) and not -_LARGEST <= value <= _LARGEST:
                place = ".".join((*path, str(key))[1:]) or "the top level"
                rule = "a smaller number" if abs(value) < math.inf else "a finite number"
                raise UserError(f"{source}: {place}: input should be {rule} (given {shown(value)})")


_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""' + r"|'''.*?'''" + r'|"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'|#[^\n]*|[][{}]", re.DOTALL
)


def _shallow(text: str) -> str:
    """JSON or TOML up to where it is nested too deeply, with every bracket closed."""
    closing: list[str] = []
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            closing.append("]" if token[0] == "[" else "}")
        elif token[0] in "]}" and closing:
            closing.pop()
        if len(closing) > _DEEPEST + 1:
            return text[: token.end()] + "".join(reversed(closing))
    return text
