"""From a provider's name to the loaded provider; others come as entry points of the group `dragflow.intent`."""

from __future__ import annotations

from dragflow.core.errors import UserError
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


def load_provider(name: str, options: ProviderOptions, *, upload: bool = True) -> Provider:
    """Load a provider.

    Args:
        name: one of `PROVIDERS.names`.
        options: how it is set up.
        upload: whether one may be used that sends the picture off this machine.

    Raises:
        UserError: an unknown name, a provider that is not set up, or one that would send the picture away.
    """
    provider: Provider = PROVIDERS.load(name)(options)
    if provider.remote and not upload:
        raise UserError(
            f"provider {name} sends the picture off this machine and `no_upload` forbids that: use rules or local"
        )
    return provider
