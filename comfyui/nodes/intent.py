"""What a drag means: guesses, one of which is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from . import tensors
from .plans import INSTRUCTION, Plan, places

if TYPE_CHECKING:
    from torch import Tensor


class Intent:
    """Guess what is meant: an object or a part, and prompts."""

    CATEGORY = "dragflow"
    FUNCTION = "guess"
    RETURN_TYPES = (INSTRUCTION, "STRING", "STRING", "STRING")
    RETURN_NAMES = ("instruction", "prompt", "edit_prompt", "guesses")
    DESCRIPTION = "Guesses of what a drag means, by rules or by a multimodal model, and the instruction of one of them."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "image": ("IMAGE",),
                "instruction": (INSTRUCTION,),
                "provider": (["rules", "openai", "local"],),
                "choice": ("INT", {"default": 1, "min": 1, "max": 20, "tooltip": "Which guess; 1 is the likeliest."}),
            },
            "optional": {
                "upload": (
                    "BOOLEAN",
                    {"default": False, "tooltip": "Allow a provider that sends the picture off this machine (openai)."},
                ),
                "model": ("STRING", {"default": "", "tooltip": "Of the provider: its own choice if empty."}),
                "prompts": (
                    ["captions", "instructions"],
                    {"tooltip": "instructions: for edit models such as FLUX.1 Kontext."},
                ),
            },
        }

    def guess(
        self,
        image: Tensor,
        instruction: Plan,
        provider: str,
        choice: int,
        upload: bool = False,
        model: str = "",
        prompts: Literal["captions", "instructions"] = "captions",
    ) -> dict[str, Any]:
        from dragflow import UserError
        from dragflow.intent.options import ProviderOptions
        from dragflow.service import GuessOptions, answer_data, choose, guess

        from .library import source

        if len(image) != 1:
            raise UserError(f"{len(image)} pictures are given: what a drag means is guessed for one picture")
        ((picture, place),) = places(tensors.pictures(image))
        options = GuessOptions(ProviderOptions(name=provider, model=model or None), upload=upload)
        request, answer = guess(source(picture), instruction.instruction(place), options, prompts)
        chosen = choose(request, answer, choice).instruction
        said = "\n".join(
            f"{number}. {one['label']}: {one['prompt']}"
            for number, one in enumerate(answer_data(answer)["candidates"], start=1)
        )
        # Words that a person wrote stay.
        meant = replace(
            chosen,
            prompt=instruction.prompt or chosen.prompt,
            edit_prompt=instruction.edit_prompt or chosen.edit_prompt,
        )
        return {"ui": {"text": [said]}, "result": (Plan.of(meant), meant.prompt, meant.edit_prompt, said)}
