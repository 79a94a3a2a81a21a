"""Events to plain data and back: what the command line prints and what services send."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dragflow.core.checked import check
from dragflow.core.errors import UserError, not_a, shown
from dragflow.core.events import Event, Finished, Phase, Started, Stepped

_KINDS: dict[str, type[Started] | type[Stepped] | type[Finished]] = {
    "started": Started,
    "stepped": Stepped,
    "finished": Finished,
}
_TYPES: dict[str, Any] = {
    "phase": Phase,
    "total": int,
    "index": int,
    "loss": float | None,
    "progress": float | None,
    "seconds": float,
}


def to_data(event: Event) -> dict[str, Any]:
    """An event as data for JSON, without its preview."""
    if type(event) not in _KINDS.values():
        raise not_a("an event", event, "a Started, Stepped or Finished")
    data: dict[str, Any] = {"event": type(event).__name__.lower()}
    for name, value in vars(event).items():
        if value is not None and name != "preview":
            data[name] = round(value, 4) if name == "seconds" else value
    return data


def from_data(data: dict[str, Any]) -> Event:
    """The event of plain data.

    Raises:
        UserError: not an event.
    """
    if not isinstance(data, dict):
        raise not_a("an event", data, "a dict as `to_data` makes it")
    kind = _KINDS.get(str(data.get("event")))
    known = {field.name for field in fields(kind)} & _TYPES.keys() if kind else set[str]()
    given = {name: value for name, value in data.items() if name != "event"}
    try:
        if kind is None or not known.issuperset(given):
            raise TypeError
        return kind(**{name: check(_TYPES[name], value, f"event.{name}") for name, value in given.items()})
    except TypeError as error:
        raise UserError(f"{shown(data)} is not an event: its `event` is one of {', '.join(_KINDS)}") from error
