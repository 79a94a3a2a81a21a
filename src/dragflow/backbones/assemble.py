"""A model that is a file, put together: which file or folder has each of the parts that a pipeline needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dragflow.backbones.checkpoints.header import SAFETENSORS
from dragflow.backbones.checkpoints.network import Checkpoint
from dragflow.backbones.checkpoints.recognise import Part, Recognised, recognise
from dragflow.backbones.checkpoints.table import NETWORKS
from dragflow.backbones.configs import read_config
from dragflow.backbones.family import FAMILIES, Family
from dragflow.backbones.hub import INDEX, cached, find
from dragflow.backbones.hub_files import absent
from dragflow.backbones.model_file import class_in, is_root, known
from dragflow.backbones.parts import Source
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions


def assemble(options: ModelOptions) -> Source:
    """All parts of a model that is a file: from it, from further files, and the rest from a folder or the hub.

    Raises:
        UserError: a file is not recognised, is none of the parts that are needed, or nothing has one of them.
        CapabilityError: no pipeline of this transformer is supported.
    """
    main = recognise(Path(options.name))
    if options.gguf is not None:
        raise UserError(f"`quantize` names a transformer, and so does `model` {main.path}: leave one of them out")
    transformer = _supported(main)
    files = [Path(name) for name in options.parts if Path(name).is_file()]
    roots = [Path(name) for name in options.parts if is_root(name)]
    others = [name for name in options.parts if not Path(name).is_file() and not is_root(name)]
    if len(others) > 1:
        raise UserError(f"`parts` name {others[0]} and {others[1]}: give one folder or hub id, and any number of files")
    checkpoints = _checkpoints(main, transformer, files)
    for part, network in main.needs:
        if part not in checkpoints and (found := _in_roots(part, network, roots)) is not None:
            checkpoints[part] = found
            files.append(found.file)
    name, folder = _rest(main, others[0] if others else None, options.revision, checkpoints)
    _check_pipeline(main, transformer, name, folder)
    revision = None if Path(name).is_dir() else folder.name
    resolved = replace(options, parts=(name, *map(str, files)))
    return Source(resolved, folder, revision, checkpoints)


def _in_roots(part: str, network: str, roots: list[Path]) -> Checkpoint | None:
    """The file of a network in folders of files; None if none has it.

    Raises:
        UserError: several have it.
    """
    held: list[Checkpoint] = []
    for path in (path for root in roots for path in sorted(root.rglob("*")) if path.suffix.lower() in SAFETENSORS):
        try:
            parts = recognise(path).parts
        except UserError:  # of another program, or of none
            continue
        held += [Checkpoint(path, each) for each in parts if each.network == network and len(parts) == 1]
    if len(held) > 1:
        raise UserError(
            f"`parts` have {held[0].file} and {held[1].file} as {part}: name the one that is meant as a further of them"
        )
    return held[0] if held else None


def _supported(main: Recognised) -> Part:
    """The transformer in a file, of which a pipeline can be made.

    Raises:
        UserError: there is none.
        CapabilityError: no family has it, or none in this layout.
    """
    transformer = main.transformer
    if transformer is None:
        raise UserError(
            f"model {main.path} holds no transformer, only {main.parts[0].title}: give it by `parts`, and a "
            "transformer as `model`"
        )
    if known(main) and transformer.layout == "original" and not FAMILIES.load(known(main)[0]).layers:
        raise CapabilityError(
            f"model {main.path} is {transformer.title} in its authors' layout, which is not read yet: use one in "
            "diffusers layout"
        )
    if not known(main):
        raise CapabilityError(
            f"model {main.path} is {transformer.title}, which dragflow does not edit with: use another"
        )
    return transformer


def _checkpoints(main: Recognised, transformer: Part, files: list[Path]) -> dict[str, Checkpoint]:
    """The parts that these files have, by their names in the pipeline."""
    found = {"transformer": Checkpoint(main.path, transformer)}
    for source in (main, *map(recognise, files)):
        taken = False
        for held in source.parts:
            for part, network in main.needs:
                if held.network == network and (source is not main or part not in found):
                    if part in found and source is not main and found[part].file != main.path:
                        raise UserError(f"`parts` {found[part].file} and {source.path} both are {held.title}: give one")
                    found[part], taken = Checkpoint(source.path, held), True
        if not taken and source is not main:
            needed = ", ".join(NETWORKS[network].title for _, network in main.needs)
            raise UserError(f"`parts` {source.path} is {source.parts[0].title}, and what is needed is {needed}")
    return found


def _rest(
    main: Recognised, named: str | None, revision: str | None, checkpoints: Mapping[str, Checkpoint]
) -> tuple[str, Path]:
    """What has the parts that no file has: its name, and its folder."""
    replaced = tuple(checkpoints)
    if named is not None:
        return named, find(named, revision, what="`parts`", without_weights=replaced)
    family: Family = FAMILIES.load(known(main)[0])
    for each in family.published:
        folder = cached(each.name, revision)
        if folder is not None and absent(folder, _parts_in(folder), replaced) is None:
            return each.name, folder
    usual = min(family.published, key=lambda each: each.gated)
    try:
        return usual.name, find(usual.name, revision, without_weights=replaced)
    except UserError as error:
        lacking = [f"{part} ({NETWORKS[key].title})" for part, key in main.needs if part not in checkpoints]
        raise UserError(
            f"model {main.path} comes without {', '.join([*lacking, 'tokenizers and scheduler'])}: name by `parts` a "
            f"folder or hub id that has them ({error})"
        ) from error


def _parts_in(folder: Path) -> tuple[str, ...]:
    index = read_config(f"model {folder}", folder / INDEX)
    return tuple(part for part, entry in index.items() if isinstance(entry, list) and all(entry[:2]))


def _check_pipeline(main: Recognised, transformer: Part, name: str, folder: Path) -> None:
    made = class_in(folder)
    if made not in main.pipelines:
        raise UserError(
            f"`parts` {name} are of a {made}, and {main.path} is {transformer.title}: name those of a "
            f"{' or '.join(main.pipelines)}"
        )
