"""Weights that real users bring: each is applied, named in one line as left out, or refused in a sentence."""

from __future__ import annotations

import logging
import runpy
import shutil
from pathlib import Path
from typing import Any

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


def test_a_pickle_is_no_lora(cases_dir: Path, dummy_folder: Path) -> None:
    assert "is not a .safetensors file" in refusal(dummy_folder, lora=(str(cases_dir / "lora" / "lora.bin"),))


OUT, FEED = "transformer_blocks.0.attn.to_out.0", "transformer_blocks.0.ff.net.0.proj"


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("plain", {OUT, FEED}),
        ("dora", {OUT, FEED}),
        ("lokr", {OUT}),
        ("comfy-AB", {OUT}),
        (
            "final",
            {OUT, FEED, "x_embedder", "norm_out.linear", "proj_out", "time_text_embed.timestep_embedder.linear_1"},
        ),
        (
            "text",
            {OUT, FEED, "encoder.layers.0.mlp.fc1", "encoder.layers.0.self_attn.q_proj"}
            | {"encoder.block.0.layer.0.SelfAttention.q"},
        ),
    ],
)
def test_all_layers_of_a_lora_are_applied(
    name: str, layers: set[str], cases_dir: Path, dummy_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = cases_dir / "lora" / f"{name}.safetensors"
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        model = load(dummy_folder, lora=(str(file),))
    assert not [record for record in caplog.records if record.name.startswith("dragflow")]
    assert _layers_on(model) == layers


def _layers_on(model: Flux1) -> set[str]:
    pipeline: Any = model.pipeline
    networks = (pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2)
    modules = [pair for network in networks for pair in network.named_modules()]
    return {name for name, module in modules if "lora0" in getattr(module, "lora_A", ())}


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
