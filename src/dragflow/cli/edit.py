"""The work behind `dragflow edit` and `dragflow preview`: check everything first, then load, edit, write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dragflow.cli.intent import Asking, check_chooser, choose, default_drawing
from dragflow.cli.model import GivenIdentity, chosen_identity, chosen_model
from dragflow.cli.operations import Editable, instruction
from dragflow.cli.progress import emit, shown
from dragflow.core.config import EditConfig
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.events import Observer
from dragflow.core.result import EditResult, IdentityOptions, IntentRecord, Recipe
from dragflow.core.task import Instruction
from dragflow.io.files import check_folder, check_writable
from dragflow.io.images import SourceImage, check_png_name, load_image, save_png
from dragflow.io.instruction import parse_instruction
from dragflow.io.presets import load_preset, override
from dragflow.io.preview import ghost, overlay
from dragflow.io.recipe import load_recipe, save_result, save_sidecar
from dragflow.io.resolve import resolve

if TYPE_CHECKING:
    from dragflow.editor import Editor


@dataclass(frozen=True)
class EditRequest:
    """The options of one `dragflow edit`."""

    image: Path
    output: Path | None
    task: Path | None
    ordered: list[tuple[str, str]]
    editable: Editable
    prompt: str | None
    edit_prompt: str | None
    recipe: Path | None
    model: str | None
    revision: str | None
    preset: str | None
    settings: list[str]
    seed: int | None
    device: str | None
    dtype: str | None
    quantize: str | None
    offload: bool
    lora: tuple[str, ...]
    identity: GivenIdentity
    asking: Asking | None
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
    revision: str | None
    dtype: str | None
    quantize: str | None
    lora: tuple[str, ...]
    identity: IdentityOptions | None
    expected: Recipe | None
    intent: IntentRecord | None = None


def run_edit(request: EditRequest) -> None:
    """Edit one picture.

    Raises:
        UserError: anything that breaks a rule, before the model is loaded where that can be known before.
    """
    output = request.output or _default_output(request.image)
    check_png_name(output)
    if request.sidecar == output:
        raise UserError(f"sidecar {request.sidecar} is the output itself: choose another name")
    if request.trace is not None:
        check_folder(request.trace)
    masks = [Path(value) for name, value in request.ordered if name == "--mask"]
    inputs = [request.image, request.task, request.recipe, request.editable.file, *masks]
    for path in (output, request.sidecar):
        if path is not None:
            check_writable(path, inputs=[source for source in inputs if source is not None])
    if request.asking is not None:
        check_chooser(request.asking, as_json=request.json_lines)
    plan = _plan(request) if request.recipe is None else _repeat(request, request.recipe)
    if request.asking is not None:
        plan = _meant(plan, request.image, request.asking, as_json=request.json_lines)
    task = resolve(plan.source.pixels, plan.instruction, margin=plan.config.area.margin)
    with shown(request.json_lines) as observer:
        tracer = None
        if request.trace is not None:
            from dragflow.cli.trace import Tracer

            observer = tracer = Tracer(request.trace, observer)
        try:
            result = _edit(request, plan, observer)
        except KeyboardInterrupt as interrupt:  # typer would end the program without a word
            raise Cancelled from interrupt
    result = replace(result, provenance=replace(result.provenance, intent=plan.intent))
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


def run_preview(image: Path, output: Path, instruction: Instruction, *, preset: str, plain: bool) -> None:
    """Draw the preview of an instruction.

    Raises:
        UserError: anything that breaks a rule.
    """
    check_png_name(output)
    check_writable(output, inputs=[image])
    source = load_image(image)
    task = resolve(source.pixels, instruction, margin=load_preset(preset).area.margin)
    save_png(output, source, ghost(task) if plain else overlay(task))


def _plan(request: EditRequest) -> _Plan:
    config = override(load_preset(request.preset or "default"), request.settings)
    if request.seed is not None:
        config = override(config, [f"seed={request.seed}"])
    return _Plan(
        source=load_image(request.image),
        instruction=instruction(request.task, request.ordered, request.prompt, request.edit_prompt, request.editable),
        config=config,
        model=chosen_model(request.model),
        revision=request.revision,
        dtype=request.dtype,
        quantize=request.quantize,
        lora=request.lora,
        identity=chosen_identity(request.identity),
        expected=None,
    )


def _meant(plan: _Plan, image: Path, asking: Asking, *, as_json: bool) -> _Plan:
    """The plan with the instruction that a person chose among a provider's guesses."""
    drawn = default_drawing(image) if asking.number is None else None
    if drawn is not None:
        check_writable(drawn, inputs=[image])
    chosen = choose(plan.source, plan.instruction, asking, drawn=drawn, as_json=as_json)
    return replace(plan, instruction=chosen.instruction, intent=chosen.record)


def _repeat(request: EditRequest, result: Path) -> _Plan:
    """The plan of an earlier result, on the same picture and the same weights."""
    given = {
        "--task": request.task,
        "--preset": request.preset,
        "--set": request.settings,
        "--seed": request.seed,
        "--prompt": request.prompt,
        "--edit-prompt": request.edit_prompt,
        "--area": request.editable.file,
        "an operation": request.ordered,
        "--dtype": request.dtype,
        "--quantize": request.quantize,
        "--lora": list(request.lora),
        "--identity": request.identity.adapter,
        "--intent": request.asking,
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
        revision=request.revision if request.model else recipe.model.revision,
        dtype=recipe.model.dtype,
        quantize=recipe.model.quantize,
        lora=recipe.model.lora,
        identity=chosen_identity(request.identity, recipe.identity and recipe.identity.options),
        expected=recipe,
    )


def _edit(request: EditRequest, plan: _Plan, observer: Observer) -> EditResult:
    from dragflow.editor import Editor

    editor = Editor.load(
        plan.model,
        revision=plan.revision,
        device=request.device,
        dtype=plan.dtype,
        quantize=plan.quantize,
        offload=request.offload,
        lora=plan.lora,
        identity=plan.identity,
    )
    if plan.expected is not None:
        _check_weights(editor, plan.expected)
    session = editor.open(plan.source, plan.instruction.prompt, config=plan.config, observer=observer)
    return session.edit(plan.instruction, plan.config, observer)


def _check_weights(editor: Editor, expected: Recipe) -> None:
    """Model, identity adapter and its encoders must have the weights that made a result."""
    model, adapter = editor.backbone.identity(), editor.adapter
    if model.fingerprint != expected.model.fingerprint:
        raise UserError(
            f"model {model.id} has not the weights that made the result ({model.fingerprint} instead of "
            f"{expected.model.fingerprint}): name the right one with --model"
        )
    if adapter is not None and adapter.record.fingerprint != (expected.identity and expected.identity.fingerprint):
        options = adapter.record.options
        raise UserError(
            f"identity weights {options.weights or options.adapter}, or the encoders, are not those that made the "
            "result: name the right ones with --identity-weights and the options of encoders"
        )


def _report(request: EditRequest, output: Path, result: EditResult) -> None:
    seconds = sum(timing.seconds for timing in result.provenance.timings)
    if request.json_lines:
        emit({"event": "written", "output": str(output), "seconds": round(seconds, 3), "losses": result.losses})
        return
    memory = result.provenance.peak_memory_mib
    typer.echo(f"{output}: {seconds:.1f} s" + (f", peak memory {memory:.0f} MiB" if memory else ""))
