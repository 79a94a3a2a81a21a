"""What backbones on a diffusers pipeline share: its parts and their devices, the autoencoder, the time grid, and the
walk through the blocks. A family adds its facts, its prompts, and what goes into, through and out of one block.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import lru_cache
from typing import Any, Self, TypeVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dragflow.backbones.attend import attending, within
from dragflow.backbones.conditioning import Told, check_told
from dragflow.backbones.devices import cache_device, on_device
from dragflow.backbones.family import Distilled, best_preset
from dragflow.backbones.fingerprint import weights_of_parts
from dragflow.backbones.guidance import Guided, beyond, own
from dragflow.backbones.hooks import refuse_fused
from dragflow.backbones.streams import ImageFirst
from dragflow.backbones.swept import Swept
from dragflow.backbones.twin import twin
from dragflow.backbones.vae import mode, vae_affine
from dragflow.core.config import InversionConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import WeightsId
from dragflow.method.active import Active, CallRecord
from dragflow.method.backbone import (
    BackboneSpec,
    Bridge,
    Conditioning,
    Features,
    Fill,
    Image,
    KVControl,
    Latent,
    Reference,
    Schedule,
    Subject,
)
from dragflow.ops import flow

C = TypeVar("C")
R = TypeVar("R")
_PROMPTS_KEPT = 8


class PipelineBackbone(ABC):
    """A `Backbone` on the transformer of a diffusers pipeline and the rest of its parts."""

    def __init__(
        self,
        transformer: Any,
        pipeline: Any = None,
        *,
        weights: WeightsId | None = None,
        checkpointing: bool = False,
        offload: bool = False,
        bridge: Bridge | None = None,
        chosen: Swept | None = None,
    ) -> None:
        """Wrap loaded parts.

        Args:
            transformer: the diffusion transformer.
            pipeline: the other parts; without it only `velocity` and `features` work.
            weights: which these are; None identifies them by samples of their values.
            checkpointing: trade time for memory in the backward pass.
            offload: keep text encoders and autoencoder off the transformer's device while they are not at work.
            bridge: what corrects previews; with one it serves best.
            chosen: taps and K/V sites in place of the family's.

        Raises:
            CapabilityError: projections are fused, so that K/V could not be seen.
            UserError: a tap or a site that was chosen does not exist.
        """
        refuse_fused(transformer)
        self._transformer = transformer
        self._pipeline = pipeline
        self._weights = weights
        self.checkpointing = checkpointing
        self.offload = offload
        self.bridge = bridge
        self._text = lru_cache(_PROMPTS_KEPT)(self._encode_prompt)  # only a new prompt costs an encoder
        self._chosen = chosen
        facts = self._facts() if chosen is None else chosen.on(self._facts())
        preset = best_preset(facts.preset, distilled=facts.distilled, bridged=bridge is not None)
        self.spec = replace(facts, preset=preset)
        self.lock = threading.RLock()

    # -- what a family adds --------------------------------------------------------------------------------------

    @abstractmethod
    def _facts(self) -> BackboneSpec:
        """The facts of this model."""

    @abstractmethod
    def _encode_prompt(self, prompt: str, *shown: Any) -> Any:
        """A prompt, and the pictures that belong to it, as the transformer takes it."""

    @abstractmethod
    def _embed(self, z: Latent, t: float | Tensor, cond: Any) -> ImageFirst:
        """The stream of all tokens into the first block."""

    @abstractmethod
    def _run_block(self, name: str, stream: Any, kv: KVControl | None) -> tuple[Any, Float[Tensor, "b n d"]]:
        """The stream after one block, and the modulated input of its image tokens."""

    @abstractmethod
    def _project(self, stream: Any) -> Float[Tensor, "b c h w"]:
        """V from the stream after the last block."""

    # -- prompts, pictures and times ------------------------------------------------------------------------------

    @torch.no_grad()
    def condition(
        self,
        prompt: str,
        *,
        subject: Subject | None = None,
        references: tuple[Reference, ...] = (),
        fill: Fill | None = None,
        guidance: float,
    ) -> Any:
        """See `Backbone.condition`.

        `_text` gives a prompt as it was encoded, of the last few without an encoder.
        """
        check_told(self.spec, subject, references, fill)
        shown = self._shown(references)
        embedded = guidance if self.spec.guidance == "embedded" else None
        kept = None if fill is None else self._filled(fill)
        own = Told(self._text(prompt, *shown), references, embedded, subject, kept)
        if self.spec.guidance != "classifier-free":
            return own

        def away() -> Told:
            negative = None if subject is None else subject.negative
            return replace(own, text=self._text(self.spec.negative, *shown), subject=negative)

        return self._guided(own, away, guidance)

    def _shown(self, references: tuple[Reference, ...]) -> tuple[Hashable, ...]:
        """The pictures that the text encoder sees: none, unless the family says otherwise."""
        return ()

    def _filled(self, fill: Fill) -> Any:
        """What is kept of a picture, as the transformer takes it; of families that fill."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, image: Image) -> Latent:
        """See `Backbone.encode`; the mode of the encoder's distribution."""
        vae = self._parts().vae
        with self._on_device(vae):
            return self._encoded(vae, (image * 2 - 1).to(vae.device, vae.dtype)).to(self.device)

    @torch.no_grad()
    def decode(self, z: Latent) -> Image:
        """See `Backbone.decode`."""
        return self.decoded(z).clamp(0, 1)

    def decoded(self, z: Latent) -> Image:
        """See `DiffusersBackbone.decoded`."""
        vae = self._parts().vae
        with self._on_device(vae):
            return (self._decoded(vae, z.to(vae.device)).float() / 2 + 0.5).to(self.device)

    def _encoded(self, vae: Any, image: Image) -> Latent:
        """Latents of about unit variance, float32, of pictures in [-1, 1]."""
        shift, scale = vae_affine(vae)
        return (mode(vae.encode(image)).float() - shift) * scale

    def _decoded(self, vae: Any, z: Latent) -> Image:
        """The inverse of `_encoded`, in the autoencoder's dtype."""
        shift, scale = vae_affine(vae)
        return vae.decode((z / scale + shift).to(vae.dtype)).sample

    def schedule(self, config: InversionConfig, latent: tuple[int, int]) -> Schedule:
        """See `Backbone.schedule`; shifted as the pipeline's scheduler says."""
        h, w = self.spec.token_grid(latent)
        last = None if self._pipeline is None else self._pipeline.scheduler.config.get("shift_terminal")
        return Schedule(flow.time_grid(config.steps, self._time_shift(h * w), last or None), config.skip)

    def _is(self, distilled: Distilled) -> bool:
        """Whether the loaded model is distilled, by its family's rule."""
        if self._pipeline is None:
            return False
        index, scheduler = self._pipeline.config, self._pipeline.scheduler.config
        return distilled(index=index, transformer=self._transformer.config, scheduler=scheduler)

    def _time_shift(self, tokens: int) -> float | None:
        return time_shift(self._parts().scheduler.config, tokens)

    # -- the transformer -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def velocity(
        self,
        z: Latent,
        t: float,
        cond: Conditioning,
        *,
        kv: KVControl | None = None,
        active: Active | None = None,
        record: CallRecord | None = None,
    ) -> Latent:
        """See `Backbone.velocity`."""
        return self.flow(z, t, cond, kv=kv, active=active, record=record)

    def flow(
        self,
        z: Latent,
        t: float | Float[Tensor, " b"],
        cond: Conditioning,
        *,
        kv: KVControl | None = None,
        active: Active | None = None,
        record: CallRecord | None = None,
    ) -> Latent:
        """`velocity` with gradients, for training; each latent of the batch may have a time of its own."""
        if isinstance(cond, Guided):

            def ask(each: Any, negative: bool) -> Latent:
                if not negative:
                    return self.flow(z, t, each, kv=kv, active=active, record=record)
                away, kept = active and active.negative, record and record.of_negative()
                return self.flow(z, t, each, kv=kv, active=away, record=kept)

            return cond.velocity(ask, self._lead)
        stream = self._stream(z, t, cond, active, record)
        for name in self.spec.blocks:
            stream = self._run_block(name, stream, within(kv, stream))[0]
        return self._project(stream).to(z.dtype)

    def features(
        self,
        z: Latent,
        t: float,
        cond: Conditioning,
        *,
        taps: tuple[str, ...],
        kv: KVControl | None = None,
        active: Active | None = None,
    ) -> Features:
        """See `Backbone.features`. Taps: "BLOCK.norm", the modulated input of a block, and "BLOCK.out"."""
        unknown = [tap for tap in taps if tap not in self.spec.tap_names]
        if unknown or not taps:
            raise UserError(f"tap {unknown or taps} is not known: this model has {', '.join(self.spec.tap_names)}")
        wanted = {tap.rpartition(".")[0] for tap in taps}
        last = max(self.spec.blocks.index(block) for block in wanted)
        stream = self._stream(z, t, own(cond), active, None)
        found: dict[str, Tensor] = {}
        for name in self.spec.blocks[: last + 1]:
            stream, norm = self._run_block(name, stream, within(kv, stream))
            if name in wanted:
                found |= {f"{name}.out": stream.on_grid(stream.image), f"{name}.norm": stream.on_grid(norm)}
        h, w = stream.grid
        return tuple(rearrange(found[tap], "b (h w) d -> b d h w", h=h, w=w) for tap in taps)

    def _stream(
        self, z: Latent, t: float | Tensor, cond: Any, active: Active | None, record: CallRecord | None
    ) -> ImageFirst:
        """The stream into the first block, of what is computed."""
        return attending(self._embed(z, t, cond), cond.references, active, record)

    def _guided(self, cond: C, negative: Callable[[], C], guidance: float) -> C | Guided:
        """A conditioning under classifier-free guidance; as it is where that leads nowhere."""
        return cond if guidance == 1 else Guided(cond, negative(), guidance)

    def _lead(self, v: Latent, away: Latent, scale: float) -> Latent:
        """The family's rule of classifier-free guidance."""
        return beyond(v, away, scale)

    def _checkpointed(self, run: Callable[..., R], *tensors: Tensor) -> R:
        """A function's result; where memory is to be saved, the backward pass calls it again.

        Hooks belong inside of it, so that the second call sees the same control.
        """
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(run, *tensors, use_reentrant=False)  # pyright: ignore[reportReturnType]
        return run(*tensors)

    # -- the machine ---------------------------------------------------------------------------------------------

    def cache_device(self, size: int) -> torch.device:
        """See `Backbone.cache_device`."""
        return cache_device(size, self.device)

    @property
    def device(self) -> torch.device:
        """See `Backbone.device`."""
        return next(self._transformer.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """See `Backbone.dtype`."""
        return self._transformer.dtype

    @property
    def weights(self) -> WeightsId:
        """See `Backbone.weights`."""
        if self._weights is None:
            self._weights = weights_of_parts(type(self._transformer).__name__, [self._transformer], self.dtype)
        return self._weights

    def renamed(self, weights: WeightsId) -> Self:
        """The same parts under the same lock, whose weights are others now."""
        same = type(self)(
            self._transformer,
            self._pipeline,
            weights=weights,
            checkpointing=self.checkpointing,
            offload=self.offload,
            bridge=self.bridge,
            chosen=self._chosen,
        )
        same.lock = self.lock
        return same

    def twin(self) -> Self:
        """See `DiffusersBackbone.twin`."""
        same = type(self)(
            twin(self._transformer),
            self._pipeline,
            weights=self._weights,
            checkpointing=self.checkpointing,
            chosen=self._chosen,
        )
        same.lock = self.lock
        return same

    @property
    def transformer(self) -> Any:
        """The diffusion transformer itself, for those who change its weights and for what diffusers does with it."""
        return self._transformer

    @property
    def pipeline(self) -> Any:
        """All parts together.

        Raises:
            CapabilityError: this backbone has a transformer only.
        """
        return self._parts()

    def _parts(self) -> Any:
        if self._pipeline is None:
            raise CapabilityError(
                "this backbone has a transformer only: give it a pipeline to encode, decode or condition"
            )
        return self._pipeline

    def _on_device(self, *modules: nn.Module) -> AbstractContextManager[None]:
        """Bring offloaded parts to the transformer's device while they work."""
        return on_device(modules, self.device, offload=self.offload, aside=self._transformer)


def time_shift(scheduler: Any, tokens: int) -> float | None:
    """The mu of a scheduler's time shift: dynamic in the number of tokens (FLUX.1-dev), fixed, or none (schnell)."""
    if scheduler.use_dynamic_shifting:
        low = (scheduler.base_image_seq_len, scheduler.base_shift)
        return flow.flux_mu(tokens, low=low, high=(scheduler.max_image_seq_len, scheduler.max_shift))
    return math.log(scheduler.shift) if scheduler.shift != 1 else None
