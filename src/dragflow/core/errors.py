"""The errors that dragflow raises on purpose, and values from outside as their sentences show them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST, _LONGEST_WORD = 560, 200
"""Characters of a sentence and of one word in it, such as a path; what exceeds them is cut out of the middle."""


class DragFlowError(Exception):
    """Base of every error that dragflow raises on purpose; its text stays short, whatever it quotes."""

    def __init__(self, text: str = "") -> None:
        super().__init__(_cut(re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda m: _cut(m[0], _LONGEST_WORD), text)))


class UserError(DragFlowError):
    """Input that breaks a rule; the text names the value, the rule, and the fix."""


class CapabilityError(UserError):
    """Something that this backbone, build or machine cannot do; the text says what can."""


class IntentError(DragFlowError):
    """A model's answer about the intent that cannot be used; `problems` says what is wrong, a sentence each."""

    def __init__(self, text: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.problems = problems


class NumericalError(DragFlowError):
    """A value that must be finite is not; the text says at which step."""


class Cancelled(DragFlowError):
    """Raise it from an observer to stop an edit or a training; session and model stay usable."""


def not_a(thing: str, value: object, instead: str) -> UserError:
    """The error for a value of another type than a `thing`; `instead` says what to give."""
    return UserError(f"a {type(value).__name__} is not {thing}: give {instead}")


def unused(names: Iterable[str], why: str) -> UserError:
    """The error for options that would change nothing, by their names."""
    given = [f"`{name}`" for name in names]
    return UserError(f"{', '.join(given[:5])} {'has' if len(given) == 1 else 'have'} no effect here: {why}")


def shown(value: object) -> str:
    """A value as a sentence quotes it: short, also where it is long."""
    if isinstance(value, int) and value.bit_length() > 100:  # Python itself refuses to write very long ones
        return f"a number of about {round(value.bit_length() * 0.30103)} digits"
    return _cut(repr(value), 60)


def _cut(text: str, limit: int = _LONGEST) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 5]} ... {text[-tail:]}"
