"""Model roots: ComfyUI's and InvokeAI's folders, `extra_model_paths.yaml`, links, shards, what is not to be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dragflow.backbones.catalogue import models_in
from dragflow.backbones.model_root import read_roots
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from model_files import autoencoder_original, flux1_original, with_text_model

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def files(dummy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small FLUX.1 in files, by the folder of ComfyUI that each belongs in."""
    place = tmp_path_factory.mktemp("files")
    tensors = {
        "diffusion_models": flux1_original(load_file(dummy_folder / "transformer" / WEIGHTS)),
        "clip": with_text_model(load_file(dummy_folder / "text_encoder" / "model.safetensors")),
        "text_encoders": load_file(dummy_folder / "text_encoder_2" / "model.safetensors"),
        "vae": autoencoder_original(load_file(dummy_folder / "vae" / WEIGHTS)),
        "loras": {"transformer.x.lora_A.weight": torch.ones(4, 64)},
    }
    for kind, each in tensors.items():
        save_file(each, place / f"{kind}.safetensors")
    return {kind: place / f"{kind}.safetensors" for kind in tensors}


def put(file: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(file, place))


def names(*roots: Path) -> list[str]:
    return [held.name for held in read_roots(map(str, roots)).files]


def comfyui(files: dict[str, Path], root: Path) -> Path:
    for kind, file in files.items():
        put(file, root / "models" / kind / f"{kind}.safetensors")
    put(files["vae"], root / "custom_nodes" / "pack" / "a.safetensors")
    return root


@pytest.mark.parametrize("below", [".", "models"])
def test_comfyuis_folder_is_its_models_alone(below: str, files: dict[str, Path], tmp_path: Path) -> None:
    root = comfyui(files, tmp_path / "ComfyUI") / below
    held = read_roots([str(root)])
    assert {each.name for each in held.files} == {f"{kind}/{kind}.safetensors" for kind in files}
    assert [path.name for path, _ in held.having("vae-16")] == ["vae.safetensors"]
    (lora,) = (each for each in held.files if each.found is None)
    assert "is a LoRA" in lora.refused


