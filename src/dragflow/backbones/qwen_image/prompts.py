"""What Qwen2.5-VL makes of a wording, and of pictures in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from dragflow.backbones.qwen_image.layout import TEXT_TOKENS
from dragflow.core.errors import UserError

PICTURE = "<|image_pad|>"
"""Stands for a picture in a wording; each takes as many of these tokens as it has patches."""


def check_prompt(prompt: str) -> None:
    """Check that a prompt stands for no picture of its own.

    Raises:
        UserError: it does.
    """
    if PICTURE in prompt:
        raise UserError(f"the prompt has {PICTURE}, which stands for a picture in this model: leave it out")


def encode(pipeline: Any, wording: str, pictures: Sequence[Image.Image] = ()) -> Float[Tensor, "1 m e"]:
    """The encoder's last hidden states, without those of the system's part; what is beyond the limit is cut off.

    Args:
        pipeline: with `text_encoder`, `tokenizer`, and the number of tokens that are dropped; for pictures, with a
            `processor` that has an `image_processor`.
        wording: in the pipeline's template, with a `PICTURE` for each picture.
        pictures: in the order of the wording.

    Raises:
        UserError: tokenizer and encoder do not agree on what stands for a picture.
    """
    encoder, dropped = pipeline.text_encoder, pipeline.prompt_template_encode_start_idx
    seen: dict[str, Tensor] = {}
    patches: list[int] = []
    if pictures:
        processor = pipeline.processor.image_processor
        seen = dict(processor(images=list(pictures), return_tensors="pt"))
        patches = [int(grid.prod()) // processor.merge_size**2 for grid in seen["image_grid_thw"]]
    first, *others = wording.split(PICTURE)
    text = first + "".join(PICTURE * count + other for count, other in zip(patches, others, strict=True))
    longest = dropped + TEXT_TOKENS + sum(patches)
    ids: Tensor = pipeline.tokenizer(text, truncation=True, max_length=longest, return_tensors="pt").input_ids
    ids = ids.to(encoder.device)
    in_picture = ids == encoder.config.image_token_id
    if pictures and int(in_picture.sum()) != sum(patches):
        raise UserError(
            f"the tokenizer of this model gives {PICTURE} another number than {encoder.config.image_token_id}, the "
            "image_token_id of its text encoder: use the tokenizer that belongs to it"
        )
    hidden = encoder(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        # diffusers 0.42 leaves this out, and transformers 5 then counts a picture's patches as if they were words: the
        # weights were trained with rows and columns
        mm_token_type_ids=in_picture.int(),
        **{name: x.to(encoder.device) for name, x in seen.items()},
        output_hidden_states=True,
        use_cache=False,
        logits_to_keep=1,
    ).hidden_states[-1]
    return hidden[:, dropped:]
