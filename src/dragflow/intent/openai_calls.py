"""Calls to a chat-completions server: bounded in time and size, made again where that can help, and silent about keys.

What the libraries raise can hold a server's words, and those the key that it was sent. So no error is chained to ours,
and every word of a server is searched for the key.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from dragflow.core.errors import DragFlowError, IntentError, UserError
from dragflow.intent.address import KEY_VARIABLE, is_local, service_key
from dragflow.intent.dialogue import OFFER

MAX_REPLY = 1 << 20
"""Bytes of a server's reply; one that goes on is left unread. Ten candidates of sixty words need a hundredth."""
_CONNECT = 10.0
"""Seconds to wait for a connection."""
_LONGEST_QUOTE = 300
"""Characters of what a server says that go into an error."""
_NO_KEY = "none"
"""Stands where the library wants a key; it is not sent."""
_SHORTEST_SECRET = 8
"""Characters of a key; what is shorter ("none", "ollama") is no secret, and may stand in any answer."""
_BEGAN = "dragflow.began"
_ECHOING = "httpcore2.http11"
"""The logger that writes down the headers of a reply."""

_log = logging.getLogger(__name__)


class _TooLongError(Exception):
    """A reply that goes on after `MAX_REPLY` bytes, or that is packed so that its size cannot be told."""


@dataclass(frozen=True)
class Failure:
    """A call that gave no reply."""

    text: str
    kind: type[DragFlowError] = IntentError
    again: bool = False
    """Whether the same call may succeed later."""
    wait: float | None = None
    """Seconds to wait before that, where the server says."""
    status: int | None = None
    """Of HTTP, where there was an answer."""

    def error(self) -> DragFlowError:
        """To be raised outside of any `except`, so that nothing is chained to it."""
        return self.kind(f"{self.text}; otherwise {OFFER}")


