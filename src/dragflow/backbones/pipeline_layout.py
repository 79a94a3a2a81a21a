"""The parts of a family's pipeline: their classes, and the configurations that a model has of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from dragflow.backbones.checkpoints.names import Naming
from dragflow.backbones.configs import Config, read_config
from dragflow.backbones.family import FAMILIES, Family
from dragflow.backbones.hub import INDEX
from dragflow.backbones.parts import Source
from dragflow.backbones.tensors import shown
from dragflow.core.errors import UserError
from dragflow.core.plugins import named

SCHEDULER = "scheduler"


@dataclass(frozen=True)
class Layout:
    """The classes of a family's pipeline, by the names that diffusers and transformers give them."""

    pipeline: str
    transformer: str
    text_encoders: Mapping[str, str]
    """Part to a class of transformers, as in {"text_encoder": "CLIPTextModel"}, or to "module:class"."""
    tokenizers: Mapping[str, str]
    """Part to the text encoder that it is for."""
    check_configs: Callable[[str, Mapping[str, Config]], None]
    """Given the model's name and its networks' settings: raises a `UserError` where they do not fit each other."""
    published: Callable[[str], Mapping[str, Config]]
    """Gives the configurations of published weights by their hub id, for files that come without."""
    autoencoders: tuple[str, ...] = ("AutoencoderKL", "AutoencoderTiny")
    """Classes that the `vae` may be of: those whose latents are what the family works on as they are."""
    text_limit: int | None = None
    """Most tokens that a tokenizer is ever asked for; None: as many as it says that it gives."""
    further: Mapping[str, Callable[[Source], Any]] = field(default_factory=dict[str, Callable[[Source], Any]])
    """Parts that are read by a function, for want of one in the library that needs no further packages."""
    optional: tuple[str, ...] = ()
    """Text encoders that a model may do without, and without their tokenizers."""
    absent: tuple[str, ...] = ()
    """Parts that the pipeline can have, and that this model does without."""

    @property
    def networks(self) -> tuple[str, ...]:
        """Parts with weights."""
        return ("transformer", "vae", *self.text_encoders)

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders that a model must have."""
        return tuple(dict.fromkeys((*self.networks, *self.tokenizers, *self.further, SCHEDULER)))

    def of(self, has: Callable[[str], bool]) -> Layout:
        """That of a model which has these of the optional parts."""
        gone = [part for part in self.optional if not has(part)]
        tokenizers = {part: encoder for part, encoder in self.tokenizers.items() if encoder not in gone}
        return replace(
            self,
            text_encoders={part: cls for part, cls in self.text_encoders.items() if part not in gone},
            tokenizers=tokenizers,
            absent=(*gone, *(part for part in self.tokenizers if part not in tokenizers)),
        )

    def of_folder(self, model: str, folder: Path) -> Layout:
        """That of a model in a folder, whose index names its parts.

        Raises:
            UserError: the index is missing or damaged.
        """
        index = read_config(f"model {model}", folder / INDEX)
        return self.of(lambda part: isinstance(entry := index.get(part), list) and all(entry))


def naming_of(layout: Layout) -> Naming:
    """What the authors of a family's models call the tensors of the transformer."""
    if layout.pipeline not in FAMILIES.names:
        return Naming()
    family: Family = FAMILIES.load(layout.pipeline)
    return Naming(family.layers, family.norms, family.unused)


def read_configs(layout: Layout, model: str, folder: Path, parts: Sequence[str] = ()) -> dict[str, Config]:
    """The configurations of these networks of a model, or of all of them, by the part's name.

    Raises:
        UserError: one is missing or damaged.
    """
    parts = parts or layout.networks
    return {part: read_config(f"model {model}: its {part}", folder / part / "config.json") for part in parts}


def network_class(layout: Layout, part: str, config: Config) -> Any:
    """The class of a part's network; that of the autoencoder is named in its configuration.

    Raises:
        UserError: that names none of the family's autoencoders.
    """
    if part in layout.text_encoders:
        encoder = layout.text_encoders[part]
        return named(encoder if ":" in encoder else f"transformers:{encoder}")
    name = layout.transformer if part == "transformer" else str(config.get("_class_name"))
    if part == "vae" and name not in layout.autoencoders:
        needed = " or ".join(layout.autoencoders)
        raise UserError(f"the vae of the model is a {shown(name)}: {needed} is needed; use the vae that belongs to it")
    return library_class(name)


def library_class(name: str) -> Any:
    """A class of diffusers, by its name."""
    return getattr(import_module("diffusers"), name)
