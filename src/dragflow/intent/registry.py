"""From a provider's name to the loaded provider; others come as entry points of the group `dragflow.intent`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points

from dragflow.core.errors import UserError
from dragflow.intent.base import Provider, ProviderOptions

GROUP = "dragflow.intent"
"""Entry points of this group name a function `load(ProviderOptions) -> Provider`."""

_PROVIDERS = {
    "rules": "dragflow.intent.rules",
    "file": "dragflow.intent.file_provider",
    "openai": "dragflow.intent.openai_provider",
    "local": "dragflow.intent.local",
}
"""Modules with `load(ProviderOptions) -> Provider`, imported when they are chosen."""


def provider_names() -> tuple[str, ...]:
    """All that can be chosen, our own first."""
    return (*_PROVIDERS, *sorted({point.name for point in entry_points(group=GROUP)} - set(_PROVIDERS)))


def load_provider(name: str, options: ProviderOptions, *, upload: bool = True) -> Provider:
    """Load a provider.

    Args:
        name: one of `provider_names`.
        options: how it is set up.
        upload: whether one may be used that sends the picture off this machine.

    Raises:
        UserError: an unknown name, a provider that is not set up, or one that would send the picture away.
    """
    provider = _load(name)(options)
    if provider.remote and not upload:
        raise UserError(
            f"provider {name} sends the picture off this machine and --no-upload forbids that: use --provider rules "
            "or --provider local"
        )
    return provider


def _load(name: str) -> Callable[[ProviderOptions], Provider]:
    if name in _PROVIDERS:
        return import_module(_PROVIDERS[name]).load
    for point in entry_points(group=GROUP):
        if point.name == name:
            return point.load()
    raise UserError(f"provider {name!r} is not known: choose one of {', '.join(provider_names())}")
