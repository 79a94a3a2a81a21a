"""What a pipeline of diffusers does in every step, to hold a backbone to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def watched(pipe: Any) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The latent of every step, and the velocity that its scheduler was given."""
    seen: list[tuple[Tensor, Tensor]] = []
    step = pipe.scheduler.step

    def watch(v: Tensor, t: Any, z: Tensor, **more: Any) -> Any:
        seen.append((z, v))
        return step(v, t, z, **more)

    pipe.scheduler.step = watch
    try:
        yield seen
    finally:
        pipe.scheduler.step = step
