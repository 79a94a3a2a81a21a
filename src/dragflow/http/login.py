"""Giving the token by hand: a form for browsers, a cookie that stands for the token, patience with guesses."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qs, quote

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from dragflow.http.refused import Refused
from dragflow.http.settings import TOKEN_VARIABLE

COOKIE = "dragflow_session"
"""Cookie that stands for the token, for pages, whose event streams can send no header."""
PATH = "/login"
"""Where the form is, and is sent; its query names the page that is opened afterwards."""
FREE_GUESSES = 5
"""Wrong tokens of an address that cost nothing: people mistype."""
_NETWORK = 64
"""Bits of an IPv6 address that are counted: a client may choose the others at will."""
LONGEST = 60.0
"""Most seconds that an address waits after a wrong token."""
_FORGOTTEN = 900.0
"""Seconds after which the wrong tokens of an address are forgotten."""
FORM_BYTES = 64 * 1024
"""Most bytes of the form."""
_ADDRESSES = 4096
"""Most addresses whose wrong tokens are counted."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>dragflow</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 24em; margin: 18vh auto 0; padding: 0 1em; }}
  input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: 0.5em; margin-top: 0.5em; }}
  p {{ color: light-dark(#b3261e, #ff8a80); min-height: 1.5em; }}
</style>
<form method="post" action="{action}">
  <label for="token">The token of this server (its ${variable})</label>
  <input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
  <button>Open</button>
  <p role="alert">{said}</p>
</form>
</html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "same-origin",
}


def equal(given: str, secret: str) -> bool:
    """Whether two texts are equal, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode("utf-8", "surrogateescape"))


def session_of(token: str) -> str:
    """What the cookie says: it changes with the token, and does not tell it."""
    return hmac.new(token.encode("utf-8", "surrogateescape"), b"dragflow session", hashlib.sha256).hexdigest()


class Patience:
    """Makes an address wait after wrong tokens, each time twice as long; others do not wait for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """By address: how many, and when the last one came; the longest unchanged one first."""
        self._changing = threading.Lock()

    def check(self, address: str) -> None:
        """Refuse to look at a token while its address must wait.

        Raises:
            Refused: for that.
        """
        with self._changing:
            count, last = self._wrong.get(address, (0, 0.0))
        over = count - FREE_GUESSES
        wait = last + min(LONGEST, 2.0 ** min(over, 16)) - self._clock() if over >= 0 else 0.0
        if wait > 0:
            seconds = math.ceil(wait)
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"too many wrong tokens came from this address: try again in {seconds} s",
                {"Retry-After": str(seconds)},
            )

    def wrong(self, address: str) -> None:
        """Count a wrong token."""
        with self._changing:
            now = self._clock()
            count, last = self._wrong.pop(address, (0, now))
            self._wrong[address] = (1 if now - last > _FORGOTTEN else count + 1), now
            while len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """Forget the wrong tokens of an address."""
        with self._changing:
            self._wrong.pop(address, None)


def form(
    page: str, said: str = "", status: HTTPStatus = HTTPStatus.UNAUTHORIZED, headers: dict[str, str] | None = None
) -> Response:
    """The page that asks for the token; `page` is the address that is opened then."""
    action = f"{PATH}?page={quote(page, safe='/')}"
    text = _PAGE.format(action=escape(action), variable=TOKEN_VARIABLE, said=escape(said))
    return HTMLResponse(text, status, _HEADERS | (headers or {}))


async def given(scope: Scope, receive: Receive, token: str, patience: Patience) -> Response:
    """The answer to a sent form: the way to the page with its cookie, or the form again."""
    address, page = address_of(scope), wanted(scope)
    try:
        said = await _sent(Request(scope, receive))
        patience.check(address)  # nothing is awaited from here on, so that no two guesses are one
    except Refused as error:
        return form(page, str(error), error.status, error.headers)
    if not equal(said, token):
        patience.wrong(address)
        return form(page, "That is not the token.")
    patience.right(address)
    answer = onward(scope)
    answer.set_cookie(COOKIE, session_of(token), httponly=True, samesite="strict", secure=scope["scheme"] == "https")
    return answer


def onward(scope: Scope) -> Response:
    """The way from the form to the page that a person wanted."""
    return RedirectResponse(wanted(scope), HTTPStatus.SEE_OTHER, _HEADERS)


def wanted(scope: Scope) -> str:
    """The address that a person wants to open, with its query: never one of another server, nor the form itself."""
    query = scope.get("query_string", b"").decode("latin-1")
    if scope["path"] == PATH:
        page = parse_qs(query).get("page", ["/"])[0]
    else:
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        page = path.decode("latin-1") + (f"?{query}" if query else "")
    # Browsers read a backslash as a slash, and two of them at the beginning as another server.
    inside = page.startswith("/") and not page.startswith(("//", "/\\")) and page.isascii() and page.isprintable()
    return page if inside and page.partition("?")[0] != PATH else "/"


def address_of(scope: Scope) -> str:
    """Of the client, for IPv6 its network of /64; all whose address is not known are one."""
    said = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(said)
    except ValueError:
        return said
    if isinstance(address, ipaddress.IPv4Address):
        return said
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), _NETWORK), strict=False))


async def _sent(request: Request) -> str:
    """The token of a form."""
    try:
        fields = await request.form(max_files=0, max_fields=4)
    except (HTTPException, MultiPartException) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the form is incomplete: send it again") from error
    return str(fields.get("token", "")).strip()
