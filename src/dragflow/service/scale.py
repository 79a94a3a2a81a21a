"""How many processes of a cluster answer and edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from dragflow.core.checked import Checked
from dragflow.core.errors import UserError
from dragflow.core.fields import STRICT

_Count = Annotated[int, Interval(ge=1, le=10_000)]


@dataclass(frozen=True)
class Scale(Checked, called="`{}`"):
    """Cluster."""

    __pydantic_config__ = STRICT

    min_replicas: _Count = 1
    """Loaded models that are kept, however little is asked for. Only on a Ray cluster."""
    max_replicas: _Count | None = None
    """Most of them. [default: one for each GPU of the cluster, or for each CPU where it has none]"""
    gpus: Annotated[float, Interval(ge=0, le=8)] | None = None
    """GPUs of a loaded model: 0.5 lets two share one, 0 gives it a CPU. [default: 1 where the cluster has any]"""
    fronts: _Count = 1
    """Processes that take requests and draw previews. Only on a Ray cluster."""

    def on(self, gpus: int, cpus: int) -> tuple[float, int]:
        """GPUs of a replica, 0 for a CPU instead, and the most replicas, on a cluster with so many.

        Raises:
            UserError: fewer are allowed than are kept.
        """
        share = float(gpus > 0) if self.gpus is None else self.gpus
        most = self.max_replicas or max(1, self.min_replicas, int(gpus / share) if share else cpus)
        if most < self.min_replicas:
            raise UserError(f"`max_replicas` is {most}, and `min_replicas` {self.min_replicas}: make it larger")
        return share, most
