"""Subject adapters by name: which families of backbones each is made for, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectOptions
from dragflow.core.plugins import Plugins

if TYPE_CHECKING:
    from dragflow.method.backbone import Backbone
    from dragflow.subject.base import SubjectAdapter


@dataclass(frozen=True)
class AdapterSpec:
    """What is known of an adapter before any of it is loaded."""

    module: str
    """Defines `load(SubjectOptions, weights, Backbone, offload) -> SubjectAdapter`."""
    families: tuple[str, ...]
    """Families of backbones it is made for."""
    encoders: tuple[str, ...]
    """Fields of `SubjectOptions` that name its encoders."""
    bundled: Path | None = None
    """Weights that come with it."""


_FLUX1 = ("flux1", "flux1-kontext", "flux1-fill")
"""Families with the transformer of FLUX.1."""
INSTANTCHARACTER = AdapterSpec("dragflow.subject.instantcharacter.adapter", _FLUX1, ("siglip", "dinov2"))
IP_ADAPTER = AdapterSpec("dragflow.subject.ip_adapter.load", (*_FLUX1, "sd3"), ("clip", "siglip"))
NANO = AdapterSpec("dragflow.subject.nano.adapter", _FLUX1, (), Path(__file__).parent / "nano" / "adapter.safetensors")
ADAPTERS = Plugins(
    "subject adapter",
    "dragflow.subjects",
    {
        "instantcharacter": "dragflow.subject.registry:INSTANTCHARACTER",
        "ip-adapter": "dragflow.subject.registry:IP_ADAPTER",
        "nano": "dragflow.subject.registry:NANO",
    },
)
"""Adapters by name, each an `AdapterSpec`."""


def check_options(options: SubjectOptions) -> Path:
    """Check what can be checked before anything is loaded; return the file of the weights.

    Raises:
        UserError: an unknown adapter, no weights, no such file, or an encoder that the adapter does not have.
    """
    adapter = _adapter_spec(options)
    defaults = SubjectOptions()
    for name in ("siglip", "dinov2", "clip"):
        if name not in adapter.encoders and getattr(options, name) != getattr(defaults, name):
            usable = ", ".join(f"`subject.{part}`" for part in ("weights", *adapter.encoders))
            raise UserError(f"`subject.{name}` does not apply to {options.adapter}, which takes {usable}: leave it out")
    if options.weights is None:
        if adapter.bundled is None:
            raise UserError(f"subject adapter {options.adapter} needs a checkpoint: give it as `subject.weights`")
        return adapter.bundled
    weights = Path(options.weights)
    if weights.is_dir():
        raise UserError(f"`subject.weights` {weights} is a folder: name the adapter's .safetensors or .bin file in it")
    if not weights.is_file():
        raise UserError(f"`subject.weights` {weights} does not exist: give the adapter's .safetensors or .bin file")
    if weights.suffix not in (".safetensors", ".bin"):
        raise UserError(
            f"`subject.weights` {weights} is not a .safetensors or .bin file: give the adapter's checkpoint"
        )
    return weights


def encoders_of(options: SubjectOptions) -> tuple[str, ...]:
    """Fields of the options that name the adapter's encoders.

    Raises:
        UserError: an unknown adapter.
    """
    return _adapter_spec(options).encoders


def load_subject(options: SubjectOptions, backbone: Backbone, *, offload: bool = False) -> SubjectAdapter:
    """Load an adapter for a backbone.

    Args:
        options: which one, and where its parts are.
        backbone: the model it is for; gives device and dtype.
        offload: keep the encoders in main memory while idle.

    Raises:
        UserError: an unknown adapter, no such file, weights that do not fit, or a missing encoder.
        CapabilityError: the adapter is not made for this family of models.
    """
    weights = check_options(options)
    adapter = _adapter_spec(options)
    spec = backbone.spec
    if spec.subject_heads is None or spec.family not in adapter.families:
        raise CapabilityError(
            f"subject adapter {options.adapter} is made for {', '.join(adapter.families)} and does not work in a model "
            f"of family {spec.family}: use another model, or no adapter"
        )
    load: Callable[[SubjectOptions, Path, Backbone, bool], SubjectAdapter] = import_module(adapter.module).load
    return load(options, weights, backbone, offload)


def _adapter_spec(options: SubjectOptions) -> AdapterSpec:
    if options.adapter is None:
        changed = [name for name, value in vars(options).items() if value != getattr(SubjectOptions(), name)]
        raise UserError(f"`subject.{(*changed, 'weights')[0]}` needs an adapter: choose one as `subject.adapter`")
    return ADAPTERS.load(options.adapter)
