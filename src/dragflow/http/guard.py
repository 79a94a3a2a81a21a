"""What every request must pass before anything of it is read: host, origin, token, size."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragflow.http.problems import as_problem
from dragflow.http.refused import Refused
from dragflow.http.settings import TOKEN_VARIABLE, ServerSettings

COOKIE = "dragflow_token"
"""Cookie that may carry the token, for pages, whose event streams can send no header."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_OPEN = ("/healthz",)
"""Paths that need no token."""


class Guard:
    """Middleware that refuses requests which must not reach the application."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a problem, or pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            self._check(scope, headers)
            await self._app(scope, self._limited(receive, headers), sent)
        except Refused as error:
            if begun:
                raise
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await as_problem(error)(scope, receive, send)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if self._settings.token is None:
            # A page of another site can have its name resolve to this machine; its requests then still carry that name.
            if _name(host) not in self._settings.hosts:
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    f"this server is not called {host[:80]!r}: address it as {self._settings.hosts[0]}",
                )
        elif scope["path"] not in _OPEN and not _carries(headers, self._settings.token):
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                f"the request has no valid token: send `Authorization: Bearer` and the server's ${TOKEN_VARIABLE}",
                {"WWW-Authenticate": "Bearer"},
            )
        if scope.get("method") not in _SAFE and _foreign(headers, host):
            raise Refused(
                HTTPStatus.FORBIDDEN, "the request comes from a page of another site, which may not change anything"
            )

    def _limited(self, receive: Receive, headers: dict[str, str]) -> Receive:
        limit = self._settings.upload_bytes
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > limit:
            raise _too_large(limit)
        total = 0

        async def limited() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > limit:
                raise _too_large(limit)
            return message

        return limited


def _too_large(limit: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request has over {limit} bytes, which is the most that is taken: send less",
    )


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _carries(headers: dict[str, str], token: str) -> bool:
    given = [headers.get("authorization", "").removeprefix("Bearer ").strip()]
    with suppress(CookieError):
        given += [morsel.value for key, morsel in SimpleCookie(headers.get("cookie", "")).items() if key == COOKIE]
    return _any_equal(given, token)


def _any_equal(given: Iterable[str], token: str) -> bool:
    return any(hmac.compare_digest(one.encode(), token.encode()) for one in given)


def _foreign(headers: dict[str, str], host: str) -> bool:
    """Whether a browser says that a page of another origin sent the request."""
    origin = headers.get("origin")
    if headers.get("sec-fetch-site") == "cross-site" or origin == "null":
        return True
    try:
        return origin is not None and urlsplit(origin).netloc != host
    except ValueError:
        return True
