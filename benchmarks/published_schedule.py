"""The published method's schedule of model calls, played on a plain diffusers transformer: the baseline of `edit.py`.

131 full model calls, 70 of them with a backward pass whose activations are recomputed. All blocks run forward every
time. The backward pass runs through all of them, too, or (`whole_graph=False`, a lower bound that favours the baseline)
through those alone that the loss depends on. K/V, masks, encoders and autoencoder are left out, which favours it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dragflow.backbones.flux1.layout import image_ids
from dragflow.backbones.packing import pack

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

    @staticmethod
    def of(backbone: Any, size: tuple[int, int], *, whole_graph: bool) -> PublishedSchedule:
        """The schedule of a FLUX.1 on a picture of (h, w) pixels."""
        transformer, text = backbone.transformer, backbone.condition("a ball", guidance=3.5).text
        h, w = (side // backbone.spec.pixel_multiple for side in size)
        device, dtype = text.tokens.device, transformer.dtype
        z = torch.randn(1, backbone.spec.latent_channels, 2 * h, 2 * w, generator=torch.Generator().manual_seed(0))
        inputs = {
            "hidden_states": pack(z).to(device, dtype),
            "encoder_hidden_states": text.tokens.to(dtype),
            "pooled_projections": text.pooled.to(dtype),
            "timestep": torch.full((1,), 0.8, device=device),
            "guidance": torch.full((1,), 3.5, device=device),
            "img_ids": image_ids(h, w, device),
            "txt_ids": torch.zeros(text.tokens.shape[1], 3, device=device),
        }
        return PublishedSchedule(transformer, inputs, whole_graph=whole_graph)

    def seconds(self, each: int | None = None, clock: Callable[[], float] = time.perf_counter) -> float:
        """How long all calls take; with `each`, as so many of each kind of call did, after one that does not count."""
        if each is None:
            return _timed(self.run, clock)
        plain, dragged = self._plain_call, self._drag_call
        plain()
        dragged()
        return sum(
            calls * min(_timed(call, clock) for _ in range(each))
            for call, calls in ((plain, INVERSION_CALLS + 1 + SAMPLING_CALLS), (dragged, DRAG_ITERATIONS))
        )

    def flop(self, done: Any) -> int:
        """Operations of all calls, from those of one of each kind; `done` says how many were done so far."""
        counts = [done()]
        for call in (self._plain_call, self._drag_call):
            call()
            counts.append(done())
        plain, dragged = counts[1] - counts[0], counts[2] - counts[1]
        return (INVERSION_CALLS + 1 + SAMPLING_CALLS) * plain + DRAG_ITERATIONS * dragged

    @torch.no_grad()
    def _plain_call(self) -> None:
        self._call(self._inputs["hidden_states"])

    def _drag_call(self) -> None:
        self._drag_step(self._inputs["hidden_states"])

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
            out = self._call(z.view_as(z))  # torch's counter of operations refuses a leaf of the graph
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


def _timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    begun = clock()
    work()
    wait()
    return clock() - begun
