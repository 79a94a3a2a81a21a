"""A complete description of work: an `EditJob`, planned from a person's input or repeated from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dragflow.backbones.usual import preset_of_few_steps, usual_preset
from dragflow.core.checked import expect
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import IN_MEMORY, ModelOptions, SubjectOptions, lora_scale
from dragflow.core.result import Recipe
from dragflow.core.task import DragTask, Instruction, Operation
from dragflow.files.instructions import given_instruction
from dragflow.files.models import settled_model
from dragflow.files.pictures import Picture, SourceImage, as_source
from dragflow.files.presets import check_config, configure
from dragflow.pixels.resolve import resolve
from dragflow.service.consent import chosen_model, kept_with, refusal, unchosen
from dragflow.subject.registry import check_options


@dataclass(frozen=True, eq=False)
class EditJob:
    """One edit; once it is planned, changes to the caller's files and arrays do not affect it."""

    source: SourceImage
    instruction: Instruction
    """With every mask as pixels."""
    config: EditConfig
    model: ModelOptions

    @cached_property
    def task(self) -> DragTask:
        """The instruction on its picture, checked and rasterised once.

        Raises:
            UserError: the instruction breaks a rule, which that of a planned job does not.
        """
        return resolve(self.source.pixels, self.instruction, margin=self.config.area.margin)


def plan(
    picture: Picture,
    instruction: Instruction | Operation | Sequence[Operation] | str | Path,
    config: EditConfig | str | None,
    model: ModelOptions,
) -> EditJob:
    """A job, with everything checked that needs no model.

    Args:
        picture: path, array (H, W, 3 or 4) uint8, PIL picture, or `SourceImage`.
        instruction: an instruction, one operation or several, or the path of an instruction file or ReD Bench folder.
        config: preset name or configuration; the preset that serves the model best when None.
        model: which model, and how it is loaded.

    Raises:
        UserError: a picture, mask, instruction, configuration or subject adapter that breaks a rule.
        CapabilityError: a preset that makes no sense for the model.
    """
    if (subject := settled_model(expect(ModelOptions, model)).subject) is not None:
        check_options(subject)
    chosen = usual_preset(model) if config is None else config
    named = isinstance(chosen, str)
    settings = configure(chosen, few=preset_of_few_steps(model)) if named else check_config(chosen)
    job = EditJob(as_source(picture), given_instruction(instruction), settings, model)
    # Resolved now, so that its errors come before a model is loaded, and once: its guesses are part of the job.
    settled = replace(job, instruction=job.task.instruction)
    vars(settled)["task"] = job.task
    return settled


def repeat(source: SourceImage, recipe: Recipe, model: ModelOptions | None = None, *, trust: bool = False) -> EditJob:
    """The job that made a result, on the same picture and the same weights.

    A picture may come from a stranger: what its recipe would load, beside the built-in models, is loaded only if
    `model` names it too, or if the recipe is trusted.

    Args:
        source: the picture.
        recipe: of the result.
        model: where and how the model runs now, and where it, its LoRAs and its subject adapter are; what else
            determines their weights comes from the recipe.
        trust: load from where the recipe says what `model` does not name.

    Raises:
        UserError: another picture, something to load that nobody chose, or options that would change the weights.
    """
    if expect(SourceImage, source).sha256 != expect(Recipe, recipe).source_sha256:
        name = source.path or "the picture"
        raise UserError(f"{name} is not the picture that the result was made from: their pixels differ")
    if recipe.weights.fingerprint.startswith(IN_MEMORY):
        raise UserError("the result was made with a pipeline from memory: repeat it in Python by Editor.from_pipeline")
    given = ModelOptions() if model is None else expect(ModelOptions, model)
    made = recipe.weights.options
    _check_options(given, made)
    given = kept_with(recipe, given)
    surplus = () if trust else unchosen(recipe, given)
    if surplus:
        raise UserError(refusal(surplus))
    named = given.model if trust else chosen_model(recipe, given)
    options = replace(
        given,
        model=named or made.model,
        parts=given.parts or (() if given.model_root else made.parts),
        revision=given.revision if named else made.revision,
        dtype=made.dtype,
        quantize=given.quantize or made.quantize,
        lora=given.lora or made.lora,
        bridge=given.bridge or made.bridge,
        fingerprint=recipe.weights.fingerprint,
        unswept=given.unswept or not _names_all(recipe.config),
        subject=_subject(recipe, given.subject),
    )
    # What the picture's file says it was made by is not what its pixels are: the recipe has what was said then.
    return plan(replace(source, recipe_sha256=recipe.parent), recipe.instruction, recipe.config, options)


def _names_all(config: EditConfig) -> bool:
    """Whether a recipe names the taps and K/V sites that it used; an older one meant the model's own."""
    taps, sites = config.optimise.taps, config.kv.sites
    return (taps is not None or not config.drags) and (sites is not None or not config.injects)


def _check_options(given: ModelOptions, made: ModelOptions) -> None:
    """Refuse options that would make another result; files may be elsewhere."""
    if given.memory is not None:
        raise UserError(
            "`memory` may change how weights are stored: an edit is repeated as it was, give offload, swapped "
            "blocks or tiles instead"
        )
    moved = given.gguf is not None and made.gguf is not None
    for name in ("dtype", "fingerprint", *(() if moved else ("quantize",))):
        if getattr(given, name) != getattr(ModelOptions, name):
            raise UserError(f"`{name}` is {getattr(given, name)!r}: an edit is repeated as it was, leave it out")
    if given.lora and [lora_scale(text) for text in given.lora] != [lora_scale(text) for text in made.lora]:
        raise UserError(
            f"`lora` is given {len(given.lora)} times: the result has {', '.join(made.lora) or 'none'}; name the same "
            "LoRAs with the same scales in the same order, or leave them out"
        )
    if given.bridge is not None and made.bridge is None:
        raise UserError("`bridge` is given: the result was made without it, leave it out")


def _subject(recipe: Recipe, given: SubjectOptions | None) -> SubjectOptions | None:
    """The adapter of a recipe, with its parts where they are now."""
    usual = SubjectOptions()
    moved = {name: value for name, value in vars(given or usual).items() if value != getattr(usual, name)}
    if recipe.subject is None:
        if moved:
            raise UserError(f"`subject.{next(iter(moved))}` is given: the result was made without an adapter")
        return None
    made = recipe.subject.options
    if moved.get("adapter", made.adapter) != made.adapter:
        raise UserError(f"`subject.adapter` is {moved['adapter']!r}: the result was made with {made.adapter}")
    return replace(made, **moved | {"fingerprint": recipe.subject.fingerprint})
