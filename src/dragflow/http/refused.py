"""Requests that are refused with a status of their own."""

from __future__ import annotations

from http import HTTPStatus

from dragflow.core.errors import UserError


class Refused(UserError):
    """A request that is refused with a status of its own."""

    def __init__(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers

    def __reduce__(self) -> tuple[type[Refused], tuple[HTTPStatus, str, dict[str, str] | None]]:
        """Pickle as it was made: it may be raised in another process than the one that answers."""
        return Refused, (self.status, str(self), self.headers)


def not_found(what: str) -> Refused:
    """For an id that nobody was given, or that has expired."""
    return Refused(HTTPStatus.NOT_FOUND, f"there is no such {what}: its id is wrong, or it is no longer kept")
