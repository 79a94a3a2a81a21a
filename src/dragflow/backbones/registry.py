"""From a model's name or folder to its backbone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from dragflow.backbones.footprint import Footprint
from dragflow.backbones.parts import Source, quiet_libraries
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import DUMMY, NANO, ModelOptions
from dragflow.core.plugins import Plugins
from dragflow.method.backbone import Backbone

FAMILIES = Plugins("pipeline", "dragflow.backbones", {"FluxPipeline": "dragflow.backbones.flux1.load"})
"""Class of a pipeline, as in `model_index.json`, to a `Family`."""
_PUBLISHED = "FluxPipeline"
"""That of the model which is loaded where none is named."""

_WANTED = ["*.json", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model"]
"""Files of a pipeline; a single-file checkpoint beside them is left where it is."""


class Family(Protocol):
    """A module that knows one family of models."""

    def load(self, source: Source) -> Backbone:
        """Load a model from disk, quantised and on its device as the options say; ends with the gradient self-test."""
        ...

    def wrap(self, pipeline: Any, options: ModelOptions) -> Backbone:
        """A backbone on a loaded pipeline; only `checkpointing` and `offload` of the options count."""
        ...

    def footprint(self, folder: Path | None) -> Footprint:
        """How large the model in a folder is, or the family's published one; reads configurations only.

        Raises:
            UserError: a configuration is missing or damaged.
        """
        ...


def load_backbone(options: ModelOptions) -> Backbone:
    """Load a model; see `Editor.load`.

    Raises:
        UserError: no such model, a part missing, a family that is not known.
    """
    folder, commit = locate(options.name, options.revision)
    family = _family_in(folder, options.name)
    with quiet_libraries():
        return family.load(Source(options, folder, commit))


def wrap_pipeline(pipeline: Any, options: ModelOptions) -> Backbone:
    """A backbone on a pipeline that is loaded already; see `Editor.from_pipeline`.

    Raises:
        CapabilityError: a family that is not known.
    """
    name = type(pipeline).__name__
    if name not in FAMILIES.names:
        raise CapabilityError(f"pipeline {name} is not known: dragflow knows {', '.join(FAMILIES.names)} of diffusers")
    family: Family = FAMILIES.load(name)
    return family.wrap(pipeline, options)


def footprint(options: ModelOptions) -> Footprint:
    """How large a model is: told by its configurations where they are on this disk, else those of FLUX.1-dev.

    Nothing is downloaded, and no weights are read.

    Raises:
        UserError: a folder that was named holds no model, or a damaged one.
        CapabilityError: a family that is not known.
    """
    folder = _on_disk(options.name)
    if folder is not None:
        return replace(_family_in(folder, options.name).footprint(folder), model=options.name)
    cached = _cached(options.name, options.revision)
    if cached is not None:
        try:
            return replace(_family_in(cached, options.name).footprint(cached), model=options.name)
        except UserError:  # a download that was never finished
            pass
    published: Family = FAMILIES.load(_PUBLISHED)
    return published.footprint(None)


def locate(model: str, revision: str | None = None) -> tuple[Path, str | None]:
    """The folder of a model (downloaded where it must be), and the commit of a hub snapshot.

    Raises:
        UserError: it is not a folder, and the hub does not give it.
    """
    folder = _on_disk(model)
    if folder is not None:
        return folder, None
    if not _is_hub_id(model):
        raise UserError(
            f"model {model} is neither a folder nor a hub id: give a folder in diffusers layout, or owner/name"
        )
    return _download(model, revision)


def pipeline_class(folder: Path) -> str:
    """The class named in `model_index.json`.

    Raises:
        UserError: the file is missing or broken.
    """
    index = folder / "model_index.json"
    try:
        name = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except FileNotFoundError as error:
        raise UserError(
            f"model folder {folder} has no model_index.json: it must hold a whole pipeline in diffusers layout "
            "(transformer/, vae/, text_encoder/, text_encoder_2/, tokenizer/, tokenizer_2/, scheduler/)"
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{index} is damaged ({error}): download or export the model again") from error
    return str(name)


def _family_in(folder: Path, model: str) -> Family:
    name = pipeline_class(folder)
    if name not in FAMILIES.names:
        raise CapabilityError(
            f"model {model} is a {name}: dragflow knows {', '.join(FAMILIES.names)} in diffusers layout"
        )
    return FAMILIES.load(name)


def _on_disk(model: str) -> Path | None:
    """The folder of a built-in model, or one that was named."""
    if model == NANO:
        return Path(__file__).parent / "nano"
    if model == DUMMY:
        from dragflow.backbones.dummy import dummy_folder

        return dummy_folder()
    return Path(model) if Path(model).is_dir() else None


def _is_hub_id(model: str) -> bool:
    return not Path(model).is_absolute() and not model.startswith((".", "~")) and model.count("/") == 1


def _cached(model: str, revision: str | None) -> Path | None:
    """The snapshot of a hub model that an earlier download left in the cache."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(model, "model_index.json", revision=revision) if _is_hub_id(model) else None
    return Path(index).parent if isinstance(index, str) else None


def _download(model: str, revision: str | None) -> tuple[Path, str | None]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=_WANTED))
    except GatedRepoError as error:
        raise UserError(f"model {model} is gated: accept its licence on the hub, then set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"model {model} is not on the hub (or is private): check the name, or set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise UserError(f"model {model} has no revision {revision} on the hub: check it") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"model {model} is not in the local cache and the hub cannot be reached: give a folder in diffusers "
            f"layout, or the built-in `{NANO}`"
        ) from error
    return folder, folder.name
