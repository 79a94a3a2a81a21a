"""What the server was started with."""

from enum import Enum
from types import SimpleNamespace


class LatentPreviewMethod(Enum):
    """How running edits are shown."""

    NoPreviews = "none"
    Auto = "auto"


args = SimpleNamespace(preview_method=LatentPreviewMethod.Auto, disable_metadata=False)