def test_invokeais_folder_has_files_and_folders_of_pipelines(
    files: dict[str, Path], dummy_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "invokeai"
    put(files["diffusion_models"], root / "models" / "flux" / "main" / "dev.safetensors")
    put(files["vae"], root / "models" / "3f6d" / "ae.safetensors")
    put(files["vae"], root / "models" / ".download_cache" / "x" / "ae.safetensors")
    pipeline = root / "models" / "flux" / "main" / "FLUX.1-schnell"
    shutil.copytree(dummy_folder, pipeline)
    held = read_roots([str(root)])
    assert {each.name for each in held.files} == {"flux/main/dev.safetensors", "3f6d/ae.safetensors"}
    assert held.pipelines == (pipeline,)


YAML = """
# paths of several programs
comfyui:
    base_path: {base}
    is_default: {default}
    checkpoints: models/checkpoints/
    clip: |
        old/clip
        models/text_encoders

    upscale_models: models/upscale_models
    custom_nodes: nodes
a111:
    base_path: ~/a1111
    vae: VAE
none:
nothing:
    vae: {base}/nowhere
"""


def test_extra_paths_are_of_kinds_relative_to_their_base(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DISK", "disk")
    root = comfyui(files, tmp_path / "ComfyUI")
    put(files["clip"], root / "disk" / "old" / "clip" / "sub" / "l.safetensors")
    put(files["text_encoders"], root / "disk" / "models" / "text_encoders" / "t5.safetensors")
    put(files["vae"], root / "disk" / "nodes" / "vae.safetensors")
    put(files["vae"], tmp_path / "home" / "a1111" / "VAE" / "own.safetensors")
    extra = root / "extra_model_paths.yaml"
    extra.write_text(YAML.format(base="$DISK", default="false"))
    added = ["text_encoders/sub/l.safetensors", "text_encoders/t5.safetensors", "vae/own.safetensors"]
    assert names(extra) == added
    own = sorted(f"{kind}/{kind}.safetensors" for kind in files)
    assert names(root) == [*own, *added]


@pytest.mark.parametrize("default", ["true", "false"])
def test_of_two_files_of_one_name_the_first_counts(default: str, files: dict[str, Path], tmp_path: Path) -> None:
    """As in ComfyUI, where a default section is looked through before its own folders."""
    root = comfyui(files, tmp_path / "ComfyUI")
    other = put(files["vae"], tmp_path / "disk" / "models" / "text_encoders" / "text_encoders.safetensors")
    (root / "extra_model_paths.yaml").write_text(YAML.format(base=tmp_path / "disk", default=default))
    (held,) = (each for each in read_roots([str(root)]).files if each.name == "text_encoders/text_encoders.safetensors")
    assert (held.path == other) == (default == "true")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[1, 2]", "it holds no sections"),
        ("a: [", "cannot be read"),
        ("a: 3", "a is not a section of keys"),
        ("a: {vae: [x]}", r"vae is \['x'\], not a path"),
        ("a: {base_path: 3, vae: x}", "base_path is 3, not a path"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("a: {vae: nowhere}", "names no folder of models that exists"),
    ],
)
def test_a_damaged_file_of_paths_is_one_sentence(text: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "extra_model_paths.yaml").write_text(text)
    for root in (tmp_path, tmp_path / "extra_model_paths.yaml"):
        with pytest.raises(UserError, match=rule):
            read_roots([str(root)])


def test_links_lead_to_a_file_once_and_circles_end(files: dict[str, Path], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    file = put(files["vae"], disk / "ae.safetensors")
    root = tmp_path / "models"
    (root / "vae").mkdir(parents=True)
    (root / "vae" / "linked.safetensors").symlink_to(file)
    (root / "vae" / "shelf").symlink_to(disk)
    (disk / "back").symlink_to(root)
    assert len(read_roots([str(root), str(disk)]).having("vae-16")) == 1


def test_what_is_no_root_and_what_is_a_shard_is_said(files: dict[str, Path], tmp_path: Path) -> None:
    for name in (tmp_path / "nowhere", files["vae"]):
        with pytest.raises(
            UserError, match=r"`model_root` .* is neither a folder nor ComfyUI's extra_model_paths\.yaml"
        ):
            read_roots([str(name)])
    put(files["text_encoders"], tmp_path / "model-00001-of-00002.safetensors")
    (held,) = read_roots([str(tmp_path)]).files
    assert held.refused.startswith("one of several files of a network")
    assert read_roots([str(tmp_path)]).having("t5-xxl") == []


def test_the_environment_names_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGFLOW_MODEL_ROOT", "/a:/b")
    assert ModelOptions().roots == ("/a", "/b")
    assert ModelOptions.of(model_root=Path("/c")).roots == ("/c",)
    monkeypatch.delenv("DRAGFLOW_MODEL_ROOT")
    assert ModelOptions().roots == ()


def test_what_is_usable_is_told_with_what_has_its_parts(
    files: dict[str, Path], dummy_folder: Path, tmp_path: Path
) -> None:
    root = comfyui(files, tmp_path / "ComfyUI")
    (root / "models" / "clip" / "clip.safetensors").unlink()
    put(files["vae"], root / "models" / "vae" / "same.safetensors")
    folder = Path(shutil.copytree(dummy_folder, root / "models" / "diffusers" / "flux"))
    folders, (model,) = models_in([str(root)])
    assert [(one.name, one.pipeline, one.lacking) for one in folders] == [(str(folder), "FluxPipeline", None)]
    assert model.found.path.name == "diffusion_models.safetensors"
    assert {part: len(paths) for part, paths in model.parts.items()} == {
        "text_encoder": 0,
        "text_encoder_2": 1,
        "vae": 2,
    }
    assert (model.rest, model.preset) == (str(folder), "default")