class Service:
    """An open client of one server; close it."""

    def __init__(self, url: str, *, timeout: float, retries: int, backoff: float) -> None:
        self._url, self._timeout, self._retries, self._backoff = url, timeout, retries, backoff
        self._client = openai.OpenAI(
            base_url=url,
            api_key=service_key(url) or _NO_KEY,
            max_retries=0,
            http_client=_http_client(timeout, proxies=not is_local(url)),
        )
        without = {"Authorization": openai.Omit()} if self._client.api_key == _NO_KEY else {}
        self._headers = {"Accept-Encoding": "identity"} | without
        logging.getLogger(_ECHOING).addFilter(self._hide)

    def close(self) -> None:
        """Close its connections."""
        logging.getLogger(_ECHOING).removeFilter(self._hide)
        self._client.close()

    def complete(self, body: dict[str, Any]) -> bytes | Failure:
        """A chat completion as the server wrote it, or why there is none after all the calls that could help."""
        ends = time.monotonic() + self._timeout * (self._retries + 1)
        calls = 0
        while True:
            outcome = self._call(body)
            calls += 1
            if isinstance(outcome, bytes) or not outcome.again:
                return outcome
            if calls > self._retries:
                return replace(outcome, text=f"{outcome.text}, also at call {calls}") if calls > 1 else outcome
            wait = self._backoff * 2 ** (calls - 1) if outcome.wait is None else outcome.wait
            if time.monotonic() + wait > ends:
                late = f"the next call is due in {wait:.0f} s, later than all calls may take together: try again then"
                return replace(outcome, text=f"{outcome.text}; {late}")
            _log.info("%s: the next call is made in %.1f s", outcome.text, wait)
            time.sleep(wait)

    def hidden(self, text: str) -> str:
        """A text without the key."""
        key = self._client.api_key
        return text.replace(key, "(key)") if len(key) >= _SHORTEST_SECRET else text

    def quoted(self, text: str) -> str:
        """What a server said, fit for an error: no key, one line, not too long."""
        plain = " ".join("".join(c if c.isprintable() else " " for c in self.hidden(text)).split())
        return plain if len(plain) <= _LONGEST_QUOTE else f"{plain[:_LONGEST_QUOTE]}..."

    def _hide(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.hidden(record.getMessage()), ()
        return True

    def _call(self, body: dict[str, Any]) -> bytes | Failure:
        create = self._client.chat.completions.with_raw_response.create
        try:
            reply = create(**body, extra_headers=self._headers).content
            # Latin-1 gives every byte back as it was, whatever the reply is written in.
            return self.hidden(reply.decode("latin-1")).encode("latin-1")
        except openai.APIStatusError as error:
            return self._refused(error)
        except (openai.APITimeoutError, httpx2.TimeoutException):
            return Failure(f"{self._url} gave no answer within {self._timeout:g} s: raise `provider.timeout`")
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            why = self.quoted(str(error.__cause__ or error))
            return Failure(f"{self._url} is not to be reached or broke off ({why}): is the server running?", again=True)
        except _TooLongError as error:
            return Failure(f"the reply of {self._url} {error}: use another model")

    def _refused(self, error: openai.APIStatusError) -> Failure:
        status, said = error.status_code, self.quoted(_message(error.body))
        what = f"{self._url} answers {status}" + (f" ({said})" if said else "")
        if 300 <= status < 400:
            place = self.quoted(_bare(error.response.headers.get("location", "")))
            return Failure(
                f"{self._url} redirects to {place or 'another address'}: name that as `provider.base_url`, for a "
                "picture goes nowhere else than it was told to",
                UserError,
                status=status,
            )
        if status in (401, 403):
            return Failure(f"{what}: check the key in {KEY_VARIABLE}", UserError, status=status)
        if status == 404:
            return Failure(
                f"{what}: check `provider.model`, and `provider.base_url`, which mostly ends in /v1",
                UserError,
                status=status,
            )
        spent = error.code == "insufficient_quota"
        again = not spent and (status in (408, 429) or status >= 500)
        return Failure(what, again=again, wait=_retry_after(error.response.headers), status=status)


def _http_client(timeout: float, *, proxies: bool) -> httpx2.Client:
    def begin(request: httpx2.Request) -> None:
        request.extensions[_BEGAN] = time.monotonic()

    def bound(response: httpx2.Response) -> None:
        stream = response.stream
        if not isinstance(stream, httpx2.SyncByteStream):
            raise TypeError("an asynchronous reply in a synchronous client")
        packed = response.headers.get("content-encoding", "identity") != "identity"
        response.stream = _Bounded(stream, response.request.extensions[_BEGAN] + timeout, packed=packed)

    return openai.DefaultHttpxClient(
        timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT)),
        follow_redirects=False,
        trust_env=proxies,
        event_hooks={"request": [begin], "response": [bound]},
    )


class _Bounded(httpx2.SyncByteStream):
    """The body of a reply, until it is too long or too late."""

    def __init__(self, stream: httpx2.SyncByteStream, ends: float, *, packed: bool) -> None:
        self._stream, self._ends, self._packed = stream, ends, packed

    def __iter__(self) -> Iterator[bytes]:
        if self._packed:
            raise _TooLongError("is compressed, which was not asked for, so that its size cannot be told")
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > MAX_REPLY:
                raise _TooLongError(f"is longer than {MAX_REPLY} bytes and was left unread")
            if time.monotonic() > self._ends:
                raise httpx2.ReadTimeout("the whole reply takes too long")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _message(body: object) -> str:
    """What servers say in the body of an error: {"message": ...}, other JSON, or text."""
    if isinstance(body, dict):
        said = body.get("message")
        return said if isinstance(said, str) else json.dumps(body, default=str)
    return "" if body is None else str(body)


def _bare(url: str) -> str:
    """An address without user name, query and fragment."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
    except ValueError:
        return ""


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds that a server asks to wait: a number or a date, or None."""
    said = headers.get("retry-after", "")
    try:
        wait = float(said)
    except ValueError:
        try:
            wait = parsedate_to_datetime(said).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(wait, 0.0) if math.isfinite(wait) else None
