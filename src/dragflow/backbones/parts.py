"""A model that was found on disk, and its networks read from safetensors: whole, or refused with the part named."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dragflow.backbones.checkpoints.autoencoder import naming_of
from dragflow.backbones.checkpoints.encoders import completed
from dragflow.backbones.checkpoints.names import is_beside
from dragflow.backbones.checkpoints.network import Checkpoint, fitting, opened, read_diffusers, shapes_of
from dragflow.backbones.configs import (
    Config,
    check_config,
    check_kind,
    check_sizes,
    defaults_of,
    empty_network,
    own_config,
    quantised_error,
    read_config,
    refuse_quantised,
)
from dragflow.backbones.hub_files import variant_of
from dragflow.backbones.quiet import quiet_libraries
from dragflow.backbones.tensors import Account, Entries, Entry, few, is_computed, quantised, read_folder, reason
from dragflow.core.errors import DragFlowError, UserError
from dragflow.core.models import ModelOptions

_log = logging.getLogger(__name__)

_OTHER_HALVES = {
    "T5EncoderModel": ("decoder.", "lm_head."),
    "Qwen3Model": ("lm_head.",),
    "CLIPTextModel": ("vision_model.", "visual_projection.", "text_projection.", "logit_scale"),
    "CLIPVisionModelWithProjection": ("text_model.", "text_projection.", "logit_scale"),
    "SiglipVisionModel": ("text_model.", "logit_scale", "logit_bias"),
}
"""How the names of tensors begin that files often hold beside those of a class: of the model's other half.

A class of our own says so itself, as `left_out`, and by `key_mapping` (pattern to text) what its files call tensors.
"""


@dataclass(frozen=True)
class Source:
    """A model that was found: what was asked for, and where it is."""

    options: ModelOptions
    folder: Path
    """In diffusers layout."""
    revision: str | None
    """Commit of the hub snapshot; None for a folder."""
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])
    """Parts whose weights are in files elsewhere."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Further files with weights, as those of parts, or the transformer's where it comes as GGUF."""
        files = [checkpoint.file for checkpoint in self.checkpoints.values()]
        files += [] if self.options.gguf is None else [Path(self.options.gguf)]
        return tuple(dict.fromkeys(files))

    @property
    def replaced(self) -> tuple[str, ...]:
        """Parts whose weights in the folder, if there are any, are not the model's."""
        return (*self.checkpoints, *(() if self.options.gguf is None else ("transformer",)))


