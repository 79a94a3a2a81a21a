"""`dragflow edit`, end to end on the small model: bytes, recipes, events, traces."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.files.instructions import load_instruction
from dragflow.files.pictures import load_image
from dragflow.files.recipes import load_recipe
from dragflow.pixels.resolve import resolve

QUICK = ("--set", "inversion.steps=4", "--set", "inversion.skip=1", "--set", "optimise.refining=2")
MOVE = ("--to", "60,40")


def pixels_of(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("sample", ["cat", "train"])
def test_a_benchmark_sample_end_to_end(
    sample: str, run: Any, tmp_path: Path, samples_dir: Path, dummy_folder: Path
) -> None:
    folder = samples_dir / "red_bench" / sample
    outputs = [tmp_path / "first.png", tmp_path / "second.png"]
    for output in outputs:
        done = run(
            "edit", folder / "original_image.png", "--task", folder, "--model", dummy_folder, "-o", output,
            "--set", "optimise.refining=2", "--set", "size.max_pixels=65536",
        )  # fmt: skip
        assert done.code == 0, done.err
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    source = load_image(folder / "original_image.png")
    area = resolve(source.pixels, load_instruction(folder)).area
    result = pixels_of(outputs[0])
    assert np.array_equal(result[~area], source.pixels[~area])
    assert (result != source.pixels)[area].any()


def test_a_result_repeats_to_the_same_bytes(run: Any, desk: Any, dummy_folder: Path) -> None:
    again = desk.folder / "again.png"
    first = run(
        "edit", desk.image, "--mask", desk.mask, *MOVE, "--prompt", "a cat", "--edit-prompt", "moved", "--seed", "7",
        "--model", dummy_folder, *QUICK, "--set", "start.repair=0.5", "-o", desk.out,
    )  # fmt: skip
    assert first.code == 0, first.err
    desk.mask.unlink()  # the recipe holds it
    second = run("edit", desk.image, "--from", desk.out, "--trust", "-o", again)
    assert second.code == 0, second.err
    assert again.read_bytes() == desk.out.read_bytes()
    recipe = load_recipe(desk.out)
    assert recipe.config.seed == 7
    assert recipe.weights.options.model == str(dummy_folder)
    assert {"dragflow", "torch", "diffusers"} <= set(recipe.versions)


def test_a_result_is_repeated_only_on_its_own_picture_and_as_it_was(run: Any, desk: Any, dummy_folder: Path) -> None:
    made = run("edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, *QUICK, "-o", desk.out)
    assert made.code == 0, made.err
    before = desk.files()
    other = run("edit", desk.out, "--from", desk.out, "-o", desk.folder / "b.png")
    assert other.code == 2
    assert "pixels differ" in other.err
    changed = run("edit", desk.image, "--from", desk.out, "--seed", "3", "-o", desk.folder / "b.png")
    assert changed.code == 2
    assert "--seed" in changed.err
    none = run("edit", desk.image, "--from", desk.image, "-o", desk.folder / "b.png")
    assert none.code == 2
    assert "no recipe" in none.err
    assert desk.files() == before


def test_a_result_is_not_repeated_with_other_weights(run: Any, desk: Any, dummy_folder: Path, tmp_path: Path) -> None:
    from dragflow.backbones.dummy import write_dummy

    made = run("edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, *QUICK, "-o", desk.out)
    assert made.code == 0, made.err
    other = write_dummy(tmp_path / "other", seed=1)
    again = run("edit", desk.image, "--from", desk.out, "--model", other, "-o", desk.folder / "b.png")
    assert again.code == 2
    assert load_recipe(desk.out).weights.fingerprint in again.err
    assert not (desk.folder / "b.png").exists()


def test_events_are_json_lines(run: Any, desk: Any, dummy_folder: Path) -> None:
    done = run(
        "edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, *QUICK, "--json", "-o", desk.out
    )
    assert done.code == 0, done.err
    events = done.events
    phases = [event["phase"] for event in events if event["event"] == "started"]
    assert phases == ["encode", "invert", "start", "drag", "denoise", "decode"]
    steps = [event for event in events if event["event"] == "stepped" and event["phase"] == "drag"]
    assert [step["index"] for step in steps] == [1, 2]
    assert events[-1]["event"] == "written"
    assert events[-1]["output"] == str(desk.out)
    assert events[-1]["losses"] == pytest.approx([step["loss"] for step in steps])


def test_a_trace_and_a_sidecar_can_be_opened(run: Any, desk: Any, dummy_folder: Path) -> None:
    trace, sidecar = desk.folder / "trace", desk.folder / "out.json"
    done = run(
        "edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, *QUICK, "-o", desk.out,
        "--trace", trace, "--sidecar", sidecar,
    )  # fmt: skip
    assert done.code == 0, done.err
    with (trace / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["1", "2"]
    assert [row["progress"] for row in rows] == ["1.0", "1.0"]
    assert Image.open(trace / "losses.png").size[0] > 100
    for name in ("moving_mask.webp", "edit.webp"):
        animation = Image.open(trace / name)
        assert animation.size == (100, 75)
        assert getattr(animation, "n_frames", 1) > 2
    data = json.loads(sidecar.read_text())
    assert data["config_hash"] == load_recipe(desk.out).config_hash
    assert data["instruction"]["operations"][0]["motion"]["to"] == [60, 40]
    assert {timing["phase"] for timing in data["timings"]} >= {"start", "drag", "denoise", "decode"}


def test_looking_inside_does_not_change_the_result(run: Any, desk: Any, dummy_folder: Path) -> None:
    traced = desk.folder / "traced.png"
    base = ("edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, *QUICK)
    assert run(*base, "-o", desk.out).code == 0
    assert run(*base, "-o", traced, "--trace", desk.folder / "trace").code == 0
    assert traced.read_bytes() == desk.out.read_bytes()


OPERATIONS = [
    ("--mask=MASK", "--to", "60,40", "--label", "deformation"),
    ("--mask=MASK", "--about", "30,30", "--degrees", "20", "--label=deformation"),
    ("--box", "20,20,43,43", "--about", "32,50", "--to", "50,40"),
    ("--polygon", "20,20;44,20;32,44", "--about", "32,32", "--degrees", "30"),
    ("--box", "20,20,43,43", "--about", "32,32", "--scale", "1.5"),
    ("--box", "20,20,43,43", "--about", "32,44", "--scale", "0.5,1.25"),
    ("--box", "20,20,43,43", "--matrix", "0.8,-0.2,20,0.2,0.8,5"),
    ("--box", "20,20,43,43", "--about", "32,32", "--to", "50,40", "--degrees", "20", "--scale", "0.8"),
    ("--box", "20,20,43,43", "--handle", "20,20", "--to", "40,30"),
    ("--mask", "TWO", "--at", "30,30", "--to", "50,30", "--mask", "TWO", "--at", "80,60", "--to", "80,40"),
]


@pytest.mark.parametrize("options", OPERATIONS, ids=lambda options: " ".join(options))
def test_every_way_to_say_an_operation(options: tuple[str, ...], run: Any, desk: Any, dummy_folder: Path) -> None:
    filled = [part.replace("MASK", str(desk.mask)).replace("TWO", str(desk.two)) for part in options]
    done = run("edit", desk.image, *filled, "--model", dummy_folder, "--preset", "paste", *QUICK[:4], "-o", desk.out)
    assert done.code == 0, done.err
    asked = load_recipe(desk.out).instruction.operations
    assert len(asked) == 1 + (options[0] == "--mask")
    assert pixels_of(desk.out).shape == (75, 100, 3)
    preview = run("preview", desk.image, *filled, "-o", desk.folder / "preview.png")
    assert preview.code == 0, preview.err


def test_a_combined_motion_carries_the_anchor_turns_and_scales(run: Any, desk: Any, dummy_folder: Path) -> None:
    done = run(
        "task", "new", desk.image, "-o", desk.folder / "t.json", "--mask", desk.mask,
        "--about", "30,30", "--to", "50,40", "--degrees", "90", "--scale", "0.5",
    )  # fmt: skip
    assert done.code == 0, done.err
    (row, other) = json.loads((desk.folder / "t.json").read_text())["operations"][0]["motion"]["matrix"]
    assert row == pytest.approx([0, -0.5, 65])
    assert other == pytest.approx([0.5, 0, 25])


def test_alpha_orientation_and_profile_are_kept_in_the_file(run: Any, desk: Any, dummy_folder: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    raw = np.random.default_rng(1).integers(0, 256, (75, 100, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    source = desk.folder / "turned.png"
    Image.fromarray(raw).save(source, exif=exif, icc_profile=profile)
    done = run(
        "edit", source, "--box", "20,20,43,43", "--to", "40,60", "--model", dummy_folder, "--preset", "paste",
        *QUICK[:4], "-o", desk.out,
    )  # fmt: skip
    assert done.code == 0, done.err
    result = Image.open(desk.out)
    assert result.size == (100, 75)
    assert result.mode == "RGBA"
    assert result.getexif()[0x0112] == 6
    assert result.info["icc_profile"] == profile
    assert np.array_equal(np.asarray(result)[..., 3], raw[..., 3])
    upright = load_image(source)
    asked = resolve(upright.pixels, load_instruction_of(desk.out))
    assert np.array_equal(load_image(desk.out).pixels[~asked.area], upright.pixels[~asked.area])


def load_instruction_of(result: Path) -> Any:
    return load_recipe(result).instruction


def test_without_an_output_the_result_is_named_after_the_picture(
    run: Any, desk: Any, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    command = ("edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, "--preset", "paste", *QUICK[:4])
    assert run(*command).code == 0
    assert (desk.folder / "picture-edit.png").exists()
    again = run(*command)
    assert again.code == 2
    assert "picture-edit.png exists already" in again.err


@pytest.mark.parametrize("option", ["--sidecar", "--trace"])
def test_a_result_without_its_sidecar_or_trace_is_not_written(
    option: str, run: Any, desk: Any, dummy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of one output vanishes while the model works: exit code 0 would say that everything is there."""
    from dragflow.cli import edit

    place, work = desk.folder / "place", edit._run
    place.mkdir()
    before = desk.files() - {"place"}

    def vanishing(*args: Any) -> Any:
        result = work(*args)
        place.rmdir()
        return result

    monkeypatch.setattr(edit, "_run", vanishing)
    base = ("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", dummy_folder, *QUICK)
    done = run(*base, "-o", desk.out, option, place / "inner")
    assert (done.code, desk.files()) == (2, before)
    assert "cannot be written" in done.err


def test_what_exists_is_replaced_only_by_force(run: Any, desk: Any, dummy_folder: Path) -> None:
    base = ("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", dummy_folder, *QUICK)
    outputs = {"-o": desk.out, "--sidecar": desk.folder / "a.json", "--trace": desk.folder / "trace"}
    given = [word for pair in outputs.items() for word in pair]
    desk.out.write_bytes(b"mine")
    assert run(*base, *given).code == 2
    assert desk.out.read_bytes() == b"mine"
    done = run(*base, *given, "--force")
    assert done.code == 0, done.err
    before = desk.files()
    for option, path in outputs.items():
        fresh = [
            word
            for pair in (outputs | {"-o": desk.folder / "b.png"}).items()
            for word in pair
            if pair[0] in ("-o", option)
        ]
        done = run(*base, *(given if option == "-o" else fresh))
        assert done.code == 2, path
        assert "exists already" in done.err
        assert "--force" in done.err
    assert run(*base, *given, "--force").code == 0
    assert desk.files() == before
