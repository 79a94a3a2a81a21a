"""Stable Diffusion 3 in diffusers layout (the paper's second backbone, Table 7): time, guidance, token order end here.

The model predicts v itself and takes 1000 t. Blocks have two streams: image tokens are projected by themselves and
attend together with the text's, image first. Some blocks of 3.5 medium have a second attention, of image tokens among
themselves: its keys and values are never injected, and no subject acts in it. The last block gives no text. Places are
learned, of a table whose middle is the picture's. Guidance is classifier-free.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.attend import attend_hook
from dragflow.backbones.conditioning import PooledText, Told
from dragflow.backbones.hooks import kv_hooks, norm_hook, subject_hooks
from dragflow.backbones.packing import unpack_last
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.sd3.layout import TEXT_TOKENS, check_places, spec_of
from dragflow.backbones.streams import NO_TEXT, TEXT_LAST, ImageFirst
from dragflow.method.backbone import BackboneSpec, KVControl, Latent, SubjectControl


class SD3(PipelineBackbone):
    """A `Backbone` on an `SD3Transformer2DModel` and the rest of its `StableDiffusion3Pipeline`."""

    def _facts(self) -> BackboneSpec:
        return spec_of(self._transformer, 8 if self._pipeline is None else self._pipeline.vae_scale_factor)

    def _encode_prompt(self, prompt: str) -> PooledText:
        pipeline = self._parts()
        encoders = (pipeline.text_encoder, pipeline.text_encoder_2, pipeline.text_encoder_3)
        length = TEXT_TOKENS
        if pipeline.tokenizer_3 is not None:
            length = min(length, int(pipeline.tokenizer_3.model_max_length))
        with self._on_device(*(encoder for encoder in encoders if encoder is not None)):
            tokens, _, pooled, _ = pipeline.encode_prompt(
                prompt,
                None,
                None,
                device=pipeline.text_encoder.device,
                do_classifier_free_guidance=False,
                max_sequence_length=length,
            )
        return PooledText(tokens.to(self.device), pooled.to(self.device))

    def _embed(self, z: Latent, t: float | Tensor, cond: Told) -> _Stream:
        transformer = self._transformer
        dtype, grid = transformer.dtype, self.spec.token_grid((z.shape[-2], z.shape[-1]))
        check_places(transformer, grid, self.spec.pixel_multiple)
        # float32: bfloat16 would merge neighbouring times
        times = torch.as_tensor(t, dtype=torch.float32, device=z.device).expand(z.shape[0]) * 1000
        text = transformer.context_embedder(cond.text.tokens.to(dtype))
        return _Stream(
            grid=grid,
            tokens=transformer.pos_embed(z.to(dtype)).contiguous(),
            text=text.expand(z.shape[0], -1, -1),
            temb=transformer.time_text_embed(times, cond.text.pooled.to(dtype)),
            subject=None if cond.subject is None else cond.subject.at(float(t)),
        )

    def _run_block(self, name: str, stream: _Stream, kv: KVControl | None) -> tuple[_Stream, Tensor]:
        block = self._transformer.transformer_blocks[int(name.rpartition(".")[2])]

        def run(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            tokens = slice(0, image.shape[1])
            with (
                attend_hook(block.attn, name, TEXT_LAST, stream.attend),
                nullcontext() if block.attn2 is None else attend_hook(block.attn2, f"{name}.2", NO_TEXT, stream.attend),
                kv_hooks(block.attn, name, tokens, kv),
                subject_hooks(block, name, tokens, stream.subject, heads=1, attend=stream.attend),
                norm_hook(block.norm1) as seen,
            ):
                left, image = block(hidden_states=image, encoder_hidden_states=text, temb=stream.temb)
            return text if left is None else left, image, seen[0]

        text, image, norm = self._checkpointed(run, stream.tokens, stream.text)
        return replace(stream, tokens=image, text=text), norm

    def _project(self, stream: _Stream) -> Latent:
        transformer = self._transformer
        out = transformer.proj_out(transformer.norm_out(stream.image, stream.temb))
        return unpack_last(stream.on_grid(out), *stream.grid)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Stream(ImageFirst):
    """What flows from block to block."""

    temb: Float[Tensor, "b d"]
    subject: SubjectControl | None