@contextmanager
def part_of(model: str, part: str) -> Iterator[None]:
    """Say which part of a model could not be loaded; weights are read from safetensors only, never from pickles.

    The libraries are quiet meanwhile.

    Raises:
        UserError: instead of what the library raised.
    """
    try:
        with quiet_libraries():
            yield
    except (DragFlowError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the libraries believe what strangers' files say, and fail in any way
        raise UserError(
            f"model {model}: its {part} cannot be loaded ({reason(error)}): download or export the model again, as "
            "safetensors"
        ) from error


def load_part(cls: Any, model: str, part: str, device: torch.device, **where: Any) -> Any:
    """A network of a model, every weight of it from its file, on a device and ready to be used.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
    """
    return read_part(cls, model, part, **where).to(device).eval().requires_grad_(False)


def read_part(cls: Any, model: str, part: str, **where: Any) -> Any:
    """A network of a model as the library gives it: every weight from its file, and no tensor of a file unread.

    The libraries only warn where weights are missing, and draw them at random or leave them without values; what they
    have no place for they drop.

    Raises:
        UserError: it cannot be loaded, comes quantised, or configuration and files do not fit each other.
    """
    folder = Path(model) / where.get("subfolder", "")
    where["variant"] = variant = variant_of(folder)
    with part_of(model, part):
        if folder.is_dir() and nn.Module in cls.__mro__:  # else the library picks the class
            stem, index_first = ("model", False) if hasattr(cls, "config_class") else ("diffusion_pytorch_model", True)
            check_part(cls, model, part, folder, read_folder(folder, stem, variant, index_first=index_first))
        more = {**_mapped(cls), **where}
        network, info = cls.from_pretrained(model, use_safetensors=True, output_loading_info=True, **more)
    _account(cls, model, part, info)
    return network


def read_encoder(cls: Any, model: str, part: str, checkpoint: Checkpoint, config: Config, dtype: torch.dtype) -> Any:
    """A text encoder of a model from a file of its own, every weight accounted for; on the CPU.

    Args:
        cls: of transformers.
        model: name of the model.
        part: of it.
        checkpoint: the file.
        config: of the part.
        dtype: of its weights.

    Raises:
        UserError: it cannot be read, or does not fit its configuration.
    """
    part = f"{part} in {checkpoint.file}"
    where = f"model {model}: its {part}"
    with part_of(model, part), opened(checkpoint) as contents:
        own = _own(cls, contents.entries)
        check_config(where, config, defaults_of(cls), own)
        empty = empty_network(cls, config)
        check_sizes(where, config, empty, own)
        settings, tensors = completed(config, shapes_of(empty), checkpoint.part, contents.all())
        network, info = cls.from_pretrained(
            None,
            config=cls.config_class.from_dict(dict(own_config(cls, settings))),
            state_dict=tensors,
            dtype=dtype,
            ignore_mismatched_sizes=True,  # they are told below, by name
            output_loading_info=True,
            **_mapped(cls),
        )
    _account(cls, model, part, info)
    return network


def read_autoencoder(
    cls: Any, model: str, part: str, checkpoint: Checkpoint, config: Config, dtype: torch.dtype
) -> Any:
    """The same of an autoencoder of diffusers."""
    where = f"{part} in {checkpoint.file}"
    with part_of(model, where), opened(checkpoint) as contents:
        naming = naming_of(shapes_of(empty_network(cls, config)))
        fitted = fitting(cls, f"model {model}: its {where}", [config], contents.entries, naming)
        return read_diffusers(cls, fitted, contents, naming, dtype)


def _account(cls: Any, model: str, part: str, info: Any) -> None:
    """Refuse a network of which the library says that tensors were missing, left or of other shapes.

    Raises:
        UserError: names them.
    """
    surplus = [name for name in sorted(info["unexpected_keys"]) if not is_computed(name) and not is_beside(name)]
    known = [name for name in surplus if name.startswith(_left_out(cls))]
    misshapen = tuple((name, tuple(held), tuple(needed)) for name, held, needed in sorted(info["mismatched_keys"]))
    wrong = {name for name, *_ in misshapen}
    missing = tuple(name for name in sorted(info["missing_keys"]) if name not in wrong)
    account = Account(missing, tuple(name for name in surplus if name not in known), misshapen)
    if str(account):
        raise UserError(
            f"model {model}: its {part} is not the {cls.__name__} that its configuration describes: {account}; "
            "download or export the model again"
        )
    if known:
        _log.info("model %s: %d tensors beside its %s are left out: %s", model, len(known), part, few(known))


def check_part(cls: Any, model: str, part: str, folder: Path, entries: Entries) -> None:
    """Check a network's configuration against the tensors of its files, before any of it is read.

    Raises:
        UserError: it comes quantised, a setting is absurd, or configuration and files do not fit each other.
    """
    where = f"model {model}: its {part}"
    config = read_config(where, folder / "config.json")
    check_kind(where, cls, config)
    refuse_quantised(where, config)
    if how := quantised(entries):
        raise quantised_error(where, f"as {how}")
    check_config(where, config, defaults_of(cls), entries)
    check_sizes(where, config, empty_network(cls, config), _own(cls, entries))


def _left_out(cls: Any) -> tuple[str, ...]:
    return getattr(cls, "left_out", _OTHER_HALVES.get(cls.__name__, ()))


def _mapped(cls: Any) -> dict[str, Any]:
    """What the library is told of the names that the files of a class have."""
    return {"key_mapping": cls.key_mapping} if hasattr(cls, "key_mapping") else {}


def _own(cls: Any, entries: Entries) -> dict[str, Entry]:
    """Those tensors of files that are of a class, by the names that it has for them."""
    for pattern, text in getattr(cls, "key_mapping", {}).items():
        entries = {re.sub(pattern, text, name): entry for name, entry in entries.items()}
    return {name: entry for name, entry in entries.items() if not name.startswith(_left_out(cls))}


def class_of(config: Path) -> str:
    """The class that the configuration of a network of diffusers names.

    Raises:
        UserError: the file is missing or damaged.
    """
    name = read_config(f"{config.parent.name} of the model", config).get("_class_name")
    if not isinstance(name, str):
        raise UserError(f"{config} is damaged, it names no class: download or export the model again")
    return name
