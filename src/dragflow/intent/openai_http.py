"""The HTTP client under the openai library: the promises about a call for which the library has no setting.

The library retries, waits and parses. Its time limit is for one attempt, and it reads a reply of any size; so here all
attempts share one limit, a reply is read up to `MAX_REPLY` bytes, and the key is removed from it before anyone sees it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

MAX_REPLY = 1 << 20
"""Bytes of a server's reply. Ten candidates of sixty words need a hundredth of it."""
_CONNECT = 10.0
"""Seconds to wait for a connection."""
_HEADERS = ("content-type", "location", "retry-after", "x-should-retry")
"""Headers of a reply that the library or an error message reads; `retry-after-ms` is not standard and is ignored."""
_SHORTEST_SECRET = 8
"""Characters of a key; a shorter one ("none", "ollama") is a placeholder, and may occur in any answer."""


class StoppedError(openai.OpenAIError):
    """An attempt after which no other is made: the library passes its own errors on without a retry."""


class BoundedClient(openai.DefaultHttpxClient):
    """Sends attempts that together end in time; redirects are not followed."""

    def __init__(self, *, timeout: float, attempts: int, proxies: bool, clean: Callable[[str], str]) -> None:
        super().__init__(follow_redirects=False, trust_env=proxies, headers={"Accept-Encoding": "identity"})
        self._seconds, self._total, self._clean = timeout, timeout * attempts, clean
        self._ends, self._last = 0.0, ""

    def start(self) -> None:
        """Begin the time that all attempts share."""
        self._ends, self._last = time.monotonic() + self._total, "no connection"

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """One attempt; its reply is complete and does not hold the key.

        Raises:
            StoppedError: it took too long or is too large: another attempt would too.
            httpx2.RequestError: no connection, or one that broke; the library tries again.
        """
        began = time.monotonic()
        seconds = min(self._seconds, self._ends - began)
        if seconds <= 0:
            raise StoppedError(f"gave no answer within {self._total:g} s in all attempts (the last: {self._last})")
        options["stream"] = True  # so that the body is read here, within bounds
        request.extensions["timeout"] = httpx2.Timeout(seconds, connect=min(seconds, _CONNECT)).as_dict()
        try:
            with closing(super().send(request, **options)) as reply:
                content = self._clean(_read(reply, began + seconds)).encode("latin-1")
        except httpx2.TimeoutException as error:
            raise StoppedError(f"gave no answer within {seconds:.3g} s: raise `provider.timeout`") from error
        headers = {name: self._clean(reply.headers[name]) for name in _HEADERS if name in reply.headers}
        # The library would sleep for as long as the server says, and call again for an account that is empty.
        if time.monotonic() + (retry_after(headers) or 0.0) > self._ends or b"insufficient_quota" in content:
            headers["x-should-retry"] = "false"
        self._last = f"status {reply.status_code}"
        return httpx2.Response(reply.status_code, headers=headers, content=content, request=request)


def _read(reply: httpx2.Response, ends: float) -> str:
    """The body, each byte as one character."""
    if reply.headers.get("content-encoding", "identity") != "identity":
        raise StoppedError("sent a reply that is compressed, so that its size is unknown: use another server")
    content = bytearray()
    for chunk in reply.iter_raw():
        content += chunk
        if len(content) > MAX_REPLY:
            raise StoppedError(f"sent a reply longer than {MAX_REPLY} bytes, which was not read to its end")
        if time.monotonic() > ends:
            raise httpx2.ReadTimeout("the whole reply takes too long")
    return content.decode("latin-1")


def retry_after(headers: Any) -> float | None:
    """Seconds that a server asks to wait: a number or a date, or None."""
    value = headers.get("retry-after", "")
    try:
        wait = float(value)
    except ValueError:
        try:
            wait = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(wait, 0.0) if math.isfinite(wait) else None


def key_remover(key: str | None) -> Callable[[str], str]:
    """A function that replaces the key in a text, also where JSON escapes its characters."""
    if key is None or len(key) < _SHORTEST_SECRET:
        return str
    pattern = re.compile("".join(rf"(?:\\*{re.escape(c)}|\\+u{ord(c):04x})" for c in key), re.IGNORECASE)
    return lambda text: pattern.sub("(key)", text)
