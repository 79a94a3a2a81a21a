"""FLUX.2 in diffusers layout: sign, time, guidance and token order end here.

The model predicts v itself and takes t (multiplied by 1000 inside). Double blocks project image tokens alone; single
blocks project text tokens first, then image tokens, with keys, values and the feed-forward part in one matrix. In both
the image's tokens are followed by those of references. All blocks of a kind share their modulation. The autoencoder's
latents are normalised as patches of 2 x 2, and a token is such a patch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragflow.backbones.attend import attend_hook
from dragflow.backbones.conditioning import Text, Told
from dragflow.backbones.flux2.layout import (
    TEXT_TOKENS,
    flat,
    image_ids,
    in_rows,
    moments,
    reference_ids,
    text_ids,
    time_shift,
)
from dragflow.backbones.hooks import input_hook, kv_hooks, sliced_kv_hooks
from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.streams import TEXT_FIRST, ImageFirst, text_first
from dragflow.backbones.vae import mode, stride_of
from dragflow.core.config import InversionConfig
from dragflow.method.backbone import Image, KVControl, Latent, Schedule
from dragflow.ops import flow


class Flux2(PipelineBackbone):
    """A `Backbone` on a `Flux2Transformer2DModel` and the rest of its pipeline; a family adds its facts."""

    @property
    def _stride(self) -> int:
        """Of the autoencoder."""
        return 8 if self._pipeline is None else stride_of(self._pipeline.vae)

    def _encode_prompt(self, prompt: str) -> Text:
        pipeline = self._parts()
        tokenizer = getattr(pipeline.tokenizer, "tokenizer", pipeline.tokenizer)  # a processor has one
        length = min(TEXT_TOKENS, int(tokenizer.model_max_length))
        with self._on_device(pipeline.text_encoder):
            tokens, _ = pipeline.encode_prompt(prompt, device=pipeline.text_encoder.device, max_sequence_length=length)
        return Text(tokens.to(self.device))

    def _encoded(self, vae: Any, image: Image) -> Latent:
        mean, deviation = moments(vae)
        z = pack(mode(vae.encode(image)).float())
        h, w = image.shape[-2] // self.spec.latent_stride, image.shape[-1] // self.spec.latent_stride
        return (in_rows(z, h, w) - mean) / deviation

    def _decoded(self, vae: Any, z: Latent) -> Image:
        mean, deviation = moments(vae)
        patches = flat(z * deviation + mean)
        return vae.decode(unpack(patches, z.shape[-2], z.shape[-1]).to(vae.dtype)).sample

    def schedule(self, config: InversionConfig, latent: tuple[int, int]) -> Schedule:
        """See `Backbone.schedule`; shifted by the number of tokens and of steps."""
        h, w = self.spec.token_grid(latent)
        return Schedule(flow.time_grid(config.steps, time_shift(h * w, config.steps)), config.skip)

    def _embed(self, z: Latent, t: float | Tensor, cond: Told) -> _Stream:
        transformer = self._transformer
        device, dtype = z.device, transformer.dtype
        h, w = z.shape[-2:]
        # float32: bfloat16 would merge neighbouring times
        times = torch.as_tensor(t, dtype=torch.float32, device=device).expand(z.shape[0]) * 1000
        embedder = transformer.time_guidance_embed
        temb = embedder.timestep_embedder(embedder.time_proj(times).to(dtype))
        if cond.guidance is not None:
            scales = torch.full_like(times, cond.guidance) * 1000
            temb = temb + embedder.guidance_embedder(embedder.time_proj(scales).to(dtype))
        ids = torch.cat(
            [
                text_ids(cond.text.tokens.shape[1], device),
                image_ids(h, w, device),
                *(reference_ids(each) for each in cond.references),
            ]
        )
        told = [flat(each.z)[:, each.tokens].expand(z.shape[0], -1, -1) for each in cond.references]
        return _Stream(
            grid=(h, w),
            tokens=transformer.x_embedder(torch.cat([flat(z), *told], dim=1).to(dtype)),
            text=transformer.context_embedder(cond.text.tokens.to(dtype)).expand(z.shape[0], -1, -1),
            temb=temb,
            double=(transformer.double_stream_modulation_img(temb), transformer.double_stream_modulation_txt(temb)),
            single=transformer.single_stream_modulation(temb),
            rotary=transformer.pos_embed(ids),
        )

    def _run_block(self, name: str, stream: _Stream, kv: KVControl | None) -> tuple[_Stream, Tensor]:
        kind, _, index = name.partition(".")
        run = self._double if kind == "double" else self._single
        text, tokens, norm = self._checkpointed(
            lambda tokens, text: run(int(index), name, stream, kv, tokens, text), stream.tokens, stream.text
        )
        return replace(stream, tokens=tokens, text=text), norm

    def _double(
        self, index: int, name: str, stream: _Stream, kv: KVControl | None, tokens: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        block, image = self._transformer.transformer_blocks[index], slice(0, stream.image_tokens)
        with (
            attend_hook(block.attn, name, TEXT_FIRST, stream.attend),
            kv_hooks(block.attn, name, image, kv),
            input_hook(block.attn, "hidden_states") as seen,
        ):
            text, tokens = block(
                hidden_states=tokens,
                encoder_hidden_states=text,
                temb_mod_img=stream.double[0],
                temb_mod_txt=stream.double[1],
                image_rotary_emb=stream.rotary,
            )
        return text, tokens, seen[0][:, image]

    def _single(
        self, index: int, name: str, stream: _Stream, kv: KVControl | None, tokens: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        block, first = self._transformer.single_transformer_blocks[index], text.shape[1]
        image, width = slice(first, first + stream.image_tokens), block.attn.inner_dim
        with (
            attend_hook(block.attn, name, TEXT_FIRST, stream.attend),
            sliced_kv_hooks(block.attn.to_qkv_mlp_proj, name, image, width, kv),
            input_hook(block.attn, "hidden_states") as seen,
        ):
            text, tokens = block(
                hidden_states=tokens,
                encoder_hidden_states=text,
                temb_mod=stream.single,
                image_rotary_emb=stream.rotary,
                split_hidden_states=True,
            )
        return text, tokens, seen[0][:, image]

    def _project(self, stream: _Stream) -> Latent:
        transformer = self._transformer
        out = transformer.proj_out(transformer.norm_out(stream.image, stream.temb))
        return in_rows(stream.on_grid(out), *stream.grid)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Stream(ImageFirst):
    """What flows from block to block."""

    temb: Float[Tensor, "b d"]
    double: tuple[Tensor, Tensor] = field(repr=False)
    """Modulation of image and text in all double blocks."""
    single: Tensor = field(repr=False)
    """The same in all single blocks."""
    rotary: tuple[Tensor, Tensor] = field(repr=False)
    """Of the text's tokens, then of all others."""

    def only(self, tokens: Int[Tensor, " k"], text: slice) -> Self:
        """See `ImageFirst.only`."""
        return replace(super().only(tokens, text), rotary=text_first(self.rotary, self.text.shape[1], tokens, text))
