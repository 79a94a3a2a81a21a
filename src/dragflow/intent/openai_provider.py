"""The provider `openai`: any server that speaks OpenAI's chat completions and sees pictures (App. D.3)."""

from __future__ import annotations

import base64
from contextlib import closing
from typing import Any

from dragflow.core.errors import CapabilityError, UserError
from dragflow.intent.address import OFFICIAL, is_local, service_url, variable
from dragflow.intent.base import Answer, IntentRequest
from dragflow.intent.dialogue import Reply, Turn, converse, within
from dragflow.intent.options import ProviderOptions

MODEL_VARIABLE = "DRAGFLOW_INTENT_MODEL"
DEFAULT_MODEL = "gpt-5"
"""At the official address, where the environment names no other; the paper's best (Table 5)."""
_PATIENCE = 60.0
"""Seconds to wait for an answer."""


class OpenAIProvider:
    """Asks a server; the key is read from the environment when it is needed, and not stored."""

    name = "openai"

    def __init__(self, options: ProviderOptions) -> None:
        self._url = service_url(options.base_url)
        default = DEFAULT_MODEL if self._url == OFFICIAL else None
        named = options.model or variable(MODEL_VARIABLE) or default
        if named is None:
            raise UserError(f"no model is named for {self._url}: give `provider.model`, or set {MODEL_VARIABLE}")
        self._id = named
        self._options = options

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
            IntentError: no answer, a refusal, or an unusable answer.
            UserError: no key, no such model or address, or the library is missing.
        """
        try:
            from dragflow.intent.openai_calls import Service
        except ImportError as error:
            raise CapabilityError(
                f"the provider openai needs the openai library ({error}): pip install 'dragflow[intent]'"
            ) from error
        options = self._options
        service = Service(self._url, self._id, timeout=options.timeout or _PATIENCE, retries=options.retries)

        def send(turns: tuple[Turn, ...]) -> Reply:
            return service.complete([_message(turn) for turn in turns])

        with closing(service):
            return converse(within(request, options.max_image_side), send, provider=self.name, model=self.model)


def load(options: ProviderOptions) -> OpenAIProvider:
    """The provider; nothing is sent before the first request.

    Raises:
        UserError: an invalid address, or no model.
    """
    return OpenAIProvider(options)


def _message(turn: Turn) -> dict[str, Any]:
    if not turn.pictures:
        return {"role": turn.role, "content": turn.text}
    urls = [f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}" for png in turn.pictures]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": turn.role, "content": [*parts, {"type": "text", "text": turn.text}]}
