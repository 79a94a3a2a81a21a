"""Qwen2.5-VL and Qwen3-VL with weights of a few kilobytes, saved as their repositories lay them out."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

Kind = Literal["qwen2_5_vl", "qwen3_vl"]
WIDTH = 64
PATCH: dict[Kind, int] = {"qwen2_5_vl": 14, "qwen3_vl": 16}
_CONTROL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def write_vlm(folder: Path, kind: Kind, says: str | None = None, *, tied: bool = False) -> Path:
    """A model whose every answer is `says`, which is one token of its own; with None random weights, that never end."""
    tokenizer = _tokenizer(says)
    end, newline = tokenizer.convert_tokens_to_ids(["<|im_end|>", "Ċ"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network(kind, tokenizer, end, tied)
    if says is None:
        network.generation_config.eos_token_id = len(tokenizer) + 1000
    else:
        _teach(network, (newline, tokenizer.convert_tokens_to_ids(says), end))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_preprocessor(kind)))
    (folder / "video_preprocessor_config.json").write_text(
        json.dumps({"video_processor_type": "Qwen2VLVideoProcessor"})
    )
    if kind == "qwen2_5_vl":
        _flatten(folder / "config.json")
    return folder


def _tokenizer(says: str | None) -> Any:
    """Bytes for words, so that a text has as many tokens as bytes."""
    vocab = {sign: i for i, sign in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer: Any = Qwen2Tokenizer(
        vocab=vocab,
        merges=[],
        additional_special_tokens=list(_CONTROL),
        eos_token="<|im_end|>",
        chat_template=TEMPLATE,
    )
    if says is not None:
        tokenizer.add_tokens([AddedToken(says, normalized=False)])
    return tokenizer


def _network(kind: Kind, tokenizer: Any, end: int, tied: bool) -> Any:
    names = ("vision_start", "vision_end", "image", "video")
    ids = tokenizer.convert_tokens_to_ids(["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"])
    tokens = {f"{name}_token_id": i for name, i in zip(names, ids, strict=True)}
    text = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 1, "vocab_size": len(tokenizer), "bos_token_id": end, "eos_token_id": end}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}}
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
    whole: dict[str, Any] = tokens | {"tie_word_embeddings": tied}
    if kind == "qwen2_5_vl":
        vision |= {"fullatt_block_indexes": [1]}
        return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **whole))
    text |= {"head_dim": 32}
    vision |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **whole))


def _teach(network: Any, chain: tuple[int, int, int]) -> None:
    """Weights by hand: layers that add nothing, so that the last token alone says which comes next."""
    with torch.no_grad():
        for name, weight in network.model.language_model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        embed, head = network.get_input_embeddings().weight, network.get_output_embeddings().weight
        embed[:, :2] = 0
        head.zero_()
        for axis, (token, follower) in enumerate(pairwise(chain)):
            embed[token] = torch.eye(WIDTH)[axis]
            head[follower] = torch.eye(WIDTH)[axis]


def _preprocessor(kind: Kind) -> dict[str, Any]:
    shared = {
        "patch_size": PATCH[kind],
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    if kind == "qwen2_5_vl":
        limits: dict[str, Any] = {"min_pixels": 3136, "max_pixels": 12845056, "processor_class": "Qwen2_5_VLProcessor"}
        return shared | limits | {"image_processor_type": "Qwen2VLImageProcessor"}
    size = {"size": {"longest_edge": 16777216, "shortest_edge": 1024}, "processor_class": "Qwen3VLProcessor"}
    return shared | size | {"image_processor_type": "Qwen2VLImageProcessorFast"}


def _flatten(path: Path) -> None:
    """The published Qwen2.5-VL has what belongs to its text at the top of its configuration."""
    config = json.loads(path.read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text.pop("model_type")
    text.pop("layer_types")
    old = {"rope_theta": rope["rope_theta"], "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]}}
    path.write_text(json.dumps(text | old | config))
