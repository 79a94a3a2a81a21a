"""The published method's schedule of model calls, played on a plain diffusers transformer: the baseline of `edit.py`.

131 full model calls, 70 of them with a backward pass whose activations are recomputed. All blocks run forward every
time. The backward pass runs through all of them, too, or (`whole_graph=False`, a lower bound that favours the baseline)
through those alone that the loss depends on. K/V, masks, encoders and autoencoder are left out, which favours it again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

INVERSION_CALLS = 20
DRAG_ITERATIONS = 70
SAMPLING_CALLS = 40  # two branches: the edit, and the re-sampled background


class PublishedSchedule:
    """The calls of one published edit on a transformer and one picture size."""

    def __init__(self, transformer: Any, inputs: dict[str, Tensor], *, whole_graph: bool) -> None:
        """Prepare a transformer.

        Args:
            transformer: a `FluxTransformer2DModel`.
            inputs: keyword arguments of its forward, with `hidden_states`.
            whole_graph: whether the backward pass visits every block.
        """
        self._transformer = transformer
        self._inputs = inputs
        self._whole_graph = whole_graph
        self._features: list[Tensor] = []

    def run(self) -> int:
        """Make all calls; gives their number."""
        calls = 0
        with torch.no_grad():
            for _ in range(INVERSION_CALLS + 1):  # and the reference features
                self._call(self._inputs["hidden_states"])
                calls += 1
        z = self._inputs["hidden_states"].clone()
        for _ in range(DRAG_ITERATIONS):
            z = self._drag_step(z)
            calls += 1
        with torch.no_grad():
            for _ in range(SAMPLING_CALLS):
                self._call(z)
                calls += 1
        return calls

    def _drag_step(self, z: Tensor) -> Tensor:
        z = z.detach().requires_grad_(True)
        self._features.clear()
        handles = [
            block.register_forward_hook(lambda _, __, out: self._features.append(out[1]))
            for block in self._transformer.transformer_blocks[-2:]
        ]
        self._transformer.enable_gradient_checkpointing()
        try:
            out = self._call(z)
            loss = torch.stack([feature.float().abs().mean() for feature in self._features]).mean()
            loss = loss + 0 * out.float().mean() if self._whole_graph else loss
            (gradient,) = torch.autograd.grad(loss, z)
        finally:
            self._transformer.disable_gradient_checkpointing()
            for handle in handles:
                handle.remove()
        return z.detach() - gradient

    def _call(self, z: Tensor) -> Tensor:
        return self._transformer(**{**self._inputs, "hidden_states": z}, return_dict=False)[0]
