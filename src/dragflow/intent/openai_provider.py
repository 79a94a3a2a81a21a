"""The provider `openai`: any server that speaks OpenAI's chat completions and sees pictures (App. D.3)."""

from __future__ import annotations

import base64
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from dragflow.core.errors import CapabilityError, IntentError, UserError
from dragflow.intent.address import OFFICIAL, is_local, service_url
from dragflow.intent.answer import MAX_ANSWER, answer_schema
from dragflow.intent.base import Answer, IntentRequest
from dragflow.intent.dialogue import OFFER, Reply, Turn, converse, within
from dragflow.intent.options import ProviderOptions

if TYPE_CHECKING:
    from dragflow.intent.openai_calls import Service

MODEL_VARIABLE = "DRAGFLOW_INTENT_MODEL"
DEFAULT_MODEL = "gpt-5"
"""At the official address, where the environment names no other; the paper's best (Table 5)."""
_BACKOFF = 0.5
"""Seconds before the second call; doubled before each further one."""
_PATIENCE = 60.0
"""Seconds to wait for an answer."""
_UNKNOWN_FORMAT = (400, 422)
"""What servers answer that do not know `response_format`; the call is made once more without it."""


class OpenAIProvider:
    """Asks a server; the key is read from the environment when it is needed, and kept nowhere."""

    name = "openai"

    def __init__(self, options: ProviderOptions, *, backoff: float = _BACKOFF) -> None:
        self._url = service_url(options.base_url)
        self._id = options.model or os.environ.get(MODEL_VARIABLE, "").strip()
        if not self._id:
            if self._url != OFFICIAL:
                raise UserError(f"no model is named for {self._url}: give `provider.model`, or set {MODEL_VARIABLE}")
            self._id = DEFAULT_MODEL
        self._options, self._backoff = options, backoff

    @property
    def model(self) -> str:
        """The model id, and the address unless it is the official one."""
        return self._id if self._url == OFFICIAL else f"{self._id} at {self._url}"

    @property
    def remote(self) -> bool:
        """Whether the server is on another machine."""
        return not is_local(self._url)

    def propose(self, request: IntentRequest) -> Answer:
        """Ask, and ask for one repair where an answer breaks a rule.

        Raises:
            IntentError: no answer, a refusal, or one that cannot be used.
            UserError: no key, no such model or address, or the library is missing.
        """
        try:
            from dragflow.intent.openai_calls import Service
        except ImportError as error:
            raise CapabilityError(
                f"the provider openai needs the openai library ({error}): pip install 'dragflow[intent]'"
            ) from error
        options = self._options
        service = Service(
            self._url, timeout=options.timeout or _PATIENCE, retries=options.retries, backoff=self._backoff
        )
        with closing(service):
            talk = _Talk(service, self._id)
            return converse(within(request, options.max_image_side), talk.send, provider=self.name, model=self.model)


def load(options: ProviderOptions) -> OpenAIProvider:
    """The provider; nothing is sent before it is asked.

    Raises:
        UserError: an address that is none, or no model.
    """
    return OpenAIProvider(options)


class _Talk:
    """One conversation; remembers that its server does not know `response_format`."""

    def __init__(self, service: Service, model: str) -> None:
        self._service, self._model, self._strict = service, model, True

    def send(self, turns: tuple[Turn, ...]) -> Reply:
        body: dict[str, Any] = {"model": self._model, "messages": [_message(turn) for turn in turns]}
        strict = {"type": "json_schema", "json_schema": {"name": "intent", "strict": True, "schema": answer_schema()}}
        outcome = self._service.complete(body | ({"response_format": strict} if self._strict else {}))
        if self._strict and not isinstance(outcome, bytes) and outcome.status in _UNKNOWN_FORMAT:
            self._strict = False
            outcome = self._service.complete(body)
        if not isinstance(outcome, bytes):
            raise outcome.error()
        return _reply(outcome, self._service)


def _message(turn: Turn) -> dict[str, Any]:
    if not turn.pictures:
        return {"role": turn.role, "content": turn.text}
    urls = [f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}" for png in turn.pictures]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": turn.role, "content": [*parts, {"type": "text", "text": turn.text}]}


class _Said(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    """What is read of a chat completion."""

    choices: list[_Choice]
    usage: _Usage | None = None


def _reply(body: bytes, service: Service) -> Reply:
    """The model's words in a chat completion, the key taken out of them.

    Raises:
        IntentError: no completion, a refusal, a cut or a much too long answer.
    """
    completion = _completion(body)
    if completion is None or not completion.choices:
        said = service.quoted(body[:MAX_ANSWER].decode("utf-8", errors="replace"))
        raise _unusable(f"the server's reply is no chat completion ({said}): check `provider.base_url`")
    choice, usage = completion.choices[0], completion.usage or _Usage()
    if choice.message.refusal or choice.finish_reason == "content_filter":
        said = service.quoted(choice.message.refusal or "its content filter gives no reason")
        raise _unusable(f"the model refuses to answer ({said}): use another picture or another `provider.model`")
    if choice.finish_reason == "length":
        raise _unusable("the model's answer was cut because it grew too long: choose another `provider.model`")
    text = service.hidden(choice.message.content or "")
    if len(text) > MAX_ANSWER:
        raise _unusable(f"the model's answer has {len(text)} characters, over the limit of {MAX_ANSWER}")
    return Reply(text, usage.prompt_tokens, usage.completion_tokens)


def _completion(body: bytes) -> _Completion | None:
    try:
        return _Completion.model_validate_json(body)
    except ValidationError:
        return None


def _unusable(text: str) -> IntentError:
    return IntentError(f"{text}; otherwise {OFFER}")
