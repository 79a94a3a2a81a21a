"""The protocol of supervision strategies."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from dragflow.method.backbone import Features


class Supervision(Protocol):
    """Measures how far features are from where the drag should have brought them."""

    def loss(self, features: Features, progress: float) -> Tensor:
        """A scalar, differentiable in `features`, for motion progress in [0, 1]."""
        ...
