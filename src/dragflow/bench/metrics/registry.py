"""From the name of features that mean distances match to their extractor."""

from __future__ import annotations

from dragflow.bench.metrics.features import FeatureExtractor
from dragflow.core.plugins import Plugins

FEATURES = Plugins(
    "features",
    "dragflow.features",
    {
        "dift": "dragflow.bench.metrics.dift:load_dift",
        "dinov2": "dragflow.bench.metrics.dinov2:load_dinov2",
        "taps": "dragflow.bench.metrics.taps:load_taps",
    },
)
"""Name to a function `load(model, device) -> FeatureExtractor`."""


def load_features(kind: str, model: str | None = None, device: str | None = None) -> FeatureExtractor:
    """Load an extractor.

    Args:
        kind: `dift`, `dinov2`, or `taps`, the features that dragflow's own models are dragged by.
        model: hub id or folder. Default: $DRAGFLOW_DIFT, $DRAGFLOW_DINOV2, the built-in `nano`.
        device: as torch names it; a GPU if there is one when None.

    Raises:
        UserError: unknown kind, no model, or one that cannot be loaded.
    """
    return FEATURES.load(kind)(model, device)
