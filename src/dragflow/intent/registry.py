"""From a provider's name to the loaded provider; others come as entry points of the group `dragflow.intent`."""

from __future__ import annotations

from dataclasses import fields

from dragflow.core.errors import UserError, unused
from dragflow.core.plugins import Plugins
from dragflow.intent.base import Provider
from dragflow.intent.options import ProviderOptions

PROVIDERS = Plugins(
    "provider",
    "dragflow.intent",
    {
        "rules": "dragflow.intent.rules:load",
        "file": "dragflow.intent.file_provider:load",
        "openai": "dragflow.intent.openai_provider:load",
        "local": "dragflow.intent.local:load",
    },
)
"""Name to a function `load(ProviderOptions) -> Provider`."""
_USED = {
    "rules": ("name",),
    "file": ("name", "answers"),
    "openai": ("name", "base_url", "model", "timeout", "retries", "max_image_side"),
    "local": ("name", "model", "timeout", "max_image_side", "device", "dtype", "four_bit"),
}
"""The options that each of ours uses; of others we do not know, and they get `extra`."""


def load_provider(name: str, options: ProviderOptions, *, upload: bool = True) -> Provider:
    """Load a provider.

    Args:
        name: one of `PROVIDERS.names`.
        options: how it is set up.
        upload: whether one may be used that sends the picture off this machine.

    Raises:
        UserError: an unknown name, an option without effect, a provider that is not set up, or one that would send the
            picture away.
    """
    load = PROVIDERS.load(name)
    given = [field.name for field in fields(options) if getattr(options, field.name) != field.default]
    ignored = [f"provider.{option}" for option in given if option not in _USED.get(name, given)]
    if ignored:
        raise unused(ignored, f"the provider {name} does not use it")
    provider: Provider = load(options)
    if provider.remote and not upload:
        raise UserError(
            f"provider {name} sends the picture off this machine and `no_upload` forbids that: use rules or local"
        )
    return provider
