"""From an adapter's name to the loaded adapter; which families of backbones each is made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.result import IdentityOptions

if TYPE_CHECKING:
    from dragflow.identity.base import IdentityAdapter
    from dragflow.method.backbone import Backbone


@dataclass(frozen=True)
class _Entry:
    module: str
    """Has `load(IdentityOptions, weights, Backbone, offload) -> IdentityAdapter`."""
    families: tuple[str, ...]
    encoders: tuple[str, ...]
    """Fields of `IdentityOptions` that name its encoders."""
    bundled: Path | None = None
    """Weights that come with dragflow."""


_ADAPTERS = {
    "instantcharacter": _Entry("dragflow.identity.instantcharacter", ("flux1",), ("siglip", "dinov2")),
    "ip-adapter": _Entry("dragflow.identity.ipadapter", ("flux1",), ("clip", "siglip")),
    "nano": _Entry(
        "dragflow.identity.embedded", ("flux1",), (), Path(__file__).parent / "nano" / "adapter.safetensors"
    ),
}


def encoders_of(adapter: str) -> tuple[str, ...]:
    """The fields of `IdentityOptions` that name an adapter's encoders.

    Raises:
        UserError: an unknown adapter.
    """
    return _entry(adapter).encoders


def is_bundled(adapter: str) -> bool:
    """Whether an adapter's weights come with dragflow.

    Raises:
        UserError: an unknown adapter.
    """
    return _entry(adapter).bundled is not None


def check_options(options: IdentityOptions) -> Path:
    """What can be known before anything is loaded; gives the file of the weights.

    Raises:
        UserError: an unknown adapter, no weights, or no such file.
    """
    entry = _entry(options.adapter)
    if options.weights is None:
        if entry.bundled is None:
            raise UserError(f"identity adapter {options.adapter} has no weights: name its checkpoint")
        return entry.bundled
    weights = Path(options.weights)
    if not weights.is_file():
        raise UserError(f"identity weights {weights} do not exist: give the adapter's .safetensors or .bin file")
    if weights.suffix not in (".safetensors", ".bin"):
        raise UserError(f"identity weights {weights} are no .safetensors or .bin file: give the adapter's checkpoint")
    return weights


def load_identity(options: IdentityOptions, backbone: Backbone, *, offload: bool = False) -> IdentityAdapter:
    """Load an adapter for a backbone.

    Args:
        options: which one, and where its parts lie.
        backbone: the model it is going to act in; gives device and dtype.
        offload: keep the encoders in main memory while they are not at work.

    Raises:
        UserError: an unknown adapter, no such file, weights that do not fit, an encoder missing.
        CapabilityError: the adapter is not made for this family of models.
    """
    weights = check_options(options)
    entry, spec = _entry(options.adapter), backbone.spec
    if spec.identity_heads is None or spec.family not in entry.families:
        known = "; ".join(f"{name} is for {', '.join(entry.families)}" for name, entry in _ADAPTERS.items())
        raise CapabilityError(
            f"identity adapter {options.adapter} cannot act in a model of family {spec.family} ({known}): use a model "
            "of such a family, or no adapter"
        )
    load: Callable[[IdentityOptions, Path, Backbone, bool], IdentityAdapter] = import_module(entry.module).load
    return load(options, weights, backbone, offload)


def _entry(adapter: str) -> _Entry:
    if adapter not in _ADAPTERS:
        raise UserError(f"identity adapter {adapter!r} is not known: choose one of {', '.join(_ADAPTERS)}")
    return _ADAPTERS[adapter]
