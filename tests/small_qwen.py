"""Small random models of Qwen-Image and of its edit models, in the real classes and layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dragflow.backbones.packing import pack, unpack
from small_flux import GRID, TIME

Kind = Literal["QwenImagePipeline", "QwenImageEditPipeline", "QwenImageEditPlusPipeline"]
_SPECIAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def write_qwen(
    folder: Path, kind: Kind = "QwenImagePipeline", *, layers: int = 9, zero_cond_t: bool = False, seed: int = 0
) -> Path:
    """Save a whole pipeline in diffusers layout, about 3 MB; the same arguments give the same weights."""
    import diffusers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = diffusers.QwenImageTransformer2DModel(
            num_layers=layers,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(8, 12, 12),
            zero_cond_t=zero_cond_t,
        )
        vae = diffusers.AutoencoderKLQwenImage(base_dim=8, num_res_blocks=1)
        tokenizer = _tokenizer()
        encoder = _encoder(tokenizer)
    pipeline = getattr(diffusers, kind)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, max_image_seq_len=8192, max_shift=0.9, shift_terminal=0.02
        ),
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        **({} if kind == "QwenImagePipeline" else {"processor": None}),
    )
    pipeline.save_pretrained(folder)
    if kind != "QwenImagePipeline":
        _write_processor(folder, tokenizer)
    return folder


def _tokenizer() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    vocab = {character: i for i, character in enumerate(sorted(ByteLevel.alphabet()))}
    # More than the encoder has positions for, as in the published files.
    return Qwen2Tokenizer(vocab=vocab, merges=[], extra_special_tokens=list(_SPECIAL), model_max_length=131072)


def _encoder(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "max_window_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 32768,
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
    }
    named = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    ids = {f"{part}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}|>") for part, name in named.items()}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))


def _write_processor(folder: Path, tokenizer: Any) -> None:
    """What `Qwen2VLProcessor` saves, which cannot be made without torchvision."""
    import json

    from transformers import Qwen2VLImageProcessorPil

    tokenizer.save_pretrained(folder / "processor")
    Qwen2VLImageProcessorPil().save_pretrained(folder / "processor")
    index = folder / "model_index.json"
    entries = json.loads(index.read_text()) | {"processor": ["transformers", "Qwen2VLProcessor"]}
    index.write_text(json.dumps(entries))


def library_pipeline(folder: Path, kind: Kind) -> Any:
    """The library's own pipeline of a folder; an edit pipeline has what it would have with torchvision."""
    import diffusers

    if kind == "QwenImagePipeline":
        pipe = diffusers.QwenImagePipeline.from_pretrained(folder)
    else:
        pipe = getattr(diffusers, kind).from_pretrained(folder, processor=None)
        pipe.processor = _processor(folder, pipe.tokenizer)
        pipe.text_encoder.register_forward_pre_hook(_with_kinds, with_kwargs=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _processor(folder: Path, tokenizer: Any) -> Any:
    """A `Qwen2VLProcessor` without the part that reads videos, for which its `__init__` needs torchvision."""
    from transformers import Qwen2VLImageProcessorPil, Qwen2VLProcessor

    processor = object.__new__(Qwen2VLProcessor)
    processor.image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder / "processor")
    processor.tokenizer = tokenizer
    for name in ("image", "video"):
        setattr(processor, f"{name}_token", f"<|{name}_pad|>")
        setattr(processor, f"{name}_token_id", tokenizer.convert_tokens_to_ids(f"<|{name}_pad|>"))
    processor.chat_template = None
    return processor


def _with_kinds(encoder: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What diffusers 0.42 leaves out of what the processor gave, and transformers 5 needs for rows and columns."""
    return args, given | {"mm_token_type_ids": (given["input_ids"] == encoder.config.image_token_id).int()}


@dataclass
class Step:
    """What a pipeline gave its transformer in a step, with the prompt and without, and its scheduler after it."""

    given: dict[str, Any]
    answer: Tensor
    away: dict[str, Any]
    led: Tensor


def steps_of(pipe: Any, tokens: int, **given: Any) -> list[Step]:
    """Those of a run of a pipeline with guidance, whose image has so many tokens."""
    calls: list[tuple[dict[str, Any], Tensor]] = []
    led: list[Tensor] = []
    step = pipe.scheduler.step

    def watch(v: Tensor, *args: Any, **more: Any) -> Any:
        led.append(v)
        return step(v, *args, **more)

    hook = pipe.transformer.register_forward_hook(
        lambda _, __, given, out: calls.append((given, out[0][:, :tokens])), with_kwargs=True
    )
    pipe.scheduler.step = watch
    pipe(negative_prompt=" ", output_type="latent", **given)
    pipe.scheduler.step = step
    hook.remove()
    pairs = zip(calls[::2], calls[1::2], led, strict=True)
    return [Step(own[0], own[1], away[0], v) for own, away, v in pairs]


@torch.no_grad()
def diffusers_velocity(transformer: Any, z: Tensor, cond: Any) -> Tensor:
    """What diffusers' own forward pass of a transformer gives, without references."""
    out = transformer(
        hidden_states=pack(z),
        encoder_hidden_states=cond.text.tokens,
        timestep=torch.full((1,), TIME),
        img_shapes=[[(1, *GRID)]],
        return_dict=False,
    )[0]
    return unpack(out, *GRID)
