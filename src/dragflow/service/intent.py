"""What a drag means: ask a provider (`guess`), and make the instruction of the guess that was taken (`choose`)."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dragflow.core.arrays import Point
from dragflow.core.errors import UserError
from dragflow.core.result import IntentRecord
from dragflow.core.task import Instruction
from dragflow.files.cache import cache_folder
from dragflow.files.pictures import SourceImage
from dragflow.intent.accept import accept
from dragflow.intent.base import CANDIDATES, Answer, IntentRequest
from dragflow.intent.cache import ask
from dragflow.intent.options import ProviderOptions
from dragflow.intent.registry import load_provider
from dragflow.intent.request import make_request

VARIABLE = "DRAGFLOW_INTENT"
"""Environment variable that names the provider where nobody names one."""


@dataclass(frozen=True)
class Asking:
    """Who is asked, and how."""

    provider: ProviderOptions = field(default_factory=ProviderOptions)
    candidates: int = CANDIDATES
    """How many guesses a model gives."""
    cache: bool = True
    """Keep answers, and take kept ones."""
    upload: bool = True
    """Whether a provider may be asked that sends the picture off this machine."""

    @property
    def name(self) -> str:
        """The provider that was named, else that of $DRAGFLOW_INTENT, else rules."""
        return self.provider.name or os.environ.get(VARIABLE) or "rules"


@dataclass(frozen=True)
class Chosen:
    """A guess that was taken."""

    number: int
    instruction: Instruction
    record: IntentRecord


def guess(source: SourceImage, instruction: Instruction, asking: Asking) -> tuple[IntentRequest, Answer]:
    """Ask the provider.

    Raises:
        UserError: a provider that is not set up, or an instruction that breaks a rule.
        IntentError: no answer that can be used.
    """
    provider = load_provider(asking.name, asking.provider, upload=asking.upload)
    request = make_request(source, instruction, count=asking.candidates, max_side=asking.provider.max_image_side)
    return request, ask(provider, request, cache_folder("intent") if asking.cache else None)


def choose(request: IntentRequest, answer: Answer, number: int, anchor: Point | None = None) -> Chosen:
    """The instruction of guess `number`, counted from 1, with a person's own anchor where one is given.

    Raises:
        UserError: there is no such guess, or it is not a rotation and has no anchor.
    """
    candidates = answer.proposal.candidates
    if not 1 <= number <= len(candidates):
        raise UserError(f"guess {number} is chosen and there are {len(candidates)}: choose 1 to {len(candidates)}")
    candidate = candidates[number - 1]
    if anchor is not None and candidate.label != "rotation":
        raise UserError(
            f"anchor {anchor[0]:g},{anchor[1]:g}: the guess is a {candidate.label}: only a rotation has an anchor"
        )
    candidate = candidate if anchor is None else replace(candidate, anchor=anchor)
    return Chosen(number, accept(answer.proposal, request.instruction, candidate), answer.record)


def answer_data(answer: Answer) -> dict[str, Any]:
    """An answer as plain data."""
    proposal = answer.proposal
    return asdict(answer.record) | {
        "background_prompt": proposal.background_prompt,
        "change": proposal.change,
        "candidates": [asdict(candidate) for candidate in proposal.candidates],
    }
