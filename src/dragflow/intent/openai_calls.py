"""Calls to a chat-completions server by the openai library, with errors that say what to do and never show the key.

What the library raises holds the request, and with it the key. So its errors are not chained to ours.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion

from dragflow.core.errors import DragFlowError, IntentError, UserError
from dragflow.intent.address import KEY_VARIABLE, is_local, service_key
from dragflow.intent.answer import MAX_ANSWER, answer_schema
from dragflow.intent.dialogue import OFFER, Reply
from dragflow.intent.openai_http import BoundedClient, StoppedError, key_remover, retry_after

_LONGEST_QUOTE = 300
"""Characters of what a server says that go into an error."""
_NO_KEY = "none"
"""In place of a key, which the library requires; it is not sent."""
_LOGGERS = ("httpcore2.http11", "httpx2")
"""They log the headers and the status line of a reply as the server wrote them."""
_FORMAT = {"type": "json_schema", "json_schema": {"name": "intent", "strict": True, "schema": answer_schema()}}


class Service:
    """An open client of one model; close it."""

    def __init__(self, url: str, model: str, *, timeout: float, retries: int) -> None:
        self._url, self._model, self._strict = url, model, True
        self._clean = key_remover(service_key(url))
        self._http = BoundedClient(timeout=timeout, attempts=retries + 1, proxies=not is_local(url), clean=self._clean)
        self._client = openai.OpenAI(
            base_url=url, api_key=service_key(url) or _NO_KEY, max_retries=retries, http_client=self._http
        )
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._clean_record)

    def close(self) -> None:
        """Close its connections."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._clean_record)
        self._client.close()

    def complete(self, messages: list[dict[str, Any]]) -> Reply:
        """The model's next message.

        Raises:
            IntentError: no answer, a refusal, or one that was cut.
            UserError: the server refuses the key, the model or the address.
        """
        reply = self._reply_or_error(messages)
        if isinstance(reply, DragFlowError):
            raise reply  # here, outside of any `except`, so that nothing is chained to it
        return reply

    def _reply_or_error(self, messages: list[dict[str, Any]]) -> Reply | DragFlowError:
        self._http.start()
        try:
            return self._reply(self._create(messages))
        except openai.APIStatusError as error:
            return self._refusal(error)
        except StoppedError as error:
            return _failure(f"{self._url} {error}")
        except openai.OpenAIError as error:
            why = self._quote(str(error.__cause__ or error))
            return _failure(f"{self._url} cannot be reached or broke off ({why}): is the server running?")

    def _create(self, messages: list[dict[str, Any]]) -> Any:
        create: Any = self._client.chat.completions.with_raw_response.create
        headers = {"Authorization": openai.Omit()} if self._client.api_key == _NO_KEY else {}
        body = {"model": self._model, "messages": messages, "extra_headers": headers}
        if self._strict:
            try:
                return create(**body, response_format=_FORMAT)
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                self._strict = False  # a server that does not know `response_format`; the answer is checked anyway
        return create(**body)

    def _reply(self, raw: Any) -> Reply | DragFlowError:
        try:
            completion: ChatCompletion = raw.parse()
            # The library does not check what it parses: any attribute may be missing, or of another type.
            choice, usage = completion.choices[0], completion.usage
            text, refusal = choice.message.content or "", choice.message.refusal
            ended = getattr(choice, "finish_reason", None)
            if not isinstance(text, str):
                raise TypeError
        except (AttributeError, IndexError, TypeError, ValueError, RecursionError):
            said = self._quote(raw.text)
            return _failure(f"the server's reply is not a chat completion ({said}): check `provider.base_url`")
        if refusal or ended == "content_filter":
            said = self._quote(str(refusal or "its content filter gives no reason"))
            return _failure(f"the model refuses to answer ({said}): use another picture or another `provider.model`")
        if ended == "length":
            return _failure("the model's answer was cut because it is too long: choose another `provider.model`")
        if len(text) > MAX_ANSWER:
            return _failure(f"the model's answer has {len(text)} characters, over the limit of {MAX_ANSWER}")
        return Reply(text, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))

    def _refusal(self, error: openai.APIStatusError) -> DragFlowError:
        status, said = error.status_code, self._quote(_message(error.body))
        what = f"{self._url} answers {status}" + (f" ({said})" if said else "")
        if 300 <= status < 400:
            place = self._quote(_bare(error.response.headers.get("location", ""))) or "another address"
            return _failure(
                f"{self._url} redirects to {place}: name that as `provider.base_url`; a picture is sent only to the "
                "address that was named",
                UserError,
            )
        if status in (401, 403):
            return _failure(f"{what}: check the key in {KEY_VARIABLE}", UserError)
        if status == 404:
            hint = "check `provider.model` and `provider.base_url` (it mostly ends in /v1)"
            return _failure(f"{what}: {hint}", UserError)
        wait = retry_after(error.response.headers)
        return _failure(what if not wait else f"{what}: try again in {wait:.0f} s")

    def _quote(self, text: str) -> str:
        """What a server said, fit for an error: no key, one line, not too long."""
        plain = " ".join("".join(c if c.isprintable() else " " for c in self._clean(text)).split())
        return plain if len(plain) <= _LONGEST_QUOTE else f"{plain[:_LONGEST_QUOTE]}..."

    def _clean_record(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._clean(record.getMessage()), ()
        return True


def _failure(text: str, kind: type[DragFlowError] = IntentError) -> DragFlowError:
    return kind(f"{text}; otherwise {OFFER}")


def _count(usage: object, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) else None


def _message(body: object) -> str:
    """What a server says in the body of an error."""
    said = body.get("message") if isinstance(body, dict) else body
    return said if isinstance(said, str) else str(body or "")


def _bare(url: str) -> str:
    """An address without user name, query and fragment."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
    except ValueError:
        return ""
