"""Which files of a repository belong to a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragflow.backbones.hub_files import absent, variant_of, wanted

W, INDEX = "diffusion_pytorch_model", "safetensors.index"


@pytest.mark.parametrize(
    ("weights", "taken"),
    [
        ([f"{W}.safetensors"], [f"{W}.safetensors"]),
        ([f"{W}.safetensors", f"{W}.fp16.safetensors", f"{W}.non_ema.safetensors"], [f"{W}.safetensors"]),
        ([f"{W}.fp16.safetensors", f"{W}.non_ema.safetensors"], [f"{W}.fp16.safetensors"]),
        ([f"{W}.bf16.safetensors", f"{W}.bin", f"{W}.onnx"], [f"{W}.bf16.safetensors"]),
        (
            [f"{W}.{INDEX}.json", f"{W}-00001-of-00002.safetensors", f"{W}-00002-of-00002.safetensors"],
            [f"{W}-00001-of-00002.safetensors", f"{W}-00002-of-00002.safetensors", f"{W}.{INDEX}.json"],
        ),
        (
            [f"{W}.{INDEX}.fp16.json", f"{W}.fp16-00001-of-00001.safetensors", f"{W}-00001-of-00001.bin"],
            [f"{W}.fp16-00001-of-00001.safetensors", f"{W}.{INDEX}.fp16.json"],
        ),
        (["flux1-dev.safetensors", f"{W}.bin"], []),
        (["model.safetensors", f"model.{INDEX}.json", "model-00001-of-00001.safetensors"], ["model.safetensors"]),
    ],
)
def test_one_form_of_the_weights_is_taken(weights: list[str], taken: list[str]) -> None:
    assert wanted([f"vae/{name}" for name in weights], ["vae"]) == [f"vae/{name}" for name in taken]
    assert wanted(weights, [""]) == taken


def test_settings_are_of_the_parts_alone() -> None:
    names = ["README.md", "model_index.json", "vae/config.json", f"vae/{W}.bin.index.json", "vae/deeper/config.json"]
    names += ["tokenizer/merges.txt", "tokenizer/spiece.model", "tokenizer/code.py", "other/config.json"]
    assert wanted(names, ["vae", "tokenizer"]) == ["vae/config.json", "tokenizer/merges.txt", "tokenizer/spiece.model"]
    assert wanted([*names, f"vae/{W}.safetensors"], ["vae"], ["vae"]) == ["vae/config.json"]


def test_what_a_folder_lacks_has_a_name(tmp_path: Path) -> None:
    vae = tmp_path / "vae"
    assert absent(tmp_path, ["vae"]) == "vae/"
    vae.mkdir()
    (vae / "config.json").write_text("{}")
    assert absent(tmp_path, ["vae"]) == "vae/*.safetensors"
    assert absent(tmp_path, ["vae"], ["vae"]) is None
    shards = {"a": f"{W}-00001-of-00002.safetensors", "b": f"{W}-00002-of-00002.safetensors"}
    (vae / f"{W}.{INDEX}.json").write_text(json.dumps({"weight_map": shards}))
    (vae / shards["a"]).write_bytes(b"")
    assert absent(tmp_path, ["vae"]) == f"vae/{shards['b']}"
    (vae / shards["b"]).symlink_to(tmp_path / "gone")
    assert absent(tmp_path, ["vae"]) == f"vae/{shards['b']}"
    (tmp_path / "gone").write_bytes(b"")
    assert absent(tmp_path, ["vae"]) is None
    assert variant_of(vae) is None
