"""Reporting the progress of a phase to an observer, which may raise `Cancelled` from any call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from dragflow.core.errors import NumericalError
from dragflow.core.events import Finished, Observer, Phase, Started, Stepped
from dragflow.ops.flow import image_estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Show = Callable[[Callable[[], Tensor]], "NDArray[np.uint8]"]
"""Decodes an image latent to a picture (H, W, 3); asks for it once the model is free, whose call may give it."""
Preview = Callable[[], "NDArray[np.uint8]"]
"""Draws the picture as it looks now."""
VelocityOf = Callable[[Tensor, float], Tensor]


@dataclass
class Meter:
    """Counts the model calls of one running phase."""

    phase: Phase
    total: int
    observer: Observer
    index: int = 0

    def step(
        self,
        loss: float | None = None,
        progress: float | None = None,
        preview: Preview | None = None,
    ) -> None:
        """Report one call."""
        self.index += 1
        self.observer(Stepped(self.phase, self.index, self.total, loss, progress, preview))

    def watch(self, velocity: VelocityOf, show: Show) -> VelocityOf:
        """The same velocity, each call reported with a preview and checked to be finite.

        Raises:
            NumericalError: the model returned NaN or infinity.
        """

        def watched(z: Tensor, t: float) -> Tensor:
            v = velocity(z, t)
            if not math.isfinite(float(v.abs().max())):
                raise NumericalError(
                    f"the latent is not finite at step {self.index + 1} of {self.total} of phase '{self.phase}' "
                    f"(t = {t:.4f}): use a wider dtype (bfloat16 or float32), or another quantisation"
                )
            self.step(preview=lambda: show(lambda: image_estimate(z, v, t)))
            return v

        return watched


@contextmanager
def phase(name: Phase, total: int, observer: Observer) -> Generator[Meter]:
    """Report the start of a phase, give its meter, and report its end."""
    observer(Started(name, total))
    begun = time.perf_counter()
    yield Meter(name, total, observer)
    observer(Finished(name, time.perf_counter() - begun))
