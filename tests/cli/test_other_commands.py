"""`dragflow preview`, `task`, `presets`, `doctor`, `--help`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.files.presets import load_preset, preset_names


def pixels_of(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_plain_preview_shows_the_region_at_its_target_and_nothing_outside(run: Any, desk: Any) -> None:
    done = run("preview", desk.image, "--mask", desk.mask, "--to", "61.5,31.5", "--plain", "-o", desk.out)
    assert done.code == 0, done.err
    source, shown = pixels_of(desk.image), pixels_of(desk.out)
    assert np.array_equal(shown[22:42, 52:72], source[22:42, 22:42])  # moved by (30, 0), the blurred rim left out
    assert np.array_equal(shown[46:], source[46:])
    assert not np.array_equal(shown[20:44, 20:44], source[20:44, 20:44])


def test_the_drawn_preview_marks_source_and_target(run: Any, desk: Any) -> None:
    Image.new("RGB", (100, 75), "gray").save(desk.image)
    done = run("preview", desk.image, "--mask", desk.mask, "--about", "32,60", "--degrees", "40", "-o", desk.out)
    assert done.code == 0, done.err
    shown = pixels_of(desk.out).reshape(-1, 3).astype(int)
    for color in ((66, 135, 245), (52, 199, 89), (255, 204, 0), (255, 59, 48)):
        assert (np.abs(shown - color).sum(1) < 100).sum() > 10, color


def test_a_preview_needs_no_model_library() -> None:
    code = (
        "import sys; from dragflow.cli import app, edit, task\n"
        "import dragflow.pixels.preview\n"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_task_goes_through_new_check_show_and_convert(run: Any, desk: Any) -> None:
    made, folder, back = desk.folder / "t.json", desk.folder / "bench", desk.folder / "back.json"
    new = run(
        "task", "new", desk.image, "--mask", desk.mask, "--about", "32,60", "--to", "50,40",
        "--prompt", "a cat", "--edit-prompt", "turned", "-o", made,
    )  # fmt: skip
    assert new.code == 0, new.err
    desk.mask.unlink()  # masks are embedded
    check = run("task", "check", made, desk.image)
    assert (check.code, check.out.strip()) == (0, f"{made}: good")
    show = run("task", "show", made, desk.image)
    assert show.code == 0
    assert "576 px" in show.out
    assert "source prompt: a cat" in show.out
    assert run("task", "convert", made, folder, "--image", desk.image).code == 0
    assert run("task", "check", folder).code == 0
    assert run("task", "convert", folder, back).code == 0
    there, here = (json.loads(path.read_text()) for path in (made, back))
    assert here["operations"][0]["motion"] == there["operations"][0]["motion"]
    assert here["operations"][0]["region"] == there["operations"][0]["region"]
    assert (here["prompt"], here["edit_prompt"]) == ("a cat", "turned")


@pytest.mark.parametrize("sample", ["cat", "train"])
def test_the_benchmarks_samples_are_good(sample: str, run: Any, samples_dir: Path) -> None:
    assert run("task", "check", samples_dir / "red_bench" / sample).code == 0


def test_the_schema_is_the_one_in_the_documentation(run: Any) -> None:
    documented = Path(__file__).parents[2] / "docs" / "instruction.schema.json"
    assert run("task", "schema").out == documented.read_text()


def test_presets_are_listed_and_shown(run: Any) -> None:
    listed = run("presets")
    assert listed.code == 0
    assert {"paper", "default", "fast", "paste"} <= set(preset_names())
    for name in preset_names():
        assert name in listed.out
        assert load_preset(name).hash in listed.out
    shown = json.loads(run("presets", "paper").out)
    assert shown["optimise"]["moving"] == 50


def test_the_doctor_reports_and_tests_a_model(run: Any, dummy_folder: Path) -> None:
    done = run("doctor", dummy_folder, "--device", "cpu")
    assert done.code == 0, done.err
    assert "torch" in done.out
    said = " ".join(done.out.split())
    assert f"{dummy_folder.name}: 0.00" in said  # billions of parameters
    assert "gradients reach the latent" in said


def test_the_doctor_alone_estimates_for_flux1_dev(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.delenv("DRAGFLOW_MODEL", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    done = run("doctor")
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "FLUX.1-dev: 11.9 billion parameters in the transformer, 4.97 billion" in said
    assert "--offload" not in said
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    for card in (24, 12, 8):
        told = " ".join(run("-v" if card == 8 else "--verbose", "doctor", "--memory", card).out.split())
        plan = re.search(rf"--memory {card} loads it, for 1024 x 1024 pixels, in (.*? GiB)", told)
        assert plan is not None
        assert f"| {card} GiB | {plan[1]} |" in page
        assert "estimated memory (with --offload)" in told


def test_the_doctor_says_what_is_wrong_with_a_model(run: Any, tmp_path: Path) -> None:
    done = run("doctor", tmp_path)
    assert done.code == 1
    assert "model_index.json" in done.err


def test_the_doctor_says_how_a_torch_that_does_not_fit_is_mended(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragflow.backbones.torch_build import Accelerator, TorchBuild

    card = (Accelerator("CUDA", "NVIDIA RTX 4090", (12, 8)),)
    monkeypatch.setattr("dragflow.backbones.torch_build.accelerators", lambda: card)
    monkeypatch.setattr("dragflow.backbones.torch_build.torch_build", lambda: TorchBuild("2.13.0+cpu", "CPU"))
    done = run("doctor")
    assert done.code == 1
    assert "torch 2.13.0+cpu is built for the CPU; NVIDIA RTX 4090 is here" in done.out
    assert "force-reinstall torch --index-url https://download.pytorch.org/whl/cu128" in done.out


@pytest.mark.parametrize(
    "command", [(), ("edit",), ("preview",), ("task",), ("task", "new"), ("presets",), ("doctor",)]
)
def test_every_command_explains_itself(command: tuple[str, ...], run: Any) -> None:
    done = run(*command, "--help")
    assert done.code == 0
    assert "Usage" in done.out
