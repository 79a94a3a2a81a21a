"""`dragflow model`: which models there are, what a model's file is, and what suits a model; the user's own choice."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from dragflow.cli.model_store import add, download, remove, use
from dragflow.cli.sweep import sweep
from dragflow.cli.terminal import emit, say
from dragflow.core.errors import UserError

if TYPE_CHECKING:
    from dragflow.backbones.catalogue import Known, Usable
    from dragflow.backbones.checkpoints.recognise import Part, Recognised
    from dragflow.core.models import ModelOptions

app = App(
    name="model",
    help="List, choose, name, download and remove models; say what a model's file is; find what suits a model.",
)
app.command(sweep)
for _command in (use, add, download, remove):
    app.command(_command)


@app.command(name="list")
def list_models(*, model_root: tuple[str, ...] = (), json: bool = False) -> None:
    """List built-in models, weights on the hub with their licences, what of them is on this disk, your short names, and
    the models in model roots; asks no network.

    Parameters
    ----------
    model_root
        The folder of ComfyUI or InvokeAI, any folder of model files, or an extra_model_paths.yaml: say which models
        are in it, and what has their parts. Repeatable. [default: $DRAGFLOW_MODEL_ROOT]
    json
        As one JSON object on stdout.
    """
    from dragflow.backbones.catalogue import known_models, models_in
    from dragflow.core.models import NANO, ModelOptions
    from dragflow.files.models import chosen_model, user_models

    models, default, short = known_models(), chosen_model() or NANO, user_models().models
    roots = ModelOptions(model_root=model_root).roots
    folders, files = models_in(roots)
    models = (*models, *folders)
    if json:
        listed, usable = [asdict(model) for model in models], [_usable_facts(one) for one in files]
        names = {name: _options(options) for name, options in short.items()}
        emit({"default": default, "short": names, "models": listed, "files": usable})
        return
    say(f"used where none is named: {default}")
    for name, options in short.items():
        say(f"{name}\n  " + ", ".join(f"{key} {_words(value)}" for key, value in _options(options).items()))
    for one in models:
        say(f"{one.name}\n  {one.terms}; preset {one.preset}; {_place(one)}")
    for one in files:
        say("\n".join(_usable_lines(one)))


def _options(options: ModelOptions) -> dict[str, Any]:
    """What is kept with a short name."""
    from dragflow.cli.options import changed

    plain = asdict(options)
    groups = {name.partition(".")[0]: None for name in changed(options)}
    return {name: plain[name] for name in groups}


def _words(value: Any) -> str:
    return " ".join(map(_words, value)) if isinstance(value, tuple) else str(value)


def _usable_facts(one: Usable) -> dict[str, Any]:
    parts = {part: [str(path) for path in paths] for part, paths in one.parts.items()}
    return {**_facts(one.found), "found": parts, "rest": one.rest}


def _usable_lines(one: Usable) -> list[str]:
    """A model that is a file, and what has each of its parts."""
    from dragflow.backbones.checkpoints.table import NETWORKS

    lines = [f"{one.found.path}\n  {_titles(one.found)}; preset {one.preset}"]
    for part, network in one.found.missing:
        paths = one.parts[part]
        if len(paths) > 1:
            lines.append(f"  {part}: {' or '.join(map(str, paths))}; name one by --parts")
        else:
            place = str(paths[0]) if paths else f"missing ({NETWORKS[network].title}, from {NETWORKS[network].supply})"
            lines.append(f"  {part}: {place}")
    return [*lines, f"  tokenizers and scheduler: {one.rest}"]


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
        A .safetensors or .gguf file; or a model root, as `dragflow model list` takes it: every file in it, in a line.
    json
        As one JSON object on stdout, or one for each file.
    """
    from dragflow.backbones.checkpoints.recognise import recognise
    from dragflow.backbones.model_root import is_root

    if is_root(file):
        _inspect_root(file, json)
        return
    found = recognise(file)
    if json:
        emit(_facts(found))
    else:
        say("\n".join(_lines(found)))


def _inspect_root(root: Path, json: bool) -> None:
    """What every file in a model root is, or why it is of no use."""
    from dragflow.backbones.model_file import class_in
    from dragflow.backbones.model_root import read_roots

    held = read_roots([str(root)])
    if not held.files and not held.pipelines:
        raise UserError(f"{root} holds no .safetensors or .gguf file: name another folder")
    for folder in held.pipelines:
        if json:
            emit({"folder": str(folder), "pipeline": class_in(folder)})
        else:
            say(f"{folder}: {class_in(folder)}, in diffusers layout")
    for one in held.files:
        if one.found is None:
            if json:
                emit({"file": str(one.path), "refused": one.refused})
            else:
                say(f"{one.name}: refused, {one.refused}")
        elif json:
            emit(_facts(one.found))
        else:
            say(f"{one.name}: {_titles(one.found)}" + ("" if _is_used(one.found) else " (not supported)"))


def _titles(found: Recognised) -> str:
    return " and ".join(f"{part.title}, {part.precision}" for part in found.parts)


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
