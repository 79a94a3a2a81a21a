"""What every request must pass before anything of it is read: host, origin, token, size."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragflow.http import login
from dragflow.http.problems import as_problem
from dragflow.http.refused import Refused
from dragflow.http.settings import TOKEN_VARIABLE, ServerSettings

_SAFE = ("GET", "HEAD", "OPTIONS")
_OPEN = ("/healthz",)
"""Paths that need no token."""


class Guard:
    """Middleware that refuses requests which must not reach the application."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings
        self._patience = login.Patience()

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
            self._check_origin(scope, headers)
            page = await self._login(scope, receive, headers)
            if page is not None:
                await page(scope, receive, send)
                return
            self._check_token(scope, headers)
            await self._app(scope, _limited(receive, headers, self._settings.upload_bytes), sent)
        except Refused as error:
            if begun:
                raise
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await as_problem(error)(scope, receive, send)

    def _check_origin(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        # A page of another site can have its name resolve to this machine; its requests then still carry that name.
        if self._settings.token is None and _name(host) not in self._settings.hosts:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"this server is not called {host[:80]!r}: address it as {self._settings.hosts[0]}",
            )
        if scope.get("method") not in _SAFE and _foreign(headers, host):
            raise Refused(
                HTTPStatus.FORBIDDEN, "the request comes from a page of another site, which may not change anything"
            )

    async def _login(self, scope: Scope, receive: Receive, headers: dict[str, str]) -> Response | None:
        """What a browser gets instead of the page that it asks for, until a person has given the token."""
        token = self._settings.token
        if token is None:
            return None
        if scope["path"] == login.PATH and scope.get("method") == "POST":
            limited = _limited(receive, headers, login.FORM_BYTES)
            return await login.given(scope, limited, token, self._patience)
        if not _asks_for_page(scope, headers):
            return None
        if not _knows(headers, token):
            return login.form(login.wanted(scope))
        return login.onward(scope) if scope["path"] == login.PATH else None

    def _check_token(self, scope: Scope, headers: dict[str, str]) -> None:
        token, address = self._settings.token, login.address_of(scope)
        if token is None or scope["path"] in _OPEN or _knows(headers, token):
            return
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if given:
            self._patience.check(address)
            if login.equal(given, token):
                self._patience.right(address)
                return
            self._patience.wrong(address)
        raise Refused(
            HTTPStatus.UNAUTHORIZED,
            f"the request has no valid token: send `Authorization: Bearer` and the server's ${TOKEN_VARIABLE}",
            {"WWW-Authenticate": "Bearer"},
        )


def _limited(receive: Receive, headers: dict[str, str], limit: int) -> Receive:
    """The same body, refused where it is longer."""
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


def _knows(headers: dict[str, str], token: str) -> bool:
    """Whether the request has the cookie of somebody who gave the token."""
    with suppress(CookieError):
        cookies = SimpleCookie(headers.get("cookie", ""))
        return login.COOKIE in cookies and login.equal(cookies[login.COOKIE].value, login.session_of(token))
    return False


def _asks_for_page(scope: Scope, headers: dict[str, str]) -> bool:
    """Whether a person's browser opens an address, without a token of its own."""
    page = scope.get("method") == "GET" and "text/html" in headers.get("accept", "")
    return page and "authorization" not in headers and scope["path"] not in _OPEN


def _foreign(headers: dict[str, str], host: str) -> bool:
    """Whether a browser says that a page of another origin sent the request."""
    origin = headers.get("origin")
    if headers.get("sec-fetch-site") == "cross-site" or origin == "null":
        return True
    try:
        return origin is not None and urlsplit(origin).netloc != host
    except ValueError:
        return True
