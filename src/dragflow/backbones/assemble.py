"""A model that is a file, put together: which file or folder has each of the parts that a pipeline needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dragflow.backbones.checkpoints.network import Checkpoint
from dragflow.backbones.checkpoints.recognise import Part, Recognised, recognise
from dragflow.backbones.checkpoints.table import NETWORKS
from dragflow.backbones.configs import read_config
from dragflow.backbones.family import FAMILIES
from dragflow.backbones.hub import INDEX, cached, find
from dragflow.backbones.hub_files import absent
from dragflow.backbones.model_file import class_in, known, published_for, rest_in_roots
from dragflow.backbones.model_root import ModelRoot, read_roots
from dragflow.backbones.parts import Source
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions

_log = logging.getLogger(__name__)


def assemble(options: ModelOptions) -> Source:
    """All parts of a model that is a file: from it, from further files, from model roots, and the rest from a folder
    or the hub.

    Raises:
        UserError: a file is not recognised, is none of the parts that are needed, or nothing has one of them.
        CapabilityError: no pipeline of this transformer is supported.
    """
    main = recognise(Path(options.name))
    if options.gguf is not None:
        raise UserError(f"`quantize` names a transformer, and so does `model` {main.path}: leave one of them out")
    transformer = _supported(main)
    if main.left:
        _log.info("%d tensors of %s belong to none of its networks and are left out", main.left, main.path)
    files = [Path(name) for name in options.parts if Path(name).is_file()]
    checkpoints = _checkpoints(main, transformer, files)
    lacking = [(part, network) for part, network in main.needs if part not in checkpoints]
    root = read_roots(options.roots if lacking else ())
    for part, network in lacking:
        if (found := _in_roots(root, part, network)) is not None:
            checkpoints[part] = found
            files.append(found.file)
    name, folder = _rest(main, _named_rest(options, main), options.revision, checkpoints)
    _check_pipeline(main, transformer, name, folder)
    for checkpoint in _without_a_part(options, checkpoints, name, folder):
        files = [file for file in files if file != checkpoint.file]
    revision = None if Path(name).is_dir() else folder.name
    resolved = replace(options, parts=(name, *map(str, files)), model_root=())
    return Source(resolved, folder, revision, checkpoints)


def _without_a_part(
    options: ModelOptions, checkpoints: dict[str, Checkpoint], name: str, folder: Path
) -> list[Checkpoint]:
    """Take out the networks of which the model of a folder has no part, as a T5 where Stable Diffusion 3 has none.

    Raises:
        UserError: one was named.
    """
    unread = {part: checkpoints[part] for part in checkpoints.keys() - {"transformer", *_parts_in(folder)}}
    for part, checkpoint in unread.items():
        if checkpoint.file in map(Path, options.parts):
            raise UserError(
                f"`parts` {checkpoint.file} is {checkpoint.part.title}, and the model of {name} has no {part}: leave "
                "it out, or name a folder or hub id of a model that has one"
            )
        _log.info("the %s in %s is left out, since %s has none", part, checkpoint.file, name)
        del checkpoints[part]
    return list(unread.values())


def _in_roots(root: ModelRoot, part: str, network: str) -> Checkpoint | None:
    """The file of a network in model roots; None if none has it.

    Raises:
        UserError: several have it.
    """
    held = root.having(network)
    if len(held) > 1:
        raise UserError(
            f"`model_root` has {held[0][0]} and {held[1][0]} as {part}: name the one that is meant by `parts`"
        )
    if not held:
        return None
    file, found = held[0]
    level = logging.WARNING if NETWORKS[network].shared else logging.INFO
    _log.log(level, "the %s is taken from %s, %s", part, file, found.title)
    return Checkpoint(file, found)


def _named_rest(options: ModelOptions, main: Recognised) -> str | None:
    """The folder or hub id that is given for what is in no file, else the folder of that kind in model roots.

    Raises:
        UserError: there are several.
    """
    named = [name for name in options.parts if not Path(name).is_file()]
    if len(named) > 1:
        raise UserError(f"`parts` name {named[0]} and {named[1]}: give one folder or hub id, and any number of files")
    if named:
        folder = Path(named[0])
        if folder.is_dir() and not (folder / INDEX).is_file():
            raise UserError(
                f"`parts` {folder} is not a model in diffusers layout, it has no {INDEX}: name a folder of model files "
                "by `model_root`"
            )
        return named[0]
    found = rest_in_roots(options, main)
    if len(found) > 1:
        raise UserError(
            f"`model_root` has {found[0]} and {found[1]} for tokenizers and scheduler: name the one that is meant by "
            "`parts`"
        )
    return str(found[0]) if found else None


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
    published = published_for(main)
    for each in published:
        folder = cached(each.name, revision)
        if folder is not None and absent(folder, _parts_in(folder), replaced) is None:
            return each.name, folder
    usual = min(published, key=lambda each: each.gated)
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
