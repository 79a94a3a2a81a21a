"""What a drag means: ask a provider (`guess`), and make the instruction of the chosen guess (`choose`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dragflow.core.arrays import Point
from dragflow.core.checked import Checked, check, expect
from dragflow.core.errors import UserError
from dragflow.core.result import IntentRecord
from dragflow.core.task import Instruction, PromptForm
from dragflow.files.cache import cache_folder
from dragflow.files.pictures import SourceImage
from dragflow.intent.accept import accept
from dragflow.intent.address import variable
from dragflow.intent.base import Answer, IntentRequest
from dragflow.intent.cache import ask
from dragflow.intent.options import CANDIDATES, Guesses, ProviderOptions
from dragflow.intent.registry import load_provider
from dragflow.intent.request import make_request

PROVIDER_VARIABLE = "DRAGFLOW_INTENT"
"""Environment variable with the default provider."""


@dataclass(frozen=True)
class GuessOptions(Checked, called="`{}`"):
    """Which provider guesses, how often, and what it may keep and send."""

    provider: ProviderOptions = field(default_factory=ProviderOptions)
    candidates: Guesses = CANDIDATES
    """How many guesses a model gives."""
    cache: bool = True
    """Read and write the cache of answers."""
    upload: bool = True
    """Allow providers that send the picture off this machine."""

    @property
    def name(self) -> str:
        """Name of the provider: the given one, else that of $DRAGFLOW_INTENT, else rules."""
        return self.provider.name or variable(PROVIDER_VARIABLE) or "rules"


@dataclass(frozen=True)
class ChosenGuess:
    """The instruction that one of the guesses makes."""

    number: int
    """Counted from 1."""
    instruction: Instruction
    record: IntentRecord
    """Who was asked, and what that cost."""


def guess(
    source: SourceImage, instruction: Instruction, options: GuessOptions, prompts: PromptForm = "captions"
) -> tuple[IntentRequest, Answer]:
    """Ask a provider what an instruction means.

    Args:
        source: the picture.
        instruction: what was drawn on it.
        options: who is asked.
        prompts: what editing prompts are to be; `usual_prompts` of the model that draws the edit.

    Raises:
        UserError: the provider is not set up, or the instruction breaks a rule.
        IntentError: no usable answer.
    """
    expect(SourceImage, source)
    provider = load_provider(expect(GuessOptions, options).name, options.provider, upload=options.upload)
    request = make_request(
        source,
        instruction,
        count=options.candidates,
        max_side=options.provider.max_image_side,
        prompts=check(PromptForm, prompts, "prompts"),
    )
    return request, ask(provider, request, cache_folder("intent") if options.cache else None)


def choose(request: IntentRequest, answer: Answer, number: int, anchor: Point | None = None) -> ChosenGuess:
    """The instruction of guess `number`, counted from 1; `anchor` (x, y) in pixels replaces that of a rotation.

    Raises:
        UserError: the number is out of range, or an anchor is given and the guess is not a rotation.
    """
    candidates = expect(Answer, answer).proposal.candidates
    number, anchor = check(int, number, "number"), check(Point | None, anchor, "anchor")
    if not 1 <= number <= len(candidates):
        raise UserError(f"guess {number} does not exist: choose 1 to {len(candidates)}")
    candidate = candidates[number - 1]
    if anchor is not None and candidate.label != "rotation":
        raise UserError(
            f"anchor {anchor[0]:g},{anchor[1]:g} is given and guess {number} is a {candidate.label}: "
            "only a rotation has an anchor"
        )
    candidate = candidate if anchor is None else replace(candidate, anchor=anchor)
    return ChosenGuess(
        number, accept(answer.proposal, expect(IntentRequest, request).instruction, candidate), answer.record
    )


def answer_data(answer: Answer) -> dict[str, Any]:
    """An answer as JSON can hold it."""
    proposal = expect(Answer, answer).proposal
    return asdict(answer.record) | {
        "background_prompt": proposal.background_prompt,
        "change": proposal.change,
        "candidates": [asdict(candidate) for candidate in proposal.candidates],
    }
