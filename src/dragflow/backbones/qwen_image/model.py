"""Qwen-Image in diffusers layout: sign, time, packing, guidance and token order end here.

The model predicts v itself and takes t (multiplied by 1000 inside). Blocks have two streams: image tokens, followed by
those of references where the model takes any, are projected by themselves and attend together with the text's. Guidance
is classifier-free, and keeps each token's length. Latents are packed by 2 x 2 patches; the autoencoder is one of video,
of which a picture is one frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragflow.backbones.attend import attend_hook
from dragflow.backbones.conditioning import Text, Told
from dragflow.backbones.guidance import beyond
from dragflow.backbones.hooks import input_hook, kv_hooks
from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.qwen_image.layout import moments, reference_rotary, spec_of, stride_of
from dragflow.backbones.qwen_image.prompts import check_prompt, encode
from dragflow.backbones.qwen_image.shown import Shown
from dragflow.backbones.streams import TEXT_FIRST, ImageFirst
from dragflow.backbones.vae import mode
from dragflow.method.backbone import BackboneSpec, Image, KVControl, Latent


class QwenImage(PipelineBackbone):
    """A `Backbone` on a `QwenImageTransformer2DModel` and the rest of its `QwenImagePipeline`."""

    def _facts(self) -> BackboneSpec:
        return spec_of(self._transformer, 8 if self._pipeline is None else stride_of(self._pipeline.vae))

    def _encode_prompt(self, prompt: str, *shown: Shown) -> Text:
        check_prompt(prompt)
        return self._encode(self._parts().prompt_template_encode.format(prompt))

    def _encode(self, wording: str, *pictures: Any) -> Text:
        pipeline = self._parts()
        with self._on_device(pipeline.text_encoder):
            tokens = encode(pipeline, wording, pictures)
        return Text(tokens.to(self.device))

    def _encoded(self, vae: Any, image: Image) -> Latent:
        z = mode(vae.encode(image[:, :, None])).float()[:, :, 0]
        mean, deviation = moments(vae, z)
        return (z - mean) / deviation

    def _decoded(self, vae: Any, z: Latent) -> Image:
        mean, deviation = moments(vae, z)
        return vae.decode((z * deviation + mean).to(vae.dtype)[:, :, None]).sample[:, :, 0]  # within [-1, 1] by itself

    def _lead(self, v: Latent, away: Latent, scale: float) -> Latent:
        """The usual rule, after which each token is as long as the prompt's own answer."""
        own, led = pack(v), pack(beyond(v, away, scale))
        norm = led.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(led.dtype).tiny)  # 0 where nothing is computed
        length = own.norm(dim=-1, keepdim=True) / norm
        return unpack(led * length, *self.spec.token_grid((v.shape[-2], v.shape[-1])))

    def _embed(self, z: Latent, t: float | Tensor, cond: Told) -> _Stream:
        transformer = self._transformer
        h, w = self.spec.token_grid((z.shape[-2], z.shape[-1]))
        told = [pack(each.z)[:, each.tokens].expand(z.shape[0], -1, -1) for each in cond.references]
        tokens = transformer.img_in(torch.cat([pack(z), *told], dim=1).to(transformer.dtype))
        # float32: bfloat16 would merge neighbouring times
        times = torch.as_tensor(t, dtype=torch.float32, device=z.device).expand(z.shape[0])
        still = None
        if transformer.zero_cond_t:  # references are pictures, whatever the time
            times = torch.cat([times, torch.zeros_like(times)])
            still = (torch.arange(tokens.shape[1], device=z.device) >= h * w).int().expand(z.shape[0], -1)
        text = transformer.txt_in(transformer.txt_norm(cond.text.tokens.to(transformer.dtype)))
        grids = [(h, w), *(self.spec.token_grid((each.z.shape[-2], each.z.shape[-1])) for each in cond.references)]
        image_rotary, text_rotary = transformer.pos_embed(
            [[(1, *grid) for grid in grids]], max_txt_seq_len=text.shape[1], device=z.device
        )
        seen = [reference_rotary(transformer.pos_embed, each, (h, w)).to(z.device) for each in cond.references]
        return _Stream(
            grid=(h, w),
            tokens=tokens,
            text=text,
            temb=transformer.time_text_embed(times, tokens),
            rotary=(torch.cat([image_rotary[: h * w], *seen]), text_rotary),
            still=still,
        )

    def _run_block(self, name: str, stream: _Stream, kv: KVControl | None) -> tuple[_Stream, Tensor]:
        block = self._transformer.transformer_blocks[int(name.rpartition(".")[2])]
        image = slice(0, stream.image_tokens)

        def run(tokens: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with (
                attend_hook(block.attn, name, TEXT_FIRST, stream.attend),
                kv_hooks(block.attn, name, image, kv),
                input_hook(block.attn, "hidden_states") as seen,
            ):
                text, tokens = block(
                    hidden_states=tokens,
                    encoder_hidden_states=text,
                    encoder_hidden_states_mask=None,
                    temb=stream.temb,
                    image_rotary_emb=stream.rotary,
                    modulate_index=stream.still,
                )
            return text, tokens, seen[0][:, image]

        text, tokens, norm = self._checkpointed(run, stream.tokens, stream.text)
        return replace(stream, tokens=tokens, text=text), norm

    def _project(self, stream: _Stream) -> Latent:
        transformer = self._transformer
        temb = stream.temb if stream.still is None else stream.temb.chunk(2)[0]
        return unpack(stream.on_grid(transformer.proj_out(transformer.norm_out(stream.image, temb))), *stream.grid)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Stream(ImageFirst):
    """What flows from block to block."""

    least_text: ClassVar[int] = 1

    temb: Float[Tensor, "b d"]
    """Of the time, and where references are still, of time 0 after it."""
    rotary: tuple[Tensor, Tensor] = field(repr=False)
    """Of image and references, and of the text."""
    still: Int[Tensor, "b n+r"] | None
    """1 where a token is modulated as at time 0; None if none is."""

    def only(self, tokens: Int[Tensor, " k"], text: slice) -> Self:
        """See `ImageFirst.only`."""
        rotary = self.rotary[0][tokens], self.rotary[1][text]
        still = None if self.still is None else self.still[:, tokens]
        return replace(super().only(tokens, text), rotary=rotary, still=still)
