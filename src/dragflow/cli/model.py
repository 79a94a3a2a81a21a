"""`dragflow model`: which models there are, what a model's file is, and what suits a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from dragflow.cli.sweep import sweep
from dragflow.cli.terminal import emit, say
from dragflow.core.errors import UserError

if TYPE_CHECKING:
    from dragflow.backbones.catalogue import Known
    from dragflow.backbones.checkpoints.recognise import Part, Recognised

app = App(name="model", help="List the models that are known; say what a model's file is; find what suits a model.")
app.command(sweep)


@app.command(name="list")
def list_models(*, json: bool = False) -> None:
    """List built-in models, weights on the hub with their licences, and what of them is on this disk; asks no network.

    Parameters
    ----------
    json
        As one JSON object on stdout.
    """
    from dragflow.backbones.catalogue import known_models

    models = known_models()
    if json:
        emit({"models": [asdict(model) for model in models]})
        return
    for one in models:
        say(f"{one.name}\n  {one.terms}; preset {one.preset}; {_place(one)}")


def _place(model: Known) -> str:
    from dragflow.core.text import file_size

    if model.size is None:
        return "not on this disk"
    lacking = "" if model.lacking is None else f", but {model.lacking} is missing"
    return f"{file_size(model.size)} on this disk{lacking}"


@app.command
def inspect(file: Annotated[Path, Parameter(name="FILE")], /, *, json: bool = False) -> None:
    """Say what a model's file is, what it lacks, and what has that; reads names and shapes of tensors alone.

    Parameters
    ----------
    file
        A .safetensors or .gguf file; or a folder, such as ComfyUI's `models`: every one in it, in a line.
    json
        As one JSON object on stdout, or one for each file.
    """
    from dragflow.backbones.checkpoints.recognise import recognise

    if file.is_dir():
        _inspect_folder(file, json)
        return
    found = recognise(file)
    if json:
        emit(_facts(found))
    else:
        say("\n".join(_lines(found)))


def _inspect_folder(folder: Path, json: bool) -> None:
    """What every file in a folder is, or why it is of no use."""
    from dragflow.backbones.checkpoints.header import GGUF, SAFETENSORS
    from dragflow.backbones.checkpoints.recognise import recognise

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SAFETENSORS + GGUF)
    if not files:
        raise UserError(f"folder {folder} holds no .safetensors or .gguf file: name another")
    for path in files:
        try:
            found = recognise(path)
        except UserError as error:
            if json:
                emit({"file": str(path), "refused": str(error)})
            else:
                say(f"{path.relative_to(folder)}: refused, {error}")
            continue
        if json:
            emit(_facts(found))
        else:
            held = " and ".join(f"{part.title}, {part.precision}" for part in found.parts)
            say(f"{path.relative_to(folder)}: {held}" + ("" if _is_used(found) else " (not supported)"))


def _is_used(found: Recognised) -> bool:
    from dragflow.backbones.model_file import known

    return found.transformer is None or bool(known(found))


def _facts(found: Recognised) -> dict[str, Any]:
    from dragflow.backbones.checkpoints.table import NETWORKS

    parts = [{**asdict(part), "kind": part.kind} for part in found.parts]
    missing = [
        {"part": part, "network": network, "supply": NETWORKS[network].supply} for part, network in found.missing
    ]
    return {
        "file": str(found.path),
        "parts": parts,
        "pipelines": found.pipelines,
        "missing": missing,
        "left": found.left,
    }


def _lines(found: Recognised) -> list[str]:
    from dragflow.backbones.checkpoints.table import NETWORKS

    lines = [f"{found.path}:", *(f"  {_described(part)}" for part in found.parts)]
    if found.left:
        lines.append(f"  {found.left} tensors that belong to none of these")
    if found.transformer is None:
        return [*lines, "  no transformer: a part of a model"]
    if not found.pipelines:
        return [*lines, "  this variant is not supported"]
    if found.missing:
        lines.append("missing:")
        lines += [f"  {part}: {NETWORKS[key].title}, from {NETWORKS[key].supply}" for part, key in found.missing]
    whole = NETWORKS[found.transformer.network].supply
    return [*lines, f"tokenizers and scheduler: from a folder in diffusers layout, as {whole}"]


def _described(part: Part) -> str:
    layout = f"layout {part.layout}" + (f", names begin with {part.prefix}" if part.prefix else "")
    return f"{part.kind}: {part.title}, {part.precision}, {layout}, {part.values / 1e9:.3g} billion values"
