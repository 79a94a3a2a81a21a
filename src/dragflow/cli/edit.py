"""The work behind `dragflow edit` and `dragflow preview`: check everything first, then load, edit, write."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from dragflow.cli.operations import instruction
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.events import Observer
from dragflow.core.result import EditResult, ModelIdentity
from dragflow.core.task import Instruction
from dragflow.io.files import check_writable
from dragflow.io.images import SourceImage, check_png_name, load_image, save_png
from dragflow.io.instruction import parse_instruction
from dragflow.io.presets import load_preset, override
from dragflow.io.preview import ghost, overlay
from dragflow.io.recipe import load_recipe, save_result, save_sidecar
from dragflow.io.resolve import resolve

DEFAULT_MODEL = "black-forest-labs/FLUX.1-dev"


@dataclass(frozen=True)
class EditRequest:
    """The options of one `dragflow edit`."""

    image: Path
    output: Path | None
    task: Path | None
    ordered: list[tuple[str, str]]
    area: Path | None
    prompt: str | None
    edit_prompt: str | None
    recipe: Path | None
    model: str | None
    preset: str | None
    settings: list[str]
    seed: int | None
    device: str | None
    dtype: str | None
    quantize: str | None
    offload: bool
    lora: tuple[str, ...]
    trace: Path | None
    sidecar: Path | None
    json_lines: bool


@dataclass(frozen=True)
class _Plan:
    """What is going to be done, all of it checked."""

    source: SourceImage
    instruction: Instruction
    config: EditConfig
    model: str
    dtype: str | None
    quantize: str | None
    lora: tuple[str, ...]
    expected: ModelIdentity | None


def run_edit(request: EditRequest) -> None:
    """Edit one picture.

    Raises:
        UserError: anything that breaks a rule, before the model is loaded where that can be known before.
    """
    output = request.output or _default_output(request.image)
    check_png_name(output)
    for path in (output, request.sidecar):
        if path is not None:
            check_writable(path, source=request.image)
    plan = _plan(request) if request.recipe is None else _repeat(request, request.recipe)
    task = resolve(plan.source.pixels, plan.instruction, margin=plan.config.area.margin)
    with _observer(request.json_lines) as observer:
        tracer = None
        if request.trace is not None:
            from dragflow.cli.trace import Tracer

            observer = tracer = Tracer(request.trace, observer)
        result = _edit(request, plan, observer)
    save_result(output, plan.source, result)
    if request.sidecar is not None:
        save_sidecar(request.sidecar, result.provenance)
    if tracer is not None:
        tracer.write(task, result.image)
    _report(request, output, result)


def _default_output(image: Path) -> Path:
    output = Path(f"{image.stem}-edit.png")
    if output.exists():
        raise UserError(f"{output} exists already: name the output with -o")
    return output


def run_preview(image: Path, output: Path, instruction: Instruction, *, plain: bool) -> None:
    """Draw the preview of an instruction.

    Raises:
        UserError: anything that breaks a rule.
    """
    check_png_name(output)
    check_writable(output, source=image)
    source = load_image(image)
    task = resolve(source.pixels, instruction)
    save_png(output, source, ghost(task) if plain else overlay(task))


def _plan(request: EditRequest) -> _Plan:
    config = override(load_preset(request.preset or "default"), request.settings)
    if request.seed is not None:
        config = override(config, [f"seed={request.seed}"])
    return _Plan(
        source=load_image(request.image),
        instruction=instruction(request.task, request.ordered, request.prompt, request.edit_prompt, request.area),
        config=config,
        model=request.model or DEFAULT_MODEL,
        dtype=request.dtype,
        quantize=request.quantize,
        lora=request.lora,
        expected=None,
    )


def _repeat(request: EditRequest, result: Path) -> _Plan:
    """The plan of an earlier result, on the same picture and the same weights."""
    given = {
        "--task": request.task,
        "--preset": request.preset,
        "--set": request.settings,
        "--seed": request.seed,
        "--prompt": request.prompt,
        "--edit-prompt": request.edit_prompt,
        "--area": request.area,
        "an operation": request.ordered,
    }
    extra = [name for name, value in given.items() if value not in (None, [])]
    if extra:
        raise UserError(f"--from repeats an edit as it was: leave out {', '.join(extra)}")
    recipe = load_recipe(result)
    source = load_image(request.image)
    if source.sha256 != recipe.source_sha256:
        raise UserError(f"{request.image} is not the picture that {result} was made from: their pixels differ")
    return _Plan(
        source=source,
        instruction=parse_instruction(recipe.instruction, f"recipe of {result}"),
        config=recipe.config,
        model=request.model or recipe.model.id,
        dtype=request.dtype or recipe.model.dtype,
        quantize=request.quantize or recipe.model.quantize,
        lora=request.lora or recipe.model.lora,
        expected=recipe.model,
    )


def _edit(request: EditRequest, plan: _Plan, observer: Observer) -> EditResult:
    from dragflow.editor import Editor

    editor = Editor.load(
        plan.model,
        device=request.device,
        dtype=plan.dtype,
        quantize=plan.quantize,
        offload=request.offload,
        lora=plan.lora,
    )
    identity = editor.backbone.identity()
    if plan.expected is not None and identity.fingerprint != plan.expected.fingerprint:
        raise UserError(
            f"model {plan.model} has not the weights that made the result ({identity.fingerprint} instead of "
            f"{plan.expected.fingerprint}): name the right one with --model"
        )
    session = editor.open(plan.source, plan.instruction.prompt, config=plan.config, observer=observer)
    return session.edit(plan.instruction, plan.config, observer)


@contextmanager
def _observer(json_lines: bool) -> Iterator[Observer]:
    from dragflow.cli import progress

    _silence_libraries()
    if json_lines:
        yield progress.json_lines
        return
    with progress.bar() as observer:
        yield observer


def _silence_libraries() -> None:
    """Progress bars and notes of the model libraries would tear our own progress bar apart."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("torchao").setLevel(logging.ERROR)


def _report(request: EditRequest, output: Path, result: EditResult) -> None:
    seconds = sum(timing.seconds for timing in result.provenance.timings)
    if request.json_lines:
        from dragflow.cli.progress import emit

        emit({"event": "written", "output": str(output), "seconds": round(seconds, 3), "losses": result.losses})
        return
    memory = result.provenance.peak_memory_mib
    typer.echo(f"{output}: {seconds:.1f} s" + (f", peak memory {memory:.0f} MiB" if memory else ""))
