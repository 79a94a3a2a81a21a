"""FLUX.1 in diffusers layout (dev, schnell, every fine-tune): sign, time, packing, guidance and token order end here.

The model predicts v itself and takes t (multiplied by 1000 inside). Double blocks project image tokens alone; single
blocks project text tokens first, then image tokens. Latents are packed by 2 x 2 patches.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dragflow.backbones.flux1.hooks import FUSED, kv_hooks, norm_hook, subject_hooks
from dragflow.backbones.flux1.layout import image_ids, pack, spec_of, time_shift, unpack, vae_affine
from dragflow.backbones.load import PromptCache, on_device, weights_of_parts
from dragflow.core.config import InversionConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import WeightsId
from dragflow.method.backbone import (
    Features,
    Image,
    KVControl,
    Latent,
    Schedule,
    Subject,
    SubjectControl,
)
from dragflow.ops import flow

if TYPE_CHECKING:
    from diffusers import FluxPipeline, FluxTransformer2DModel

_TEXT_TOKENS = 512


@dataclass(frozen=True, eq=False)
class Text:
    """A prompt as the transformer takes it."""

    tokens: Float[Tensor, "1 m e"]
    pooled: Float[Tensor, "1 p"]


@dataclass(frozen=True, eq=False)
class FluxConditioning:
    """A prompt, a guidance, and the subject to keep."""

    text: Text
    guidance: float
    subject: Subject | None = None


class Flux1:
    """A `Backbone` on a `FluxTransformer2DModel` and the rest of its pipeline."""

    def __init__(
        self,
        transformer: FluxTransformer2DModel,
        pipeline: FluxPipeline | None = None,
        *,
        weights: WeightsId | None = None,
        checkpointing: bool = False,
        offload: bool = False,
    ) -> None:
        """Wrap loaded parts.

        Args:
            transformer: the diffusion transformer.
            pipeline: the other parts; without it only `velocity` and `features` work.
            weights: which these are; told by samples of their values when None.
            checkpointing: trade time for memory in the backward pass.
            offload: keep text encoders and autoencoder off the transformer's device while they are not at work.

        Raises:
            CapabilityError: projections are fused, so that K/V could not be seen.
        """
        self._transformer: Any = transformer
        self._pipeline = pipeline
        self._weights = weights
        self._checkpointing = checkpointing
        self._offload = offload
        self._texts = PromptCache[Text]()
        self.spec = spec_of(transformer, pipeline)
        self.lock = threading.RLock()
        self._refuse_fused()

    # -- pictures and prompts ------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, image: Image) -> Latent:
        """See `Backbone.encode`; the mode of the encoder's distribution."""
        vae = self._parts().vae
        with self._on_device(vae):
            encoded = vae.encode((image * 2 - 1).to(vae.device, vae.dtype))
            z = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
            shift, scale = vae_affine(vae)
            return ((z.float() - shift) * scale).to(self.device)

    @torch.no_grad()
    def decode(self, z: Latent) -> Image:
        """See `Backbone.decode`."""
        vae = self._parts().vae
        with self._on_device(vae):
            shift, scale = vae_affine(vae)
            decoded = vae.decode((z / scale + shift).to(vae.device, vae.dtype)).sample
            return (decoded.float() / 2 + 0.5).clamp(0, 1).to(self.device)

    @torch.no_grad()
    def condition(self, prompt: str, subject: Subject | None = None, *, guidance: float) -> FluxConditioning:
        """See `Backbone.condition`; the last few prompts are kept, so only a new one costs an encoder."""
        return FluxConditioning(self._texts.get(prompt, lambda: self._encode_prompt(prompt)), guidance, subject)

    def _encode_prompt(self, prompt: str) -> Text:
        pipeline = self._parts()
        length = min(_TEXT_TOKENS, int(pipeline.tokenizer_2.model_max_length))
        with self._on_device(pipeline.text_encoder, pipeline.text_encoder_2):
            tokens, pooled, _ = pipeline.encode_prompt(
                prompt, prompt, device=pipeline.text_encoder.device, max_sequence_length=length
            )
        return Text(tokens.to(self.device), pooled.to(self.device))

    def schedule(self, config: InversionConfig, latent: tuple[int, int]) -> Schedule:
        """See `Backbone.schedule`; shifted as the pipeline's scheduler says."""
        h, w = self.spec.token_grid(latent)
        scheduler = None if self._pipeline is None else self._pipeline.scheduler.config
        return Schedule(flow.time_grid(config.steps, time_shift(scheduler, h * w)), config.skip)

    # -- the transformer -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def velocity(self, z: Latent, t: float, cond: FluxConditioning, *, kv: KVControl | None = None) -> Latent:
        """See `Backbone.velocity`."""
        return self.flow(z, t, cond, kv=kv)

    def flow(
        self, z: Latent, t: float | Float[Tensor, " b"], cond: FluxConditioning, *, kv: KVControl | None = None
    ) -> Latent:
        """`velocity` with gradients, for training; each latent of the batch may have a time of its own."""
        transformer = self._transformer
        stream = self._embed(z, t, cond)
        for name in self.spec.blocks:
            stream = self._run_block(name, stream, kv, checkpointed=self._checkpointing)[0]
        out = transformer.proj_out(transformer.norm_out(stream.image, stream.temb))
        return unpack(out.to(z.dtype), *self.spec.token_grid((z.shape[-2], z.shape[-1])))

    def features(
        self, z: Latent, t: float, cond: FluxConditioning, *, taps: tuple[str, ...], kv: KVControl | None = None
    ) -> Features:
        """See `Backbone.features`. Taps: "double.I.norm", the modulated input of block I, and "double.I.out"."""
        unknown = [tap for tap in taps if tap not in self.spec.tap_names]
        if unknown or not taps:
            raise UserError(f"tap {unknown or taps} is not known: this model has {', '.join(self.spec.tap_names)}")
        wanted = {tap: tap.rpartition(".")[0] for tap in taps}
        last = max(self.spec.blocks.index(block) for block in wanted.values())
        stream = self._embed(z, t, cond)
        found: dict[str, Tensor] = {}
        for name in self.spec.blocks[: last + 1]:
            stream, norm = self._run_block(name, stream, kv, checkpointed=self._checkpointing)
            if name in wanted.values():
                found |= {f"{name}.out": stream.image, f"{name}.norm": norm}
        h, w = self.spec.token_grid((z.shape[-2], z.shape[-1]))
        return tuple(rearrange(found[tap], "b (h w) d -> b d h w", h=h, w=w) for tap in taps)

    def _embed(self, z: Latent, t: float | Tensor, cond: FluxConditioning) -> _Stream:
        transformer = self._transformer
        h, w = self.spec.token_grid((z.shape[-2], z.shape[-1]))
        device, dtype = z.device, transformer.dtype
        pooled = cond.text.pooled.to(dtype)
        # float32: bfloat16 would merge neighbouring times
        times = [torch.as_tensor(t, dtype=torch.float32, device=device).expand(z.shape[0]) * 1000]
        if transformer.config.guidance_embeds:
            times.append(torch.full((z.shape[0],), cond.guidance, device=device) * 1000)
        ids = torch.cat([torch.zeros(cond.text.tokens.shape[1], 3, device=device), image_ids(h, w, device)])
        return _Stream(
            image=transformer.x_embedder(pack(z).to(dtype)),
            text=transformer.context_embedder(cond.text.tokens.to(dtype)),
            temb=transformer.time_text_embed(*times, pooled),
            rotary=transformer.pos_embed(ids),
            subject=None if cond.subject is None else cond.subject.at(float(t)),
        )

    def _run_block(
        self, name: str, stream: _Stream, kv: KVControl | None, *, checkpointed: bool = False
    ) -> tuple[_Stream, Tensor]:
        """One block; gives the stream after it and the modulated input of its image tokens."""
        kind, _, index = name.partition(".")
        blocks = (
            self._transformer.transformer_blocks if kind == "double" else self._transformer.single_transformer_blocks
        )
        block = blocks[int(index)]
        text_tokens = 0 if kind == "double" else stream.text.shape[1]

        def run(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            # Hooks live inside, so that a recomputation in the backward pass sees the same control.
            with (
                kv_hooks(block.attn, name, text_tokens, kv),
                subject_hooks(block, name, text_tokens, stream.subject),
                norm_hook(block.norm1 if kind == "double" else block.norm) as seen,
            ):
                text, image = block(
                    hidden_states=image, encoder_hidden_states=text, temb=stream.temb, image_rotary_emb=stream.rotary
                )
            return text, image, seen[0][:, text_tokens:]

        if checkpointed and torch.is_grad_enabled():
            text, image, norm = checkpoint(run, stream.image, stream.text, use_reentrant=False)
        else:
            text, image, norm = run(stream.image, stream.text)
        return replace(stream, image=image, text=text), norm

    # -- the machine ---------------------------------------------------------------------------------------------

    def cache_device(self, size: int) -> torch.device:
        """The transformer's device where the cache takes at most half of the free memory, else the CPU."""
        if self.device.type == "cuda" and size > torch.cuda.mem_get_info(self.device)[0] / 2:
            return torch.device("cpu")
        return self.device

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

    def renamed(self, weights: WeightsId) -> Flux1:
        """The same parts, whose weights are others now."""
        same = Flux1(
            self._transformer,
            self._pipeline,
            weights=weights,
            checkpointing=self._checkpointing,
            offload=self._offload,
        )
        same.lock = self.lock
        return same

    @property
    def transformer(self) -> FluxTransformer2DModel:
        """The diffusion transformer itself, for those who change its weights and for what diffusers does with it."""
        return self._transformer

    @property
    def pipeline(self) -> FluxPipeline:
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
        return on_device(modules, self.device, offload=self._offload)

    def _refuse_fused(self) -> None:
        for name, module in self._transformer.named_modules():
            if getattr(module, "fused_projections", False):
                raise CapabilityError(FUSED.format(name=name))


@dataclass(frozen=True, eq=False)
class _Stream:
    """What flows from block to block."""

    image: Float[Tensor, "b n d"]
    text: Float[Tensor, "b m d"]
    temb: Float[Tensor, "b d"]
    rotary: tuple[Tensor, Tensor] = field(repr=False)
    subject: SubjectControl | None
