"""Z-Image in diffusers layout: sign, time, packing, guidance and token order end here.

The model is given 1 - t (multiplied by 1000 inside) and predicts -v. Image tokens come first, then those that pad them
to a multiple of 32, then the caption's, padded alike; all attend to all. Two blocks refine the image's tokens and two
the caption's before the layers, which take both. The pipeline's guidance scale s is this one's less 1: it adds s times
what the prompt changes to the prompt's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragflow.backbones.attend import attend_hook
from dragflow.backbones.conditioning import Text, Told
from dragflow.backbones.hooks import input_hook, kv_hooks
from dragflow.backbones.packing import pack_last, unpack_last
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.streams import NO_TEXT, TEXT_LAST, ImageFirst
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
        text = transformer.cap_embedder(padded(cond.text.tokens).to(dtype))
        text = torch.cat([text[:, :count], _filled(text[:, count:], transformer.cap_pad_token)], dim=1)
        rotary = transformer.rope_embedder(caption)[None]
        for block in transformer.context_refiner:
            text = block(text, None, rotary)
        return _Stream(
            grid=(h, w),
            tokens=torch.cat([tokens[:, : h * w], _filled(tokens[:, h * w :], transformer.x_pad_token)], dim=1),
            text=text.expand(z.shape[0], -1, -1),
            temb=transformer.t_embedder(times * transformer.t_scale).to(dtype),
            rotary=transformer.rope_embedder(image)[None].expand(z.shape[0], -1, -1),
            text_rotary=rotary.expand(z.shape[0], -1, -1),
        )

    def _run_block(self, name: str, stream: _Stream, kv: KVControl | None) -> tuple[_Stream, Tensor]:
        kind, _, index = name.partition(".")
        if kind == "layer":
            stream, blocks, order = stream.joined, self._transformer.layers, TEXT_LAST
        else:
            blocks, order = self._transformer.noise_refiner, NO_TEXT
        block, image = blocks[int(index)], slice(0, stream.image_tokens)

        def run(tokens: Tensor) -> tuple[Tensor, Tensor]:
            with (
                attend_hook(block.attention, name, order, stream.attend),
                kv_hooks(block.attention, name, image, kv),
                input_hook(block.attention) as seen,
            ):
                tokens = block(tokens, None, stream.rotary, stream.temb)
            return tokens, seen[0][:, image]

        tokens, norm = self._checkpointed(run, stream.tokens)
        return replace(stream, tokens=tokens), norm

    def _project(self, stream: _Stream) -> Latent:
        tokens = self._transformer.all_final_layer[PATCHING](stream.joined.tokens, c=stream.temb)
        return -unpack_last(stream.on_grid(tokens[:, : stream.image_tokens]), *stream.grid)


def _filled(tokens: Float[Tensor, "b n d"], token: Float[Tensor, "1 d"]) -> Float[Tensor, "b n d"]:
    return token[None].to(tokens.dtype).expand_as(tokens)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Stream(ImageFirst):
    """What flows from block to block: after the image's tokens those that pad them, and in layers the caption's."""

    temb: Float[Tensor, "b d"]
    rotary: Tensor = field(repr=False)
    text_rotary: Tensor = field(repr=False)
    """Of the caption's tokens, until they join the image's."""

    def only(self, tokens: Int[Tensor, " k"], text: slice) -> Self:
        """See `ImageFirst.only`."""
        rotary = self.rotary[:, tokens]
        return replace(super().only(tokens, text), rotary=rotary, text_rotary=self.text_rotary[:, text])

    @property
    def joined(self) -> _Stream:
        """The stream with the caption's tokens after the image's."""
        return replace(
            self,
            tokens=torch.cat([self.tokens, self.text], dim=1),
            rotary=torch.cat([self.rotary, self.text_rotary], dim=1),
            text=self.text[:, :0],
            text_rotary=self.text_rotary[:, :0],
        )
