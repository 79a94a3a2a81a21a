"""From a model's name or folder to its backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

from dragflow.backbones.assemble import assemble
from dragflow.backbones.configs import read_config
from dragflow.backbones.family import FAMILIES, Family, published
from dragflow.backbones.footprint import Footprint
from dragflow.backbones.hub import INDEX, cached, find, folder_of
from dragflow.backbones.memory import fitted
from dragflow.backbones.model_file import is_file, pipeline_of, told
from dragflow.backbones.parts import Source
from dragflow.backbones.quiet import quiet_libraries
from dragflow.backbones.usual import NANO_FOLDER
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import DUMMY, FLUX1_DEV, NANO, ModelOptions
from dragflow.core.plugins import named
from dragflow.files.models import settled_model
from dragflow.method.backbone import Backbone


class Loader(Protocol):
    """Loads one family of models: a module, or an object."""

    def load(self, source: Source) -> Backbone:
        """Load a model from disk, quantised and on its device as the options say; ends with the gradient self-test."""
        ...

    def wrap(self, pipeline: Any, options: ModelOptions) -> Backbone:
        """A backbone on a loaded pipeline; only `checkpointing` and `offload` of the options count."""
        ...

    def footprint(self, model: str, folder: Path | None) -> Footprint:
        """How large a model is: the one in a folder, or published weights of this name; reads configurations only.

        Raises:
            UserError: a configuration is missing or damaged.
        """
        ...


def load_backbone(options: ModelOptions) -> Backbone:
    """Load a model; see `Editor.load`.

    Raises:
        UserError: no such model, a part missing, a family that is not known.
    """
    if options.memory is not None:
        options = fitted(options, footprint(options))
    source = source_of(options)
    family = _family_in(source.folder, source.options.name)
    with quiet_libraries():
        return _loader(family).load(source)


def source_of(options: ModelOptions) -> Source:
    """Where all parts of a model are, downloaded where they must be.

    Raises:
        UserError: one of them is nowhere.
    """
    options = settled_model(options)
    return assemble(options) if is_file(options) else Source(options, *locate(options))


def wrap_pipeline(pipeline: Any, options: ModelOptions) -> Backbone:
    """A backbone on a pipeline that is loaded already; see `Editor.from_pipeline`.

    Raises:
        CapabilityError: a family that is not known.
    """
    name = type(pipeline).__name__
    if name not in FAMILIES.names:
        raise CapabilityError(f"pipeline {name} is not known: dragflow knows {', '.join(FAMILIES.names)} of diffusers")
    family: Family = FAMILIES.load(name)
    return _loader(family).wrap(pipeline, options)


def footprint(options: ModelOptions) -> Footprint:
    """How large a model is: told by its configurations where they are on this disk, or come with dragflow; else those
    of FLUX.1-dev.

    Nothing is downloaded, and no weights are read.

    Raises:
        UserError: a folder that was named holds no model, or a damaged one.
        CapabilityError: a family that is not known.
    """
    options = settled_model(options)
    main = told(options)
    if main is not None and (pipeline := pipeline_of(options, main)) is not None:
        family: Family = FAMILIES.load(pipeline)
        names = [each.name for each in family.published]
        return _loader(family).footprint(next((name for name in names if name in main.published), names[0]), None)
    folder = _on_disk(options.name)
    if folder is not None:
        return _loader(_family_in(folder, options.name)).footprint(options.name, folder)
    snapshot = cached(options.name, options.revision)
    if snapshot is not None:
        try:
            return _loader(_family_in(snapshot, options.name)).footprint(options.name, snapshot)
        except UserError:  # a download that was never finished
            pass
    known = published()
    name = options.name if options.name in known else FLUX1_DEV
    family = FAMILIES.load(known[name])
    return _loader(family).footprint(name, None)


def locate(options: ModelOptions) -> tuple[Path, str | None]:
    """The folder of a model (downloaded where it must be), and the commit of a hub snapshot.

    Raises:
        UserError: it is not a folder, and the hub does not give it.
    """
    folder = _on_disk(options.name)
    if folder is not None:
        return folder, None
    replaced = () if options.gguf is None else ("transformer",)
    folder = find(options.name, options.revision, without_weights=replaced)
    return folder, folder.name


def pipeline_class(folder: Path) -> str:
    """The class named in `model_index.json`.

    Raises:
        UserError: the file is missing or broken.
    """
    index = folder / INDEX
    if not index.exists():
        raise UserError(
            f"model folder {folder} has no model_index.json: it must hold a whole pipeline in diffusers layout "
            "(transformer/, vae/, text_encoder/, tokenizer/, scheduler/, and what else its family has)"
        )
    name = read_config(f"model {folder}", index).get("_class_name")
    if not isinstance(name, str):
        raise UserError(f"{index} is damaged (it names no class): download or export the model again")
    return name


def _family_in(folder: Path, model: str) -> Family:
    name = pipeline_class(folder)
    if name not in FAMILIES.names:
        raise CapabilityError(
            f"model {model} is a {name}: dragflow knows {', '.join(FAMILIES.names)} in diffusers layout"
        )
    return FAMILIES.load(name)


def _loader(family: Family) -> Loader:
    return cast("Loader", named(family.loader))


def _on_disk(model: str) -> Path | None:
    """The folder of a built-in model, or one that was named; None for a model of the hub."""
    if model == NANO:
        return NANO_FOLDER
    if model == DUMMY:
        from dragflow.backbones.dummy import dummy_folder

        return dummy_folder()
    return folder_of(model)
