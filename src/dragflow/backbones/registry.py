"""From a model's name or folder to its backbone; the families that dragflow knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from dragflow.core.errors import CapabilityError, UserError
from dragflow.method.backbone import Backbone

NANO, DUMMY = "nano", "dummy"
"""The built-in models: `nano` is small and trained on procedural scenes; `dummy` has random weights, for tests."""

_FAMILIES = {"FluxPipeline": "dragflow.backbones.flux1_loading"}
"""Pipeline class of `model_index.json` -> module with `load(LoadOptions) -> Backbone`."""


_WANTED = ["*.json", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model"]
"""Files of a pipeline; a single-file checkpoint beside them is left where it is."""


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model."""

    model: str
    """Hub id, or folder in diffusers layout."""
    folder: Path
    """Where it lies."""
    revision: str | None
    device: str | None
    dtype: str | None
    quantize: str | None
    offload: bool
    lora: tuple[str, ...]
    checkpointing: bool | None


def load_backbone(
    model: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    quantize: str | None = None,
    offload: bool = False,
    lora: tuple[str, ...] = (),
    checkpointing: bool | None = None,
) -> Backbone:
    """Load a model; see `Editor.load`.

    Raises:
        UserError: no such model, a part missing, a family that is not known.
    """
    folder, commit = locate(model, revision)
    family = _FAMILIES.get(pipeline_class(folder))
    if family is None:
        raise CapabilityError(
            f"model {model} is a {pipeline_class(folder)}: dragflow knows {', '.join(_FAMILIES)} in diffusers layout"
        )
    load: Callable[[LoadOptions], Backbone] = import_module(family).load
    return load(LoadOptions(model, folder, commit, device, dtype, quantize, offload, lora, checkpointing))


def locate(model: str, revision: str | None = None) -> tuple[Path, str | None]:
    """The folder of a model (downloaded where it must be), and the commit of a hub snapshot.

    Raises:
        UserError: it is no folder, and the hub does not give it.
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
        raise UserError(f"model {model} is no folder and no hub id: give a folder in diffusers layout, or owner/name")
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
