"""From a model's name or folder to its backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from dragflow.backbones.parts import Source, quiet_libraries
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions
from dragflow.core.plugins import Plugins
from dragflow.method.backbone import Backbone

NANO, DUMMY = "nano", "dummy"
"""The built-in models: `nano` is small and trained on procedural scenes; `dummy` has random weights, for tests."""

FAMILIES = Plugins("pipeline", "dragflow.backbones", {"FluxPipeline": "dragflow.backbones.flux1.load"})
"""Class of a pipeline, as in `model_index.json`, to a `Family`."""

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


def load_backbone(options: ModelOptions) -> Backbone:
    """Load a model; see `Editor.load`.

    Raises:
        UserError: no such model, a part missing, a family that is not known.
    """
    folder, commit = locate(options.name, options.revision)
    name = pipeline_class(folder)
    if name not in FAMILIES.names:
        raise CapabilityError(
            f"model {options.name} is a {name}: dragflow knows {', '.join(FAMILIES.names)} in diffusers layout"
        )
    family: Family = FAMILIES.load(name)
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


def locate(model: str, revision: str | None = None) -> tuple[Path, str | None]:
    """The folder of a model (downloaded where it must be), and the commit of a hub snapshot.

    Raises:
        UserError: it is not a folder, and the hub does not give it.
    """
    if model == NANO:
        return Path(__file__).parent / "nano", None
    if model == DUMMY:
        from dragflow.backbones.dummy import dummy_folder

        return dummy_folder(), None
    path = Path(model)
    if path.is_dir():
        return path, None
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
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
