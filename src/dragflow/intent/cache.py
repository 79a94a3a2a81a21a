"""A cache of models' answers, so that asking the same again costs nothing."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dragflow.core.errors import UserError
from dragflow.files.atomic import write_bytes
from dragflow.files.instructions import dump_instruction
from dragflow.intent.base import Answer, IntentRequest, Provider
from dragflow.intent.dialogue import PROMPT_VERSION

_ADAPTER = TypeAdapter(Answer)
_log = logging.getLogger(__name__)


def ask(provider: Provider, request: IntentRequest, folder: Path | None) -> Answer:
    """A provider's answer, from the cache where it is there; only models' answers are cached, never a picture.

    Args:
        provider: who is asked.
        request: what is asked.
        folder: of the cache; None to bypass it.

    Raises:
        IntentError, UserError: see `Provider.propose`.
    """
    if folder is None or provider.model is None:
        return provider.propose(request)
    path = folder / f"{answer_key(provider, request)}.json"
    cached = _read(path)
    if cached is not None:
        return replace(cached, record=replace(cached.record, cached=True))
    answer = provider.propose(request)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(path, _ADAPTER.dump_json(answer))
    except (OSError, UserError) as error:  # an answer that was paid for is not lost because the cache cannot be written
        _log.warning("the answer is not cached: %s", error)
    return answer


def answer_key(provider: Provider, request: IntentRequest) -> str:
    """Digest of all that an answer depends on: pixels, instruction, labels, provider, model and wording."""
    question = {
        "version": PROMPT_VERSION,
        "provider": provider.name,
        "model": provider.model,
        "picture": request.source.sha256,
        "instruction": dump_instruction(request.instruction),
        "labels": request.labels,
        "count": request.count,
        "prompts": request.prompts,
        "shown": request.picture.shape,
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Answer | None:
    """A cached answer; None if it is missing or damaged."""
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
