"""`dragflow world-bench`: how near edits come to the truth on held-out scenes of the procedural world."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragflow.core.errors import UserError

if TYPE_CHECKING:
    from dragflow.bench.fidelity import Fidelity
    from dragflow.bench.world import Record


def world_bench(
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            metavar="P[,KEY=VALUE...]",
            help="A preset, perhaps changed; `no-model` (paste over OpenCV's inpainting), or `preview`. Repeatable. "
            "[default: no-model, preview, default]",
        ),
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Number of the first scene.")] = 0,
    model: Annotated[str, typer.Option(help="`nano`, or as for `edit`.")] = "nano",
    out: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for records, pictures and contact sheets; goes on from there."),
    ] = Path("world-bench"),
    base: Annotated[str, typer.Option(help="What gains are measured against.")] = "no-model",
    processes: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 1,
    fidelity: Annotated[
        int, typer.Option(min=0, metavar="N", help="Also measure autoencoder and inversion on N scenes.")
    ] = 0,
    json_: Annotated[bool, typer.Option("--json", help="The tables as one JSON object.")] = False,
) -> None:
    """Edit held-out scenes, and compare with the picture that the moved scene gives."""
    from dragflow.bench import table, world
    from dragflow.cli.progress import silence_libraries

    chosen = settings or [world.OPENCV, world.GHOST, "default"]
    if len(set(chosen)) < len(chosen):
        raise UserError(f"--preset: {', '.join(chosen)} names one twice; give each once")
    silence_libraries()
    numbers = world.held_out(seed, scenes)
    records = _run(chosen, numbers, model, out, processes)
    records.sort(key=lambda r: (chosen.index(r.setting), r.scene))
    sheets = table.contact_sheets(records, out)
    measured = _fidelity(model, world.held_out(seed, fidelity), chosen) if fidelity else None
    if json_:
        data = table.summary(records, base) | {"model": model, "seed": seed, "fidelity": measured and asdict(measured)}
        typer.echo(json.dumps(data, indent=1))
        return
    typer.echo(table.markdown(records, base))
    if measured is not None:
        typer.echo(_fidelity_line(measured))
    typer.echo(f"\n{len(sheets)} contact sheets (source, result, truth) in {out}/*/sheet-*.png", err=True)


def _run(settings: list[str], numbers: range, model: str, out: Path, processes: int) -> list[Record]:
    from rich.console import Console
    from rich.progress import Progress

    from dragflow.bench import world

    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("editing", total=len(settings) * len(numbers))
        found: list[Record] = []
        for record in world.run(settings, numbers, model, out, processes):
            found.append(record)
            progress.advance(bar)
    return found


def _fidelity(model: str, numbers: range, settings: list[str]) -> Fidelity:
    from dragflow.bench.fidelity import fidelity
    from dragflow.bench.world import GHOST, OPENCV, editor, parse_setting

    setting = next((s for s in settings if s not in (OPENCV, GHOST)), "default")
    return fidelity(editor(model).backbone, numbers, parse_setting(setting).inversion)


def _fidelity_line(measured: Fidelity) -> str:
    return (
        f"\nWithout an edit, median of {measured.scenes} scenes: autoencoder {measured.autoencoder:.1f} dB on scenes, "
        f"{measured.photographs:.1f} dB on photographs; inversion and sampling {measured.inversion:.1f} dB to the "
        "autoencoder's own reconstruction."
    )
