"""Kinds and namings of LoRAs: what is applied is on the model, and every layer that is not is named."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import attach_loras
from dragflow.core.errors import UserError
from small_flux import load

KOHYA = "lora_unet_double_blocks_{}_img_attn_proj"
PEFT = "transformer.transformer_blocks.{}.attn.to_k"
RANK, WIDTH = 4, 64


@pytest.fixture(scope="module")
def model(dummy_folder: Path) -> Flux1:
    return load(dummy_folder)


def pair(layer: str, names: str = "AB", width: int = WIDTH, rank: int = RANK) -> dict[str, Tensor]:
    """Both factors of a layer, as peft or, with "du", as kohya names them."""
    first, second = ("lora_down", "lora_up") if names == "du" else ("lora_A", "lora_B")
    return {f"{layer}.{first}.weight": torch.ones(RANK, width), f"{layer}.{second}.weight": torch.ones(width, rank)}


def attach(model: Flux1, file: Path, tensors: dict[str, Tensor]) -> set[str]:
    """Layers of the transformer that a LoRA is on while it is attached."""
    save_file(tensors, file)
    with attach_loras(model, [str(file)]) as on:
        return {name for name, x in on.transformer.named_modules() if "lora0" in getattr(x, "lora_A", ())}


XLABS = {
    f"double_blocks.0.processor.{name}.{factor}.weight": torch.ones(*shape)
    for name, width in (("qkv_lora1", 3 * WIDTH), ("proj_lora2", WIDTH))
    for factor, shape in (("down", (RANK, WIDTH)), ("up", (width, RANK)))
}


@pytest.mark.parametrize(
    ("tensors", "layers"),
    [
        (pair(PEFT.format(1)), {"1.attn.to_k"}),
        (pair(PEFT.format(1)) | {f"{PEFT.format(1)}.alpha": torch.tensor(2.0)}, {"1.attn.to_k"}),
        (pair(PEFT.format(1)) | {f"{PEFT.format(1)}.lora_B.bias": torch.ones(WIDTH)}, {"1.attn.to_k"}),
        (pair(KOHYA.format(2), "du"), {"2.attn.to_out.0"}),
        (XLABS, {"0.attn.to_q", "0.attn.to_k", "0.attn.to_v", "0.attn.to_add_out"}),
    ],
)
def test_what_is_read_is_applied_without_a_word(
    tensors: dict[str, Tensor], layers: set[str], model: Flux1, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        assert attach(model, tmp_path / "a.safetensors", tensors) == {f"transformer_blocks.{x}" for x in layers}
    assert not [record for record in caplog.records if record.name.startswith("dragflow")]


@pytest.mark.parametrize(
    ("surplus", "words"),
    [
        (pair(KOHYA.format(18), "du"), "1 of 2 layers applied, left out: lora_unet_double_blocks_18_img_attn_proj"),
        (pair("lora_te2_x", "du"), "1 of 2 layers applied, left out: lora_te2_x"),
        (pair("text_encoders.qwen.transformer.x", "du"), "left out: text_encoders.qwen.transformer.x"),
        (pair(PEFT.format(9)), "left out: transformer.transformer_blocks.9.attn.to_k"),
        ({"transformer.transformer_blocks.0.attn.norm_q.diff": torch.ones(32)}, "transformer_blocks.0.attn.norm_q"),
        ({"lora_unet_double_blocks_0_img_attn_norm_query_norm.diff": torch.ones(32)}, "_img_attn_norm_query_norm"),
        ({"bundle_emb.cat.clip_l": torch.ones(2, 32)}, "left out: bundle_emb.cat.clip_l"),
        ({f"{KOHYA.format(0)}.lora_A.weight": torch.ones(RANK, WIDTH)}, "img_attn_proj.lora_down.weight"),
        (pair("diffusion_model.double_blocks.0.img_attn.proj"), "left out: lora_unet_double_blocks_0_img_attn_proj"),
    ],
)
def test_a_layer_that_is_not_applied_is_named(
    surplus: dict[str, Tensor], words: str, model: Flux1, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        attach(model, tmp_path / "a.safetensors", pair(KOHYA.format(0), "du") | surplus)
    assert words in caplog.text


def test_a_lora_of_a_model_with_guidance_fits_one_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    schnell = load(write_dummy(tmp_path / "schnell", doubles=1, singles=1, guidance=False))
    name = "lora_unet_guidance_in_out_layer"
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        attach(schnell, tmp_path / "a.safetensors", pair(KOHYA.format(0), "du") | pair(name, "du"))
    assert f"1 of 2 layers applied, left out: {name}" in caplog.text


def test_what_peft_keeps_beside_a_file_is_of_the_fingerprint(model: Flux1, tmp_path: Path) -> None:
    file, found = tmp_path / "adapter_model.safetensors", set[str]()
    save_file(pair(PEFT.format(0).replace("transformer.", "base_model.model.", 1)), file)
    for alpha in (2, 4):
        (tmp_path / "adapter_config.json").write_text(f'{{"r": {RANK}, "lora_alpha": {alpha}}}')
        with attach_loras(model, [str(file)]) as on:
            found.add(on.weights.fingerprint)
    assert len(found) == 2
    for damaged in (
        "{",
        "[]",
        '{"r": 0}',
        '{"r": 4, "lora_alpha": "x"}',
        '{"r": 4, "lora_alpha": 4, "alpha_pattern": 3}',
    ):
        (tmp_path / "adapter_config.json").write_text(damaged)
        with pytest.raises(UserError, match="its configuration is damaged"), attach_loras(model, [str(file)]):
            pass


def test_at_most_five_layers_are_named(model: Flux1, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = {name: x for i in range(3, 19) for name, x in pair(PEFT.format(i)).items()}
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        attach(model, tmp_path / "a.safetensors", pair(PEFT.format(0)) | tensors)
    assert "1 of 17 layers applied" in caplog.text
    assert "and 11 more" in caplog.text


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({f"{KOHYA.format(0)}.oft_blocks": torch.ones(2, 2)}, "is an OFT"),
        ({f"{KOHYA.format(0)}.lora_mid.weight": torch.ones(2, 2, 3, 3)}, "with a middle factor"),
        ({f"{KOHYA.format(0)}.a1.weight": torch.ones(2, 2)}, "is a GLoRA"),
        ({f"{KOHYA.format(0)}.on_input": torch.ones(())}, "is an IA3"),
        ({f"{KOHYA.format(0)}.lokr_t2": torch.ones(2, 2, 3, 3)}, "with a middle factor"),
        (pair("img_in") | {"double_blocks.0.img_attn.norm.query_norm.scale": torch.ones(2)}, "is a control LoRA"),
        (
            pair(KOHYA.format(0), "du") | {"single_blocks.0.norm.key_norm.scale": torch.ones(2)},
            "is a control LoRA (it has single_blocks.0.norm.key_norm.scale of shape (2,))",
        ),
        ({f"{PEFT.format(0)}.lora_A.weight": torch.ones(2, 2, dtype=torch.int8)}, "is quantised as I8"),
        (pair(KOHYA.format(0), "du", width=3072), "has shape (4, 3072) instead of (4, 64) (one of 2)"),
        (pair(PEFT.format(0), width=3072), "tensor transformer.transformer_blocks.0.attn.to_k.lora_A.weight has shape"),
        (pair("img_in", width=128), "is a control LoRA (it has img_in.lora_A.weight of shape (4, 128))"),
        (
            pair("transformer.x_embedder", width=384),
            "is a control LoRA (it has transformer.x_embedder.lora_A.weight of",
        ),
        (pair("img_in", width=96), "has shape (4, 96) instead of (4, 64)"),
        (pair(PEFT.format(0), rank=5), "has shape (64, 5) instead of (64, 4)"),
        (dict([*pair(KOHYA.format(0), "du").items()][:1]), "is not a whole LoRA, LoHa or LoKr"),
        (pair(KOHYA.format(0), "du") | {f"{KOHYA.format(1)}.alpha": torch.ones(())}, "all that it has of"),
        (pair(PEFT.format(0)) | {f"{PEFT.format(0)}.lokr_w1": torch.ones(2, 2)}, "is not a whole LoRA"),
        ({f"{KOHYA.format(0)}.hada_w1_a": torch.ones(2, 2)}, "is not a whole LoRA"),
        ({f"{KOHYA.format(0)}.diff": torch.ones(2, 2)}, "has shape (2, 2) instead of (64, 64)"),
        ({f"foo_{i}": torch.ones(2) for i in range(2000)}, "tensor foo_0 of shape (2,) belongs to no layer"),
        ({n: x for i in range(99) for n, x in pair(f"lora_unet_x{i}", "du").items()}, "of shape (4, 64) belongs to no"),
        (pair(KOHYA.format(0), "du") | pair("lora_unet_joint_blocks_0_x_block_mlp_fc1", "du"), "is for several"),
        (pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", "du", width=32), "(32, 4) instead of (64, 4)"),
        (pair("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", "du", width=32), "nothing for the transformer"),
        (pair(KOHYA.format(0), "du") | {f"{KOHYA.format(0)}.gate": torch.ones(2)}, "what this one does is not"),
        (pair(PEFT.format(7)), "holds nothing for this model"),
        (
            pair(PEFT.format(0)) | {f"{PEFT.format(0)}.alpha": torch.full((1,), torch.nan)},
            "0.attn.to_k.alpha is finite",
        ),
        (pair(PEFT.format(0)) | {f"{PEFT.format(0)}.alpha": torch.ones(3)}, "has shape (3,) instead of ()"),
        ({name: x * torch.inf for name, x in pair(PEFT.format(0)).items()}, "not every value of"),
    ],
)
def test_a_lora_that_cannot_be_applied_is_refused(
    tensors: dict[str, Tensor], words: str, model: Flux1, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError) as raised:
        attach(model, tmp_path / "a.safetensors", tensors)
    text = str(raised.value)
    assert words in text
    assert len(text) < 600
    assert len(re.findall(r"lora_(?:down|up)\.weight", text)) <= 5
    assert not capfd.readouterr().err  # no library says it beside
    assert attach(model, tmp_path / "b.safetensors", pair(PEFT.format(0)))  # the model is as it was


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "a"])
def test_no_pickle_is_read(name: str, model: Flux1, tmp_path: Path) -> None:
    torch.save(pair(PEFT.format(0)), tmp_path / name)
    with pytest.raises(UserError, match=r"is not a \.safetensors file"), attach_loras(model, [str(tmp_path / name)]):
        pass
    (tmp_path / name).rename(tmp_path / "b.safetensors")
    with pytest.raises(UserError, match="cannot be read"), attach_loras(model, [str(tmp_path / "b.safetensors")]):
        pass
