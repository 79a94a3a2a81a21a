"""The work behind `dragflow edit` and `dragflow preview`: check everything first, then run the job, write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.cli.consent import allowed
from dragflow.cli.intent import IntentPlan, check_chooser, choose_in_edit, default_drawing
from dragflow.cli.operations import input_files, instruction
from dragflow.cli.options import AreaOptions, ConfigOptions, OperationOptions, TaskOptions, changed
from dragflow.cli.progress import shown
from dragflow.cli.spelling import flag
from dragflow.cli.terminal import emit, say
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.events import Observer
from dragflow.core.extras import extra
from dragflow.core.models import ModelOptions
from dragflow.core.result import IntentRecord
from dragflow.files.atomic import check_folder, check_writable
from dragflow.files.pictures import check_png_name, load_image, save_png
from dragflow.files.presets import load_preset
from dragflow.files.recipes import load_recipe, save_sidecar
from dragflow.pixels.drawing import overlay
from dragflow.pixels.preview import ghost
from dragflow.pixels.resolve import resolve
from dragflow.service.jobs import EditJob, plan, repeat
from dragflow.service.run import Service

if TYPE_CHECKING:
    from dragflow.editor.result import EditResult


@dataclass(frozen=True)
class EditRequest:
    """The options of one `dragflow edit`."""

    image: Path
    operations: OperationOptions
    task: TaskOptions
    area: AreaOptions
    output: Path | None
    recipe: Path | None
    trust: bool
    config: ConfigOptions
    model: ModelOptions
    intent: IntentPlan | None
    trace: Path | None
    sidecar: Path | None
    json_lines: bool


def run_edit(request: EditRequest) -> None:
    """Edit one picture.

    Raises:
        UserError: anything that breaks a rule, before the model is loaded where that can be known before.
    """
    output = request.output or _default_output(request.image)
    _check_outputs(request, output)
    if request.intent is not None:
        check_chooser(request.intent, as_json=request.json_lines)
    job, record = _job(request, output)
    with shown(request.json_lines) as observer:
        tracer = None
        if request.trace is not None:
            from dragflow.service.trace import Tracer

            observer = tracer = Tracer(request.trace, observer)
        result = _run(job, observer)
    result = replace(result, provenance=replace(result.provenance, intent=record))
    result.save(output)
    if request.sidecar is not None:
        save_sidecar(request.sidecar, result.provenance)
    if tracer is not None:
        tracer.write(job.task, result.pixels)
    _report(request, output, result)


def run_preview(
    image: Path,
    output: Path,
    operations: OperationOptions,
    task: TaskOptions,
    area: AreaOptions,
    *,
    preset: str,
    plain: bool,
) -> None:
    """Draw the preview of an instruction.

    Raises:
        UserError: anything that breaks a rule.
    """
    check_png_name(output)
    asked = instruction(operations, task, area)
    check_writable(output, inputs=input_files(image, task.task, operations=operations, area=area, asked=asked))
    source = load_image(image)
    drawn = resolve(source.pixels, asked, margin=load_preset(preset).area.margin)
    save_png(output, source, ghost(drawn) if plain else overlay(drawn))


def _check_outputs(request: EditRequest, output: Path) -> None:
    check_png_name(output)
    if request.sidecar is not None and request.sidecar.resolve() == output.resolve():
        raise UserError(f"`sidecar` {request.sidecar} is the output itself: choose another name")
    if request.trace is not None:
        check_folder(request.trace)
        with extra("bench", "`trace`"):
            import matplotlib  # noqa: F401
    named = [path for path in (request.image, request.task.task, request.recipe) if path is not None]
    for path in (output, request.sidecar):
        if path is not None:
            check_writable(path, inputs=named)


def _default_output(image: Path) -> Path:
    output = Path(f"{image.stem}-edit.png")
    if output.exists():
        raise UserError(f"{output} exists already: name another `output`")
    return output


def _job(request: EditRequest, output: Path) -> tuple[EditJob, IntentRecord | None]:
    """What is going to be done, all of it checked, and who said what it means."""
    source = load_image(request.image)
    if request.recipe is not None:
        _refuse_beside_recipe(request)
        recipe = load_recipe(request.recipe)
        trust = request.trust or allowed(request.recipe, recipe, request.model, as_json=request.json_lines)
        return repeat(source, recipe, request.model, trust=trust), None
    if request.trust:
        raise UserError("`trust` allows what the recipe of --from asks for: add --from RESULT, or leave it out")
    config = request.config.config()
    asked = instruction(request.operations, request.task, request.area)
    inputs = input_files(
        request.image, request.task.task, operations=request.operations, area=request.area, asked=asked
    )
    for path in (output, request.sidecar):
        if path is not None:
            check_writable(path, inputs=inputs)
    job = plan(source, asked, config, request.model)
    if request.intent is None:
        return job, None
    drawn = default_drawing(request.image) if request.intent.number is None else None
    if drawn is not None:
        check_writable(drawn, inputs=inputs)
    chosen = choose_in_edit(source, job.instruction, request.intent, drawn=drawn, as_json=request.json_lines)
    return plan(source, chosen.instruction, config, request.model), chosen.record


def _refuse_beside_recipe(request: EditRequest) -> None:
    surplus = [flag(name) for options in (request.task, request.config, request.area) for name in changed(options)]
    surplus += ["an operation"] if request.operations.ordered else []
    surplus += ["--intent"] if request.intent is not None else []
    if surplus:
        raise UserError(f"--from repeats an edit as it was: leave out {', '.join(surplus)}")


def _run(job: EditJob, observer: Observer) -> EditResult:
    service = Service()
    handle = service.submit(job, observer)
    try:
        return handle.result()
    except KeyboardInterrupt as interrupt:
        handle.cancel()
        raise Cancelled from interrupt
    finally:
        service.close()


def _report(request: EditRequest, output: Path, result: EditResult) -> None:
    seconds = sum(timing.seconds for timing in result.provenance.timings)
    if request.json_lines:
        emit({"event": "written", "output": str(output), "seconds": round(seconds, 3), "losses": result.losses})
        return
    memory = result.provenance.peak_memory_mib
    say(f"{output}: {seconds:.1f} s" + (f", peak memory {memory:.0f} MiB" if memory else ""))
