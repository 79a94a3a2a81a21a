"""`dragflow project`: make, show, repeat and export the file of a picture and its edits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from dragflow.cli.options import ForceArg, ModelArgs, Output
from dragflow.cli.terminal import console, emit, say
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions

if TYPE_CHECKING:
    from dragflow.files.project_edits import ProjectEdit
    from dragflow.files.projects import Project

app = App(name="project", help="Make, show, repeat and export a project: a picture, its edits and their results.")

ProjectArg = Annotated[Path, Parameter(name="PROJECT", help="The project's file, .dragflow.")]
Begun = Annotated[Path, Parameter(name="IMAGE", help="The first picture; or a project, to add results to it.")]
Results = Annotated[Path, Parameter(name="RESULT", help="Results of edits of the picture, or of each other.")]


@app.command
def new(image: Begun, /, *results: Results, output: Annotated[Path, Output], force: ForceArg = False) -> None:
    """Put a picture and the results of its edits into one file; their recipes say what was continued from what.

    Parameters
    ----------
    output
        The project's file, .dragflow.
    """
    from dragflow.files.outputs import check_outputs, named_files
    from dragflow.files.project_file import SUFFIX
    from dragflow.files.projects import Project, check_project_name

    check_outputs(check_project_name(output), inputs=named_files(image, results), force=force)
    begun = Project.load(image) if image.suffix.lower() == SUFFIX else Project.of(image)
    project = begun.joined(results)
    project.save(output)
    say(f"{output}: {_count(project)}")


@app.command
def show(project: ProjectArg, /, *, json: bool = False) -> None:
    """Show the edits of a project, after everything in it was verified.

    Parameters
    ----------
    json
        As one JSON object on stdout.
    """
    from dragflow.files.projects import Project

    held = Project.load(project)
    facts = [_facts(number, edit) for number, edit in enumerate(held.edits, start=1)]
    h, w = held.source.size
    if json:
        picture = {"name": held.source.name, "width": w, "height": h, "sha256": held.source.sha256}
        emit({"project": str(project), "picture": picture, "edits": facts})
        return
    from rich.table import Table

    table = Table("edit", "continues", "what", "model", "preset", "seed", "seconds", title=f"{project}")
    for facts_of_edit in facts:
        table.add_row(*("" if value is None else str(value) for value in facts_of_edit.values()))
    console().print(table)
    say(f"{held.source.name}: {w} x {h}; {_count(held)}")


@app.command
def run(
    project: ProjectArg,
    /,
    *,
    trust: bool = False,
    model: ModelArgs = ModelOptions(),
    json: bool = False,
) -> int:
    """Repeat every edit of a project, and say of each whether its bytes are the same; exit code 1 when some are not.

    Parameters
    ----------
    trust
        Load what the recipes name without asking.
    json
        Events as JSON lines on stdout.
    """
    from dragflow.cli.edit import finished
    from dragflow.cli.progress import shown
    from dragflow.files.projects import Project
    from dragflow.service.pool import ModelPool
    from dragflow.service.projects import check_chosen, repeat_edits
    from dragflow.service.run import Service

    held, same = Project.load(project), True
    trust = trust or _allowed(project, held, model, json)
    if not trust:
        check_chosen(held, model)
    service = Service(ModelPool())
    try:
        with shown(json) as observer:
            repeat = partial(finished, service, observer=observer)
            for repeated in repeat_edits(held, repeat, model, trust=trust):
                same &= repeated.same
                if json:
                    said = {"edit": repeated.number, "same": repeated.same, "pixels": repeated.pixels}
                    emit({"event": "repeated", **said})
                else:
                    say(repeated.text)
    finally:
        service.close()
    return 0 if same else 1


@app.command
def export(
    project: ProjectArg,
    /,
    *,
    output: Annotated[Path, Output],
    edit: int | None = None,
    force: ForceArg = False,
) -> None:
    """Write a result of a project for other programs: the picture and each edit as layers, or the result itself.

    Parameters
    ----------
    output
        An .ora, which Krita and GIMP open in layers; or a file named as the result is, usually .png, which is the
        result, byte for byte.
    edit
        Number of the edit. [default: the last one]
    """
    from dragflow.files.atomic import write_bytes
    from dragflow.files.encoding import written_suffix
    from dragflow.files.outputs import check_outputs, named_files
    from dragflow.files.project_layers import last_result, project_raster
    from dragflow.files.projects import Project

    check_outputs(output, inputs=named_files(project), force=force)
    held = Project.load(project)
    number = last_result(held) if edit is None else edit
    if output.suffix.lower() == ".ora":
        write_bytes(output, project_raster(held, number))
        return
    result = held.stored(number)
    suffix = written_suffix(result.data, result.name)
    if output.suffix.lower() != suffix:
        raise UserError(f"output {output} is not named .ora or {suffix}: layers are an .ora, this result is a {suffix}")
    write_bytes(output, result.data)


def _allowed(file: Path, project: Project, model: ModelOptions, as_json: bool) -> bool:
    """Say what the recipes ask for, each thing once, and ask the person whether to load what no option names."""
    from dragflow.cli.consent import allowed
    from dragflow.core.models import WeightsId

    told: list[tuple[WeightsId, object]] = []
    answers: list[bool] = []
    for edit in project.edits:
        recipe = edit.recipe
        if recipe is not None and (recipe.weights, recipe.subject) not in told:
            told.append((recipe.weights, recipe.subject))
            answers.append(allowed(file, recipe, model, as_json=as_json))
    return any(answers)


def _count(project: Project) -> str:
    marked = sum(edit.result is None for edit in project.edits)
    made = len(project.edits) - marked
    return f"{made} {'result' if made == 1 else 'results'}" + (f", {marked} marked and not run yet" if marked else "")


def _facts(number: int, edit: ProjectEdit) -> dict[str, str | int | float | None]:
    from dragflow.core.text import one_line
    from dragflow.files.presets import as_settings

    recipe, asked = edit.recipe, edit.instruction
    count = len(asked.operations)
    preset, changes = (None, []) if recipe is None else as_settings(recipe.config)
    what = ", ".join(edit.names) or f"{count} {'region' if count == 1 else 'regions'}"
    return {
        "edit": number,
        "continues": edit.parent,
        "what": one_line(what),
        "model": "not run yet" if recipe is None else recipe.weights.options.name,
        "preset": preset if not changes else f"{preset}, {len(changes)} changed",
        "seed": None if recipe is None else recipe.config.seed,
        "seconds": edit.seconds,
    }
