"""Configurations of strangers: a wrong type, an absurd size or more than the files hold is refused before building."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from dragflow.backbones.configs import check_config, defaults_of, read_config
from dragflow.backbones.registry import footprint, load_backbone
from dragflow.backbones.tensors import read_folder
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from small_flux import load

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def copy(dummy_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dummy_folder, tmp_path / "model"))


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder: Path, **options: Any) -> str:
    """Of a load; within 5 s, however slow the machine."""
    begun = time.process_time()
    with pytest.raises(UserError) as raised:
        load_backbone(ModelOptions.of(folder, device="cpu", **options))
    assert time.process_time() - begun < 5
    assert len(str(raised.value)) < 600
    return str(raised.value)


def cls_of(part: str) -> Any:
    import diffusers
    import transformers

    return {
        "transformer": diffusers.FluxTransformer2DModel,
        "vae": diffusers.AutoencoderKL,
        "text_encoder": transformers.CLIPTextModel,
        "text_encoder_2": transformers.T5EncoderModel,
    }[part]


@pytest.mark.parametrize(
    ("part", "key", "value", "rule"),
    [
        ("transformer", "num_layers", 10**9, "from 1 to 200"),
        ("transformer", "num_layers", -1, "from 1 to 200"),
        ("transformer", "num_layers", "3", "a whole number"),
        ("transformer", "num_layers", 2.5, "a whole number"),
        ("transformer", "num_layers", True, "a whole number"),
        ("transformer", "num_layers", None, "a whole number"),
        ("transformer", "num_layers", [3], "a whole number"),
        ("vae", "latent_channels", {}, "a whole number"),
        ("vae", "scaling_factor", None, "a number"),
        ("transformer", "num_single_layers", 0, "from 1 to 200"),
        ("transformer", "attention_head_dim", 0, "from 1"),
        ("transformer", "num_attention_heads", 10**12, "from 1"),
        ("transformer", "out_channels", 10**12, "from 0"),
        ("transformer", "out_channels", "x", "a whole number"),
        ("transformer", "axes_dims_rope", "x", "a list"),
        ("transformer", "axes_dims_rope", [], "a list"),
        ("transformer", "axes_dims_rope", [8] * 1000, "a list"),
        ("transformer", "axes_dims_rope", ["8", 12, 12], "a whole number"),
        ("transformer", "guidance_embeds", "yes", "true or false"),
        ("transformer", "unheard_of", INF, "a finite number"),
        ("vae", "layers_per_block", 10**9, "from 1 to 176"),
        ("vae", "norm_num_groups", 0, "from 1"),
        ("vae", "block_out_channels", [8, 16, 16, 10**9], "from 0"),
        ("vae", "scaling_factor", "1", "a number"),
        ("vae", "scaling_factor", NAN, "a finite number"),
        ("vae", "shift_factor", "a", "a number"),
        ("vae", "act_fn", 5, "text"),
        ("text_encoder", "vocab_size", 10**12, "from 1"),
        ("text_encoder", "num_labels", 10**9, "from -20 to 20"),
        ("text_encoder", "max_position_embeddings", -5, "from 1"),
        ("text_encoder_2", "num_layers", 10**9, "from 1 to 11"),
        ("text_encoder_2", "num_hidden_layers", 10**9, "to 11"),
        ("text_encoder_2", "d_kv", 0, "from 1"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_rule(
    part: str, key: str, value: Any, rule: str, dummy_folder: Path
) -> None:
    stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
    entries = read_folder(dummy_folder / part, stem, index_first=True)
    config = read_config("it", dummy_folder / part / "config.json")
    check_config("it", config, defaults_of(cls_of(part)), entries)
    with pytest.raises(UserError, match=rf"it has {key}(\[\d\])? .* in its configuration: it must be .*{rule}"):
        check_config("it", {**config, key: value}, defaults_of(cls_of(part)), entries)


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("transformer", {"num_layers": 10**9}, "its transformer has num_layers 1000000000"),
        ("transformer", {"axes_dims_rope": [8, 12]}, "axes_dims_rope [8, 12] in its configuration: it must be three"),
        ("transformer", {"axes_dims_rope": [8, 12, 14]}, "that add up to 32"),
        ("transformer", {"axes_dims_rope": [0, 16, 16]}, "three even numbers"),
        ("transformer", {"attention_head_dim": 64}, "that add up to 64"),
        ("transformer", {"in_channels": 16}, "in_channels 16 in its configuration: it must be 64"),
        ("transformer", {"joint_attention_dim": 64}, "it must be 32: d_model of text_encoder_2"),
        ("transformer", {"num_layers": 2}, "tensor transformer_blocks.2.attn.add_k_proj.bias is unexpected"),
        ("transformer", {"num_single_layers": 7}, "tensor single_transformer_blocks.6"),
        ("text_encoder", {"vocab_size": 1000}, "(74, 32) instead of (1000, 32) (one of 1), as vocab_size 1000"),
        ("text_encoder_2", {"vocab_size": 39}, "as vocab_size 39 would have it"),
        ("text_encoder_2", {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "8 bits"),
        ("vae", {"scaling_factor": 0}, "its vae has scaling_factor 0"),
        ("vae", {"_class_name": "os"}, "is a os: AutoencoderKL or AutoencoderTiny is needed"),
        ("vae", {"down_block_types": ["X"] * 4}, "its vae cannot be loaded"),
    ],
)
def test_a_model_whose_configuration_does_not_fit_is_refused(
    part: str, changes: dict[str, Any], words: str, copy: Path
) -> None:
    rewrite(copy / part / "config.json", **changes)
    assert words in refusal(copy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_train_timesteps": 10**12}, "num_train_timesteps 1000000000000"),
        ({"shift": 0}, "shift 0: it must be greater than 0"),
        ({"shift": [1]}, "shift [1] in its configuration: it must be a number"),
        ({"max_image_seq_len": None}, "max_image_seq_len None in its configuration: it must be a whole number"),
        ({"shift": "a"}, "shift 'a' in its configuration: it must be a number"),
        ({"base_image_seq_len": 4096}, "must be less than max_image_seq_len"),
        ({"_class_name": "DDIMScheduler"}, "is a DDIMScheduler"),
    ],
)
def test_a_scheduler_that_cannot_be_is_refused(changes: dict[str, Any], words: str, copy: Path) -> None:
    rewrite(copy / "scheduler" / "scheduler_config.json", **changes)
    assert words in refusal(copy)


@pytest.mark.parametrize("part", ["tokenizer", "tokenizer_2"])
def test_a_tokenizer_without_files_is_refused(part: str, copy: Path) -> None:
    for file in (copy / part).iterdir():
        file.unlink()
    assert f"its {part}/ has no vocabulary" in refusal(copy)


@pytest.mark.parametrize(("part", "length"), [("tokenizer", 78), ("tokenizer", "x"), ("tokenizer_2", -1)])
def test_a_tokenizer_for_lengths_that_its_encoder_does_not_take_is_refused(part: str, length: Any, copy: Path) -> None:
    rewrite(copy / part / "tokenizer_config.json", model_max_length=length)
    assert f"its {part} has model_max_length {length!r}" in refusal(copy)


@pytest.mark.parametrize("text", ["", "[]", '{"a":' + "[" * 100000 + "]" * 100000 + "}", "\xff"])
def test_a_damaged_configuration_is_named(text: str, copy: Path) -> None:
    (copy / "vae" / "config.json").write_text(text, encoding="latin-1")
    assert "vae/config.json is" in refusal(copy)


def test_an_estimate_believes_no_absurd_configuration(copy: Path) -> None:
    rewrite(copy / "text_encoder_2" / "config.json", num_layers=10**9)
    with pytest.raises(UserError, match="num_layers 1000000000"):
        footprint(ModelOptions.of(copy))


SURPLUS = {
    "transformer/diffusion_pytorch_model.safetensors": "extra.weight",
    "vae/diffusion_pytorch_model.safetensors": "extra.weight",
    "text_encoder/model.safetensors": "encoder.layers.1.mlp.fc1.bias",
    "text_encoder_2/model.safetensors": "encoder.block.1.layer.0.SelfAttention.q.weight",
}


@pytest.mark.parametrize(("file", "name"), SURPLUS.items())
def test_a_tensor_that_nothing_reads_is_an_error(file: str, name: str, copy: Path) -> None:
    tensors = load_file(copy / file)
    save_file(tensors | {name: next(iter(tensors.values())).clone()}, copy / file, metadata={"format": "pt"})
    assert f"tensor {name} is unexpected (one of 1)" in refusal(copy)


def test_the_other_half_of_a_model_and_old_buffers_are_left_out(copy: Path) -> None:
    import torch

    clip, t5 = (copy / part / "model.safetensors" for part in ("text_encoder", "text_encoder_2"))
    old = {f"text_model.{name}": x for name, x in load_file(clip).items()}
    position_ids = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    save_file(old | position_ids | {"logit_scale": torch.ones(())}, clip, metadata={"format": "pt"})
    whole = load_file(t5)
    whole |= {"decoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(8, 8), "lm_head.weight": torch.zeros(40, 8)}
    save_file(whole, t5, metadata={"format": "pt"})
    assert load(copy).spec.family == "flux1"
