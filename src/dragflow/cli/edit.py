"""The work behind `dragflow edit` and `dragflow preview`: check everything first, then run the job, write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.backbones.usual import usual_prompts
from dragflow.cli.consent import allowed
from dragflow.cli.intent import IntentPlan, check_chooser, check_drawing, choose_in_edit, default_drawing
from dragflow.cli.operations import instruction
from dragflow.cli.options import AreaOptions, ConfigOptions, OperationOptions, TaskOptions, changed
from dragflow.cli.progress import shown
from dragflow.cli.settled import tell
from dragflow.cli.spelling import flag
from dragflow.cli.terminal import emit, say
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.events import Observer
from dragflow.core.extras import extra
from dragflow.core.models import ModelOptions
from dragflow.core.result import IntentRecord
from dragflow.core.task import Instruction
from dragflow.files.atomic import write_bytes, write_files
from dragflow.files.encoding import check_output_name, encode
from dragflow.files.outputs import check_folder, check_outputs, named_files
from dragflow.files.pictures import load_image
from dragflow.files.presets import load_preset
from dragflow.files.recipes import dump_sidecar, load_recipe
from dragflow.pixels.drawing import overlay
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.service.jobs import EditJob, plan, repeat
from dragflow.service.pool import ModelPool
from dragflow.service.run import Service
from dragflow.service.trace import Tracer, trace_files

if TYPE_CHECKING:
    from dragflow.editor.result import EditResult


@dataclass(frozen=True)
class Outputs:
    """What one `dragflow edit` writes."""

    output: Path | None
    """None for the default name."""
    sidecar: Path | None
    trace: Path | None
    cache: Path | None
    """Folder for inverted pictures."""
    force: bool
    """Whether files that exist are replaced."""


@dataclass(frozen=True)
class EditRequest:
    """The options of one `dragflow edit`."""

    image: Path
    operations: OperationOptions
    task: TaskOptions
    area: AreaOptions
    recipe: Path | None
    trust: bool
    config: ConfigOptions
    model: ModelOptions
    intent: IntentPlan | None
    outputs: Outputs
    json_lines: bool

    @property
    def output(self) -> Path:
        """Where the result goes."""
        return self.outputs.output or Path(f"{self.image.stem}-edit.png")


def run_edit(request: EditRequest) -> None:
    """Edit one picture.

    Raises:
        UserError: anything that breaks a rule, before the model is loaded where that can be known before.
    """
    trace, sidecar = request.outputs.trace, request.outputs.sidecar
    kind = check_output_name(request.output)
    if trace is not None:
        check_folder(trace)
        with extra("bench", "`trace`"):
            import matplotlib  # noqa: F401
    if request.outputs.cache is not None:
        check_folder(request.outputs.cache)
    if request.intent is not None:
        check_chooser(request.intent, as_json=request.json_lines)
    job, asked, record = _job(request)
    with shown(request.json_lines) as observer:
        tracer = None if trace is None else Tracer(trace, observer)
        result = _run(job, tracer or observer, request.outputs.cache)
    result = replace(result, provenance=replace(result.provenance, intent=record))
    files = {} if tracer is None else tracer.files(job.task, result.pixels)
    if sidecar is not None:
        files[sidecar] = dump_sidecar(result.provenance).encode()
    write_files(files | {request.output: result.encoded(kind)}, folder=trace)
    tell(asked, result.task.instruction, as_json=request.json_lines)
    _report(request, result)


def run_preview(
    image: Path,
    output: Path,
    operations: OperationOptions,
    task: TaskOptions,
    area: AreaOptions,
    *,
    preset: str,
    plain: bool,
    force: bool,
) -> None:
    """Draw the preview of an instruction.

    Raises:
        UserError: anything that breaks a rule.
    """
    kind = check_output_name(output)
    asked = instruction(operations, task, area)
    check_outputs(output, inputs=named_files(image, operations.mask, task.task, area, preset, asked), force=force)
    source = load_image(image)
    drawn = resolve(source.pixels, asked, margin=load_preset(preset).area.margin)
    write_bytes(output, encode(kind, source, draw_preview(drawn, texture=True) if plain else overlay(drawn)))
    tell(asked, drawn.instruction)


def _job(request: EditRequest) -> tuple[EditJob, Instruction, IntentRecord | None]:
    """What is going to be done, all of it checked, what was asked for, and who said what it means."""
    source = load_image(request.image)
    if request.recipe is not None:
        _refuse_beside_recipe(request)
        recipe = load_recipe(request.recipe)
        _check_outputs(request, None, recipe.weights.options, recipe.subject)
        trust = request.trust or allowed(request.recipe, recipe, request.model, as_json=request.json_lines)
        return repeat(source, recipe, request.model, trust=trust), recipe.instruction, None
    if request.trust:
        raise UserError("`trust` allows what the recipe of --from asks for: add --from RESULT, or leave it out")
    config = request.config.config(request.model)
    asked = instruction(request.operations, request.task, request.area)
    drawn = default_drawing(request.image) if request.intent is not None and request.intent.number is None else None
    _check_outputs(request, drawn, asked)
    job = plan(source, asked, config, request.model)
    if request.intent is None:
        return job, asked, None
    prompts = usual_prompts(request.model, config)
    chosen = choose_in_edit(source, asked, request.intent, prompts=prompts, drawn=drawn, as_json=request.json_lines)
    return plan(source, chosen.instruction, config, request.model), chosen.instruction, chosen.record


def _check_outputs(request: EditRequest, drawn: Path | None, *read: object) -> None:
    """Check everything that is going to be written against everything that is read, `read` among it."""
    outputs = request.outputs
    typed = (request.image, request.recipe, request.operations.mask, request.task.task, request.area)
    inputs = named_files(*typed, request.config.preset, request.model, request.intent, *read)
    traced = trace_files(outputs.trace) if outputs.trace is not None and outputs.trace.is_dir() else ()
    written = [path for path in (request.output, outputs.sidecar, *traced) if path is not None]
    check_outputs(*written, inputs=inputs, force=outputs.force)
    if drawn is not None:
        check_drawing(drawn, *written, inputs=inputs, force=outputs.force)


def _refuse_beside_recipe(request: EditRequest) -> None:
    surplus = [flag(name) for options in (request.task, request.config, request.area) for name in changed(options)]
    surplus += ["an operation"] if request.operations.ordered else []
    surplus += ["--intent"] if request.intent is not None else []
    if surplus:
        raise UserError(f"--from repeats an edit as it was: leave out {', '.join(surplus)}")


def _run(job: EditJob, observer: Observer, cache: Path | None) -> EditResult:
    service = Service(ModelPool(cache=cache))
    try:
        return finished(service, job, observer)
    finally:
        service.close()


def finished(service: Service, job: EditJob, observer: Observer) -> EditResult:
    """The result of a job, which Ctrl-C cancels.

    Raises:
        Cancelled: by that.
    """
    handle = service.submit(job, observer)
    try:
        return handle.result()
    except KeyboardInterrupt as interrupt:
        handle.cancel()
        raise Cancelled from interrupt


def _report(request: EditRequest, result: EditResult) -> None:
    seconds = sum(timing.seconds for timing in result.provenance.timings)
    if request.json_lines:
        emit({"event": "written", "output": str(request.output), "seconds": round(seconds, 3), "losses": result.losses})
        return
    memory = result.provenance.peak_memory_mib
    say(f"{request.output}: {seconds:.1f} s" + (f", peak memory {memory:.0f} MiB" if memory else ""))
