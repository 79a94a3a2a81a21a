"""Models in ComfyUI's folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragflow import ModelOptions, UserError
from dragflow.service import ModelPool


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ModelOptions]:
    """What is loaded, which is not loaded."""
    found: list[ModelOptions] = []

    class Nothing:
        def working(self) -> Any:
            import contextlib

            return contextlib.nullcontext()

    monkeypatch.setattr(ModelPool, "_load", lambda self, options: found.append(options) or Nothing())
    monkeypatch.setattr("dragflow.editor.editor.check_weights", lambda *given: None)
    return found


def put(folders: Path, *names: str) -> None:
    for name in names:
        (folders / "models" / name).parent.mkdir(parents=True, exist_ok=True)
        (folders / "models" / name).write_bytes(b"")


def test_what_lies_in_comfyuis_folders_is_offered(classes: dict[str, Any], folders: Path) -> None:
    put(folders, "diffusion_models/flux/dev.safetensors", "checkpoints/all.safetensors", "loras/style.safetensors")
    put(folders, "diffusers/FLUX.1-dev/model_index.json", "vae/ae.safetensors", "text_encoders/t5.safetensors")
    spec = classes["DragFlowLoadModel"].INPUT_TYPES()
    assert spec["required"]["model"][0] == [
        "default",
        "nano",
        "diffusion_models/flux/dev.safetensors",
        "checkpoints/all.safetensors",
        "diffusers/FLUX.1-dev",
        "as named below",
    ]
    assert spec["optional"]["vae"][0] == ["auto", "vae/ae.safetensors"]
    assert spec["optional"]["lora"][0] == ["none", "loras/style.safetensors"]


def test_a_file_gets_the_rest_from_comfyuis_folders(
    classes: dict[str, Any], folders: Path, asked: list[ModelOptions]
) -> None:
    put(
        folders,
        "diffusion_models/dev.safetensors",
        "vae/ae.safetensors",
        "vae/other.safetensors",
        "loras/a.safetensors",
    )
    put(folders, "text_encoders/t5.safetensors", "text_encoders/clip_l.safetensors")
    models, load = folders / "models", classes["DragFlowLoadModel"]().load
    file = "diffusion_models/dev.safetensors"
    load(
        file, vae="vae/ae.safetensors", lora="loras/a.safetensors", lora_strength=0.5, dtype="bfloat16", quantize="fp8"
    )
    (first,) = asked
    assert first.model == str(models / file)
    assert first.parts == (str(models / "vae/ae.safetensors"),)
    assert first.model_root == (str(models / "text_encoders"), str(models / "vae"))
    assert (first.lora, first.dtype, first.quantize) == ((f"{models / 'loras/a.safetensors'}:0.5",), "bfloat16", "fp8")
    assert first.device == "cpu"
    both = [f"text_encoders/{name}.safetensors" for name in ("t5", "clip_l")]
    load(file, text_encoder=both[0], text_encoder_2=both[1], vae="vae/other.safetensors")
    assert asked[1].parts == tuple(str(models / name) for name in (*both, "vae/other.safetensors"))
    assert asked[1].model_root == ()


def test_folders_and_names_need_no_parts(classes: dict[str, Any], folders: Path, asked: list[ModelOptions]) -> None:
    put(folders, "diffusers/FLUX.1-dev/model_index.json")
    load = classes["DragFlowLoadModel"]().load
    load("diffusers/FLUX.1-dev")
    load("as named below", name=" owner/name ", offload=True)
    assert [one.model for one in asked] == [str(folders / "models" / "diffusers" / "FLUX.1-dev"), "owner/name"]
    assert [(one.parts, one.offload) for one in asked] == [((), False), ((), True)]


def test_what_is_wrong_is_said_on_the_node(classes: dict[str, Any], folders: Path) -> None:
    load = classes["DragFlowLoadModel"]().load
    with pytest.raises(UserError, match="`name` is empty"):
        load("as named below")
    with pytest.raises(UserError, match="no longer among ComfyUI's models"):
        load("checkpoints/gone.safetensors")
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        load("as named below", name="/no/such/folder")
