"""From an adapter's name to the loaded adapter; which families of backbones each is made for."""

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
class AdapterKind:
    """What is known of an adapter before anything of it is loaded."""

    module: str
    """Has `load(SubjectOptions, weights, Backbone, offload) -> SubjectAdapter`."""
    families: tuple[str, ...]
    """Of backbones that it is made for."""
    encoders: tuple[str, ...]
    """Fields of `SubjectOptions` that name its encoders."""
    bundled: Path | None = None
    """Weights that come with it."""


INSTANTCHARACTER = AdapterKind("dragflow.subject.instantcharacter.adapter", ("flux1",), ("siglip", "dinov2"))
IP_ADAPTER = AdapterKind("dragflow.subject.ip_adapter.load", ("flux1",), ("clip", "siglip"))
NANO = AdapterKind(
    "dragflow.subject.nano.adapter", ("flux1",), (), Path(__file__).parent / "nano" / "adapter.safetensors"
)
ADAPTERS = Plugins(
    "subject adapter",
    "dragflow.subjects",
    {
        "instantcharacter": "dragflow.subject.registry:INSTANTCHARACTER",
        "ip-adapter": "dragflow.subject.registry:IP_ADAPTER",
        "nano": "dragflow.subject.registry:NANO",
    },
)
"""Name to an `AdapterKind`."""


def check_options(options: SubjectOptions) -> Path:
    """What can be known before anything is loaded; gives the file of the weights.

    Raises:
        UserError: an unknown adapter, no weights, no such file, or an encoder that the adapter has not.
    """
    kind = _kind(options)
    usual = SubjectOptions()
    for name in ("siglip", "dinov2", "clip"):
        if name not in kind.encoders and getattr(options, name) != getattr(usual, name):
            known = ", ".join(f"`subject.{part}`" for part in ("weights", *kind.encoders))
            raise UserError(f"`subject.{name}` is not for {options.adapter}: it has {known}")
    if options.weights is None:
        if kind.bundled is None:
            raise UserError(f"subject adapter {options.adapter} needs its checkpoint: name it as `subject.weights`")
        return kind.bundled
    weights = Path(options.weights)
    if not weights.is_file():
        raise UserError(f"`subject.weights` {weights} does not exist: give the adapter's .safetensors or .bin file")
    if weights.suffix not in (".safetensors", ".bin"):
        raise UserError(
            f"`subject.weights` {weights} is not a .safetensors or .bin file: give the adapter's checkpoint"
        )
    return weights


def load_subject(options: SubjectOptions, backbone: Backbone, *, offload: bool = False) -> SubjectAdapter:
    """Load an adapter for a backbone.

    Args:
        options: which one, and where its parts are.
        backbone: the model it is going to act in; gives device and dtype.
        offload: keep the encoders in main memory while they are idle.

    Raises:
        UserError: an unknown adapter, no such file, weights that do not fit, an encoder missing.
        CapabilityError: the adapter is not made for this family of models.
    """
    weights = check_options(options)
    kind = _kind(options)
    spec = backbone.spec
    if spec.subject_heads is None or spec.family not in kind.families:
        raise CapabilityError(
            f"subject adapter {options.adapter} is made for {', '.join(kind.families)} and cannot act in a model of "
            f"family {spec.family}: use a model of such a family, or no adapter"
        )
    load: Callable[[SubjectOptions, Path, Backbone, bool], SubjectAdapter] = import_module(kind.module).load
    return load(options, weights, backbone, offload)


def _kind(options: SubjectOptions) -> AdapterKind:
    if options.adapter is None:
        given = [name for name, value in vars(options).items() if value != getattr(SubjectOptions(), name)]
        raise UserError(f"`subject.{(*given, 'weights')[0]}` is for an adapter: name it as `subject.adapter`")
    return ADAPTERS.load(options.adapter)
