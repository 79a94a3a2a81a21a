"""The edit itself, and the configuration of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from . import tensors
from .plans import INSTRUCTION, MODEL, RESULT, Place, Plan, places
from .progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from dragflow import EditConfig, Editor, EditResult

    from .loading import Model
    from .tensors import Picture

_BEST = "best for the model"


@dataclass(frozen=True)
class Results:
    """What the socket of results carries, one for each picture of the batch."""

    each: tuple[EditResult, ...]


class Edit:
    """Let a model redraw pictures so that what was dragged fits."""

    CATEGORY = "dragflow"
    FUNCTION = "edit"
    RETURN_TYPES = ("IMAGE", "MASK", RESULT)
    RETURN_NAMES = ("image", "area", "result")
    OUTPUT_TOOLTIPS = (
        "Outside of the area every pixel is that of the source.",
        "1 where the picture may change.",
        "For Save Edit, which writes the recipe.",
    )
    DESCRIPTION = "Drag the regions of an instruction, and let the model redraw the picture so that they fit."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        from dragflow import preset_names

        words = {"default": "", "multiline": True, "dynamicPrompts": False}
        return {
            "required": {
                "model": (MODEL,),
                "image": ("IMAGE",),
                "instruction": (INSTRUCTION,),
                "preset": ([_BEST, *preset_names()],),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**32 - 1, "control_after_generate": True}),
            },
            "optional": {
                "prompt": ("STRING", {**words, "placeholder": "what the picture shows"}),
                "edit_prompt": ("STRING", {**words, "placeholder": "what the edit does"}),
                "settings": ("STRING", {**words, "placeholder": "optimise.refining=10, one a line"}),
            },
        }

    def edit(
        self,
        model: Model,
        image: Tensor,
        instruction: Plan,
        preset: str,
        seed: int,
        prompt: str = "",
        edit_prompt: str = "",
        settings: str = "",
    ) -> tuple[Tensor, Tensor, Results]:
        plan = replace(
            instruction,
            prompt=prompt.strip() or instruction.prompt,
            edit_prompt=edit_prompt.strip() or instruction.edit_prompt,
        )
        changes = [line.strip() for line in settings.splitlines() if line.strip()]
        batch = places(tensors.pictures(image))
        progress, results = Progress(len(batch)), list[Any]()
        with model.working() as editor:
            config = _config(editor, None if preset == _BEST else preset, changes, seed)
            for picture, place in batch:
                results.append(_edited(editor, picture, plan, place, config, progress))
                progress.next_picture()
        return (
            tensors.image([_pixels(result) for result in results]),
            tensors.mask([result.area for result in results]),
            Results(tuple(results)),
        )


def _config(editor: Editor, preset: str | None, changes: Sequence[str], seed: int) -> EditConfig:
    """The configuration that widgets ask for.

    Raises:
        UserError: a setting that breaks a rule.
    """
    from dragflow.files.presets import configure

    spec = editor.backbone.spec
    config = configure(preset or spec.preset, changes, few=spec.preset if spec.distilled else None)
    return replace(config, seed=seed)


def _edited(
    editor: Editor, picture: Picture, plan: Plan, place: Place, config: EditConfig, progress: Progress
) -> EditResult:
    from dragflow.service import plan as planned

    asked = plan.instruction(place)
    # Planned first: what is wrong with the instruction is said before the picture is inverted.
    job = planned(picture, asked, config, editor.backbone.weights.options)
    session = editor.open(job.source, asked.prompt, config=config, observer=progress)
    return session.edit(job.task, config, progress)


def _pixels(result: EditResult) -> Any:
    import numpy as np

    return np.asarray(result.image)
