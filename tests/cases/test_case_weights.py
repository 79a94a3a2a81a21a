"""Weights that real users bring: each is applied, named in one line as left out, or refused in a sentence."""

from __future__ import annotations

import logging
import runpy
import shutil
from pathlib import Path

import pytest

from dragflow.backbones.flux1.model import Flux1
from dragflow.core.errors import UserError
from small_flux import load


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(UserError) as raised:
        load(folder, **options)
    text = str(raised.value)
    assert len(text) < 600
    return text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dora.safetensors", "is a DoRA"),
        ("lokr.safetensors", "is a LoKr"),
        ("comfy-AB.safetensors", "the naming of its tensors is ComfyUI's"),
        ("lora.bin", "is not a .safetensors file"),
    ],
)
def test_a_lora_that_is_not_read_is_refused_by_name(name: str, words: str, cases_dir: Path, dummy_folder: Path) -> None:
    text = refusal(dummy_folder, lora=(str(cases_dir / "lora" / name),))
    assert words in text
    assert text.count("lora_unet_") <= 5


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("plain", None),
        (
            "final",
            "2 of 6 layers applied, left out: lora_unet_final_layer_adaLN_modulation_1, lora_unet_final_layer_linear, "
            "lora_unet_img_in, lora_unet_time_in_in_layer",
        ),
        (
            "text",
            "3 of 5 layers applied, left out: lora_te1_text_model_encoder_layers_0_self_attn_q_proj, "
            "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
        ),
    ],
)
def test_layers_that_a_lora_cannot_apply_are_named(
    name: str, line: str | None, cases_dir: Path, dummy_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = cases_dir / "lora" / f"{name}.safetensors"
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        model = load(dummy_folder, lora=(str(file),))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("dragflow")] == (
        [] if line is None else [f"LoRA {file}: {line}"]
    )
    assert _layers_on(model) == {"transformer_blocks.0.attn.to_out.0", "transformer_blocks.0.ff.net.0.proj"}


def _layers_on(model: Flux1) -> set[str]:
    return {name for name, module in model.transformer.named_modules() if "lora0" in getattr(module, "lora_A", ())}


@pytest.mark.parametrize(
    ("config", "words"), [("bnb-transformer", "bitsandbytes in 4 bits"), ("quanto-transformer", "quanto")]
)
def test_a_quantised_part_is_refused_by_name(
    config: str, words: str, cases_dir: Path, dummy_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(dummy_folder, tmp_path / "model"))
    shutil.copyfile(cases_dir / "model-quantised" / f"{config}-config.json", copy / "transformer" / "config.json")
    text = refusal(copy)
    assert f"its transformer is quantised with {words}" in text
    assert "gguf:FILE" in text


def test_scaled_fp8_is_refused_by_name(cases_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(cases_dir / "model-scaled-fp8" / "make.py"))
    assert "its text_encoder_2 is quantised as scaled fp8" in refusal(tmp_path / "m" / "t5scaled")
    assert "its transformer is quantised as scaled fp8" in refusal(tmp_path / "m" / "fp8scaled2")
