"""`dragflow model inspect`: what a file is, for people and for programs, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from model_files import COMFY, flux1_original, prefixed


@pytest.fixture
def file(dummy_folder: Path, tmp_path: Path) -> Path:
    tensors = load_file(dummy_folder / "transformer" / "diffusion_pytorch_model.safetensors")
    path = tmp_path / "flux.safetensors"
    save_file(prefixed(COMFY, flux1_original(tensors)), path, metadata={"format": "pt"})
    return path


def test_a_file_is_described(run: Any, file: Path) -> None:
    told = run("model", "inspect", file)
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert lines[0] == f"{file}:"
    assert (
        "transformer: FLUX.1 (dev, or a fine-tune of it, or Kontext, which has the same tensors), float32" in told.out
    )
    assert "layout original, names begin with model.diffusion_model." in told.out
    assert "text_encoder_2: T5, from t5xxl_fp16.safetensors" in told.out


def test_a_program_gets_the_same(run: Any, file: Path) -> None:
    told = json.loads(run("model", "inspect", file, "--json").out)
    assert told["pipelines"] == ["FluxPipeline", "FluxKontextPipeline"]
    assert [part["network"] for part in told["parts"]] == ["flux1"]
    assert [part["part"] for part in told["missing"]] == ["text_encoder", "text_encoder_2", "vae"]


def test_a_part_alone_says_so(run: Any, dummy_folder: Path) -> None:
    told = run("model", "inspect", dummy_folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert told.code == 0
    assert "autoencoder of FLUX.1 or SD3" in told.out
    assert "no transformer" in told.out


def test_what_is_not_read_is_one_sentence(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    for name in ("a.safetensors", "none.safetensors", "a.ckpt"):
        told = run("model", "inspect", tmp_path / name)
        assert told.code == 2
        assert name in told.err
        assert told.out == ""


def test_no_library_of_models_is_loaded(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dragflow.backbones.checkpoints.recognise import recognise; "
        f"recognise(Path({str(file)!r})); print(*({{'torch', 'diffusers', 'transformers'}} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_models_are_listed_without_a_network(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network is asked"))
    lines = run("model", "list").out.splitlines()
    assert lines[:2] == ["used where none is named: nano", "nano"]
    assert lines[2].startswith("  Apache-2.0, commercial use allowed; preset bridge; ")
    dev = lines[lines.index("black-forest-labs/FLUX.1-dev") + 1]
    assert dev.endswith("gated (for accounts that accepted it); preset default; not on this disk")
    listed = json.loads(run("model", "list", "--json").out)["models"]
    assert {"nano", "black-forest-labs/FLUX.1-schnell", "Qwen/Qwen-Image"} <= {one["name"] for one in listed}


def test_every_file_of_a_folder_is_told_in_a_line(run: Any, file: Path, dummy_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "broken.safetensors").write_bytes(b"")
    vae = dummy_folder / "vae" / "diffusion_pytorch_model.safetensors"
    (tmp_path / "vae" / "ae.safetensors").write_bytes(vae.read_bytes())
    told = run("model", "inspect", tmp_path)
    assert told.code == 0, told.err
    first, second, third = told.out.splitlines()
    assert first.startswith("flux.safetensors: FLUX.1 (dev")
    assert "autoencoder of FLUX.1 or SD3" in second
    assert "broken.safetensors: refused, file" in third
    lines = [json.loads(line) for line in run("model", "inspect", tmp_path, "--json").out.splitlines()]
    assert [sorted(line)[:2] for line in lines] == [["file", "left"], ["file", "left"], ["file", "refused"]]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("model", "inspect", empty).code == 2


def test_a_model_root_is_listed_with_what_its_models_need(
    run: Any, file: Path, dummy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ComfyUI"
    for kind in ("diffusion_models", "vae"):
        (root / "models" / kind).mkdir(parents=True)
    model = Path(file.rename(root / "models" / "diffusion_models" / "flux.safetensors"))
    vae = root / "models" / "vae" / "ae.safetensors"
    vae.write_bytes((dummy_folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes())
    told = run("model", "list", "--model-root", root)
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    lines = lines[lines.index(str(model)) :]
    assert lines[1].startswith("  FLUX.1 (dev, or a fine-tune of it, or Kontext")
    assert lines[1].endswith(", float32; preset default")
    assert (
        lines[2] == "  text_encoder: missing (CLIP-L, from clip_l.safetensors, as in comfyanonymous/flux_text_encoders)"
    )
    assert lines[4] == f"  vae: {vae}"
    assert lines[5] == "  tokenizers and scheduler: black-forest-labs/FLUX.1-dev, not on this disk"
    monkeypatch.setenv("DRAGFLOW_MODEL_ROOT", str(root))
    (one,) = json.loads(run("model", "list", "--json").out)["files"]
    assert one["file"] == str(model)
    assert one["found"] == {"text_encoder": [], "text_encoder_2": [], "vae": [str(vae)]}
    extra = tmp_path / "extra_model_paths.yaml"
    extra.write_text("comfyui:\n  base_path: ComfyUI/models\n  unet: diffusion_models\n  vae: vae\n")
    for place in (root, extra):
        inspected = run("model", "inspect", place).out.splitlines()
        assert [line.partition(": ")[0] for line in inspected] == [
            "diffusion_models/flux.safetensors",
            "vae/ae.safetensors",
        ]
    wrong = run("model", "list", "--model-root", tmp_path / "nowhere")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("error: --model-root ")
