"""Values of a wrong type or out of range are refused where they are made, before anything computes with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, get_type_hints

from dragflow.core.errors import UserError, not_a, shown
from dragflow.core.fields import STRICT

if TYPE_CHECKING:  # pydantic is imported when the first value is checked
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
MOST = 5
"""Problems that one sentence names; there may be thousands."""


class Checked:
    """Base of a dataclass whose fields are checked by their annotations, ranges included, as it is made.

    Numbers and arrays of numpy are taken for what they hold, and lists for tuples.
    """

    _called: ClassVar[str] = ""

    def __init_subclass__(cls, called: str = "", **rest: Any) -> None:
        """Say how errors call a field, as in "optimise.{}"."""
        super().__init_subclass__(**rest)
        cls._called = called or f"{cls.__name__}.{{}}"

    def __post_init__(self) -> None:
        """Check and settle every field.

        Raises:
            UserError: naming every field that breaks its rule.
        """
        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(cast("Any", self))}
        if all(field.default is given[field.name] for field in fields(cast("Any", self))):
            return  # the defaults are good, and need not wait for pydantic
        for name, value in _validated(_fields_of(type(self)), _plain(given), self._called.format):
            object.__setattr__(self, name, value)


def check(kind: Any, value: Any, name: str) -> Any:
    """A single value of a function, checked by an annotated type such as `Margin`.

    Raises:
        UserError: another type, or out of range; `name` says what it is.
    """
    return _validated(_adapter(kind), _plain(value), lambda path: f"{name}.{path}" if path else name)


def expect(kind: type[T], value: object) -> T:
    """A value that only we make, such as a job.

    Raises:
        UserError: something else.
    """
    if not isinstance(value, kind):
        raise UserError(f"a {type(value).__name__} cannot be used here: give the {kind.__name__} that dragflow made")
    return value


def as_path(value: object) -> Path:
    """The path of a file.

    Raises:
        UserError: neither a str nor a Path, or a name that no file can have.
    """
    if not isinstance(value, str | Path):
        raise not_a("a path", value, "a str or a Path")
    path = Path(value)
    if "\0" in str(path) or any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise UserError(f"no file can be called {shown(str(path))}: its name is too long, or has a null character")
    return path


def sentences(error: ValidationError, data: object, called: Callable[[str], str] = str) -> list[str]:
    """What breaks a rule, one plain sentence for each path, the first few.

    Args:
        error: of pydantic.
        data: what was validated.
        called: from a path in the data to what a sentence calls it.
    """
    problems: dict[str, Mapping[str, Any]] = {}
    for problem in error.errors(include_url=False):  # of alternatives, the first says it
        problems.setdefault(_path(problem["loc"], data), problem)
    found = [_sentence(problem, called(path)) for path, problem in list(problems.items())[:MOST]]
    return found if len(problems) <= MOST else [*found, f"and {len(problems) - MOST} more problems"]


def _validated(adapter: TypeAdapter[T], value: Any, called: Callable[[str], str]) -> T:
    from pydantic import ValidationError

    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise UserError("; ".join(sentences(error, value, called))) from error


@cache
def _fields_of(kind: Any) -> TypeAdapter[Any]:
    """The fields of a dataclass; not the dataclass itself, whose construction would check them again."""
    from pydantic import TypeAdapter, create_model

    hints = get_type_hints(kind, include_extras=True)
    types: dict[str, Any] = {field.name: (hints[field.name], ...) for field in fields(kind)}
    return TypeAdapter(create_model(kind.__name__, __config__=STRICT, **types))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind, config=STRICT)


def _plain(value: Any) -> Any:
    """Numbers and tuples of Python for those of numpy and torch, and for lists."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in cast("dict[Any, Any]", value).items()}
    if hasattr(value, "tolist") and getattr(getattr(value, "dtype", "text"), "kind", "f") in "biuf":
        value = value.tolist()
    if type(value) in (list, tuple):
        return tuple(_plain(part) for part in value)
    return value


def _path(loc: tuple[int | str, ...], data: Any) -> str:
    """A path as it is in the data: without pydantic's own parts, such as the kind of a motion."""
    parts: list[str] = []
    for number, part in enumerate(loc, 1):
        if isinstance(data, Mapping):
            inside = part in data
            keep = inside or number == len(loc)  # an absent key is what the sentence is about
        else:
            inside = keep = isinstance(data, list | tuple) and isinstance(part, int) and part < len(cast("Any", data))
        if keep:
            parts.append(shown(part)[1:-1] if isinstance(part, str) else str(part))
        if inside:
            data = cast("Any", data)[part]
    return ".".join(parts)


def _sentence(problem: Mapping[str, Any], path: str) -> str:
    path = path or "the top level"
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{path} is not a known key: check its spelling"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{path} is missing"
    if problem["type"] == "union_tag_not_found":
        return f"{path} has no `type`, which must say what it is"
    given = problem.get("input")
    if problem["type"] == "string_too_short" and given == "":
        return f"{path} is empty, as a shell variable is that is not set: give a value, or leave it out"
    quoted = f" (given {shown(given)})" if isinstance(given, str | int | float | bool) or given is None else ""
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path}: {said[:1].lower()}{said[1:]}{quoted}"
