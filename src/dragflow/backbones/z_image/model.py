"""Z-Image in diffusers layout: sign, time, packing, guidance and token order end here.

The model is given 1 - t (multiplied by 1000 inside) and predicts -v. Image tokens come first, then those that pad them
to a multiple of 32, then the caption's, padded alike; all attend to all. Two blocks refine the image's tokens and two
the caption's before the layers, which take both. The pipeline's guidance scale s is this one's less 1: it adds s times
what the prompt changes to the prompt's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.conditioning import Text, Told
from dragflow.backbones.hooks import input_hook, kv_hooks
from dragflow.backbones.packing import pack_last, unpack_last
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.streams import ImageFirst
from dragflow.backbones.z_image import distilled
from dragflow.backbones.z_image.layout import (
    PATCHING,
    TEXT_TOKENS,
    caption_ids,
    image_ids,
    padded,
    spec_of,
)
from dragflow.method.backbone import BackboneSpec, KVControl, Latent


class ZImage(PipelineBackbone):
    """A `Backbone` on a `ZImageTransformer2DModel` and the rest of its `ZImagePipeline`."""

    def _facts(self) -> BackboneSpec:
        stride = 8 if self._pipeline is None else self._pipeline.vae_scale_factor
        return spec_of(self._transformer, stride, distilled=self._is(distilled))

    def _encode_prompt(self, prompt: str) -> Text:
        pipeline = self._parts()
        length = min(TEXT_TOKENS, int(pipeline.tokenizer.model_max_length))
        with self._on_device(pipeline.text_encoder):
            (tokens,), _ = pipeline.encode_prompt(
                prompt,
                device=pipeline.text_encoder.device,
                do_classifier_free_guidance=False,
                max_sequence_length=length,
            )
        return Text(tokens[None].to(self.device))

    def _embed(self, z: Latent, t: float | Tensor, cond: Told) -> _Stream:
        transformer = self._transformer
        device, dtype, count = z.device, transformer.dtype, cond.text.tokens.shape[1]
        h, w = self.spec.token_grid((z.shape[-2], z.shape[-1]))
        # float32: bfloat16 would merge neighbouring times
        times = 1 - torch.as_tensor(t, dtype=torch.float32, device=device).expand(z.shape[0])
        image, caption = image_ids(h, w, count, device), caption_ids(count, device)
        tokens = transformer.all_x_embedder[PATCHING](padded(pack_last(z)).to(dtype))
        stream = _Stream(
            grid=(h, w),
            tokens=torch.cat([tokens[:, : h * w], _filled(tokens[:, h * w :], transformer.x_pad_token)], dim=1),
            temb=transformer.t_embedder(times * transformer.t_scale).to(dtype),
            rotary=transformer.rope_embedder(image)[None].expand(z.shape[0], -1, -1),
        )
        text = transformer.cap_embedder(padded(cond.text.tokens).to(dtype))
        text = torch.cat([text[:, :count], _filled(text[:, count:], transformer.cap_pad_token)], dim=1)
        rotary = transformer.rope_embedder(caption)[None]
        for block in transformer.context_refiner:
            text = block(text, None, rotary)
        return replace(
            stream, caption=text.expand(z.shape[0], -1, -1), caption_rotary=rotary.expand(z.shape[0], -1, -1)
        )

    def _run_block(self, name: str, stream: _Stream, kv: KVControl | None) -> tuple[_Stream, Tensor]:
        kind, _, index = name.partition(".")
        if kind == "layer":
            stream = stream.joined
        blocks = self._transformer.layers if kind == "layer" else self._transformer.noise_refiner
        block, image = blocks[int(index)], slice(0, stream.image_tokens)

        def run(tokens: Tensor) -> tuple[Tensor, Tensor]:
            with kv_hooks(block.attention, name, image, kv), input_hook(block.attention) as seen:
                tokens = block(tokens, None, stream.rotary, stream.temb)
            return tokens, seen[0][:, image]

        tokens, norm = self._checkpointed(run, stream.tokens)
        return replace(stream, tokens=tokens), norm

    def _project(self, stream: _Stream) -> Latent:
        tokens = self._transformer.all_final_layer[PATCHING](stream.joined.tokens, c=stream.temb)
        return -unpack_last(tokens[:, : stream.image_tokens], *stream.grid)


def _filled(tokens: Float[Tensor, "b n d"], token: Float[Tensor, "1 d"]) -> Float[Tensor, "b n d"]:
    return token[None].to(tokens.dtype).expand_as(tokens)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Stream(ImageFirst):
    """What flows from block to block: after the image's tokens those that pad them, and in layers the caption's."""

    temb: Float[Tensor, "b d"]
    rotary: Tensor = field(repr=False)
    caption: Float[Tensor, "b m d"] | None = None
    """The caption's tokens, until they join the image's."""
    caption_rotary: Tensor | None = field(default=None, repr=False)

    @property
    def joined(self) -> _Stream:
        """The stream with the caption's tokens after the image's."""
        if self.caption is None or self.caption_rotary is None:
            return self
        return replace(
            self,
            tokens=torch.cat([self.tokens, self.caption], dim=1),
            rotary=torch.cat([self.rotary, self.caption_rotary], dim=1),
            caption=None,
            caption_rotary=None,
        )
