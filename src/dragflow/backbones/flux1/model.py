"""FLUX.1 in diffusers layout (dev, schnell, every fine-tune): sign, time, packing, guidance and token order end here.

The model predicts v itself and takes t (multiplied by 1000 inside). Double blocks project image tokens alone; single
blocks project text tokens first, then image tokens, in both followed by those of references, if the model takes any.
Latents are packed by 2 x 2 patches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragflow.backbones.attend import attend_hook
from dragflow.backbones.conditioning import PooledText, Told
from dragflow.backbones.flux1 import distilled
from dragflow.backbones.flux1.layout import image_ids, reference_ids, spec_of
from dragflow.backbones.hooks import kv_hooks, norm_hook, subject_hooks
from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.streams import TEXT_FIRST, ImageFirst, text_first
from dragflow.method.backbone import BackboneSpec, KVControl, Latent, SubjectControl
from dragflow.ops import flow

_TEXT_TOKENS = 512


class Flux1(PipelineBackbone):
    """A `Backbone` on a `FluxTransformer2DModel` and the rest of its `FluxPipeline`."""

    def _facts(self) -> BackboneSpec:
        spec = spec_of(self._transformer, 8 if self._pipeline is None else self._pipeline.vae_scale_factor)
        return replace(spec, distilled=self._is(distilled))

    def _encode_prompt(self, prompt: str) -> PooledText:
        pipeline = self._parts()
        length = min(_TEXT_TOKENS, int(pipeline.tokenizer_2.model_max_length))
        with self._on_device(pipeline.text_encoder, pipeline.text_encoder_2):
            tokens, pooled, _ = pipeline.encode_prompt(
                prompt, prompt, device=pipeline.text_encoder.device, max_sequence_length=length
            )
        return PooledText(tokens.to(self.device), pooled.to(self.device))

    def _time_shift(self, tokens: int) -> float | None:
        return flow.flux_mu(tokens) if self._pipeline is None else super()._time_shift(tokens)

    def _embed(self, z: Latent, t: float | Tensor, cond: Told) -> _Stream:
        transformer = self._transformer
        h, w = self.spec.token_grid((z.shape[-2], z.shape[-1]))
        device, dtype = z.device, transformer.dtype
        pooled = cond.text.pooled.to(dtype)
        # float32: bfloat16 would merge neighbouring times
        times = [torch.as_tensor(t, dtype=torch.float32, device=device).expand(z.shape[0]) * 1000]
        if cond.guidance is not None:
            times.append(torch.full((z.shape[0],), cond.guidance, device=device) * 1000)
        text_ids = torch.zeros(cond.text.tokens.shape[1], 3, device=device)
        ids = torch.cat([text_ids, image_ids(h, w, device), *(reference_ids(each) for each in cond.references)])
        return _Stream(
            grid=(h, w),
            tokens=transformer.x_embedder(self._packed(z, cond).to(dtype)),
            text=transformer.context_embedder(cond.text.tokens.to(dtype)),
            temb=transformer.time_text_embed(*times, pooled),
            rotary=transformer.pos_embed(ids),
            subject=None if cond.subject is None else cond.subject.at(float(t)),
        )

    def _packed(self, z: Latent, cond: Told) -> Float[Tensor, "b n k"]:
        """The tokens as the first projection takes them: of the image, then of references."""
        told = [pack(each.z)[:, each.tokens].expand(z.shape[0], -1, -1) for each in cond.references]
        return torch.cat([pack(z), *told], dim=1)

    def _run_block(self, name: str, stream: _Stream, kv: KVControl | None) -> tuple[_Stream, Tensor]:
        kind, _, index = name.partition(".")
        double = kind == "double"
        blocks = self._transformer.transformer_blocks if double else self._transformer.single_transformer_blocks
        block = blocks[int(index)]
        first = 0 if double else stream.text.shape[1]
        image = slice(first, first + stream.image_tokens)

        def run(tokens: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with (
                attend_hook(block.attn, name, TEXT_FIRST, stream.attend),
                kv_hooks(block.attn, name, image, kv),
                subject_hooks(block, name, image, stream.subject, attend=stream.attend),
                norm_hook(block.norm1 if double else block.norm) as seen,
            ):
                text, tokens = block(
                    hidden_states=tokens, encoder_hidden_states=text, temb=stream.temb, image_rotary_emb=stream.rotary
                )
            return text, tokens, seen[0][:, image]

        text, tokens, norm = self._checkpointed(run, stream.tokens, stream.text)
        return replace(stream, tokens=tokens, text=text), norm

    def _project(self, stream: _Stream) -> Latent:
        transformer = self._transformer
        out = transformer.proj_out(transformer.norm_out(stream.image, stream.temb))
        return unpack(stream.on_grid(out), *stream.grid)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Stream(ImageFirst):
    """What flows from block to block."""

    temb: Float[Tensor, "b d"]
    rotary: tuple[Tensor, Tensor] = field(repr=False)
    """Of the text's tokens, then of all others."""
    subject: SubjectControl | None

    def only(self, tokens: Int[Tensor, " k"], text: slice) -> Self:
        """See `ImageFirst.only`."""
        return replace(super().only(tokens, text), rotary=text_first(self.rotary, self.text.shape[1], tokens, text))
