"""`--subject.adapter` of every command: end to end with random adapters of real layout, recipes, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragflow import Instruction, SubjectOptions, UserError
from dragflow.bench.runs import read_header
from dragflow.editor.editor import edit as edit_once
from dragflow.files.instructions import load_instruction
from dragflow.files.pictures import load_image
from dragflow.files.presets import load_preset, override
from dragflow.files.recipes import load_recipe
from dragflow.subject.dummy import write_clip, write_instantcharacter, write_ip_adapter

QUICK = ("--set", "inversion.steps=4", "--set", "inversion.skip=1", "--set", "optimise.refining=1")


def options(subject: SubjectOptions, weights: Path | str | None = None) -> list[str]:
    given = {name: value for name, value in vars(subject).items() if value != getattr(SubjectOptions, name)}
    given |= {} if weights is None else {"weights": weights}
    return [word for name, value in given.items() for word in (f"--subject.{name}", str(value))]


def edit(run: Any, desk: Any, model: Path, *more: Any) -> Any:
    return run("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", model, *QUICK, *more)


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_an_edit_with_a_subject_end_to_end(
    suffix: str, run: Any, desk: Any, dummy_folder: Path, instantcharacter: SubjectOptions
) -> None:
    weights = write_instantcharacter(desk.folder / f"adapter{suffix}")
    plain, again = desk.folder / "plain.png", desk.folder / "again.png"
    done = edit(run, desk, dummy_folder, *options(instantcharacter, weights), "-o", desk.out)
    assert done.code == 0, done.err
    assert edit(run, desk, dummy_folder, "-o", plain).code == 0
    recipe, without = load_recipe(desk.out), load_recipe(plain)
    assert recipe.subject is not None
    assert recipe.subject.options.weights == str(weights)
    assert len(recipe.subject.fingerprint) == 16
    assert without.subject is None
    repeated = run(*again_of(desk), "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == desk.out.read_bytes()


def again_of(desk: Any) -> tuple[object, ...]:
    """The command that repeats the edit of a desk."""
    return ("edit", desk.image, "--from", desk.out, "--trust")


def test_an_edit_with_an_ip_adapter_end_to_end(
    run: Any, desk: Any, dummy_folder: Path, ip_adapter: SubjectOptions
) -> None:
    plain, again = desk.folder / "plain.png", desk.folder / "again.png"
    done = edit(run, desk, dummy_folder, *options(ip_adapter), "-o", desk.out)
    assert done.code == 0, done.err
    assert edit(run, desk, dummy_folder, "-o", plain).code == 0
    assert not np.array_equal(load_image(desk.out).pixels, load_image(plain).pixels)
    recipe = load_recipe(desk.out)
    assert recipe.subject is not None
    assert recipe.subject.options == ip_adapter
    assert recipe.config.subject.scale is None
    moved = desk.folder / "moved"
    write_clip(moved)
    repeated = run(*again_of(desk), "--subject.clip", moved, "-o", again)
    assert repeated.code == 0, repeated.err
    assert np.array_equal(load_image(again).pixels, load_image(desk.out).pixels)
    write_clip(desk.folder / "another", side=42)
    seen = run(*again_of(desk), "--subject.clip", desk.folder / "another", "-o", desk.folder / "b.png")
    assert seen.code == 2
    assert "or the encoders, are not those asked for" in seen.err
    other = run(*again_of(desk), "--subject.dinov2", moved, "-o", desk.folder / "b.png")
    assert other.code == 2
    assert "--subject.dinov2 does not apply to ip-adapter" in other.err


def test_an_edit_with_an_ip_adapter_of_instantx(
    run: Any, desk: Any, dummy_folder: Path, instantx: SubjectOptions, ip_adapter: SubjectOptions
) -> None:
    other, again = desk.folder / "other.png", desk.folder / "again.png"
    done = edit(run, desk, dummy_folder, *options(instantx), "-o", desk.out)
    assert done.code == 0, done.err
    assert edit(run, desk, dummy_folder, *options(ip_adapter), "-o", other).code == 0
    assert not np.array_equal(load_image(desk.out).pixels, load_image(other).pixels)
    recipe = load_recipe(desk.out)
    assert recipe.subject is not None
    assert recipe.subject.options == instantx
    repeated = run(*again_of(desk), "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == desk.out.read_bytes()


@pytest.mark.slow
def test_an_edit_with_the_ip_adapter_of_stable_diffusion(
    run: Any, desk: Any, sd3_folder: Path, sd3_ip_adapter: SubjectOptions
) -> None:
    plain, again = desk.folder / "plain.png", desk.folder / "again.png"
    small = ("--preset", "paper", "--set", "size.max_pixels=6144", "--set", "size.window=whole")
    done = edit(run, desk, sd3_folder, *small, *options(sd3_ip_adapter), "-o", desk.out)
    assert done.code == 0, done.err
    assert edit(run, desk, sd3_folder, *small, "-o", plain).code == 0
    assert not np.array_equal(load_image(desk.out).pixels, load_image(plain).pixels)
    recipe = load_recipe(desk.out)
    assert recipe.config.denoise.guidance != 1  # so that the negative prompt has its own subject
    assert recipe.subject is not None
    assert recipe.subject.options == sd3_ip_adapter
    repeated = run(*again_of(desk), "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == desk.out.read_bytes()


def test_one_call_in_python_gives_the_same_as_the_command(
    run: Any, desk: Any, dummy_folder: Path, ip_adapter: SubjectOptions
) -> None:
    file = desk.folder / "task.json"
    assert run("task", "new", desk.image, "--mask", desk.mask, "--to", "60,40", "-o", file).code == 0
    assert edit(run, desk, dummy_folder, *options(ip_adapter), "-o", desk.out).code == 0
    config = override(load_preset("default"), list(QUICK[1::2]))
    made = edit_once(
        desk.image, load_instruction(file), model=dummy_folder, config=config, device="cpu", subject=ip_adapter
    )
    assert made.provenance.recipe.subject == load_recipe(desk.out).subject
    assert np.array_equal(made.pixels, load_image(desk.out).pixels)


def test_one_call_in_python_takes_loras(desk: Any, dummy_folder: Path) -> None:
    with pytest.raises(UserError, match=r"LoRA no-such\.safetensors does not exist"):
        edit_once(desk.image, Instruction(()), model=dummy_folder, lora=["no-such.safetensors:0.5"])


def test_a_benchmark_records_the_adapter_and_resumes_with_the_same_alone(
    run: Any, tmp_path: Path, ip_adapter: SubjectOptions, instantcharacter: SubjectOptions
) -> None:
    short = ["--preset", "paste", "--set", "inversion.steps=2", "--set", "inversion.skip=1"]
    command = ["bench", "run", "world:2", "--limit", 1, "--model", "dummy", *short, "-o", tmp_path / "run"]
    done = run(*command, *options(ip_adapter))
    assert (done.code, "1 done" in done.out) == (0, True), done.err
    header = read_header(tmp_path / "run")
    assert header.label == "dragflow paste inversion.steps=2 inversion.skip=1 ip-adapter"
    assert header.subject is not None
    assert (header.subject.options, len(header.subject.fingerprint)) == (ip_adapter, 16)
    assert run(*command, *options(ip_adapter)).code == 0
    for other in ([], options(instantcharacter)):
        refused = run(*command, *other)
        assert refused.code == 2
        assert "subject.options." in refused.err


def test_a_method_without_a_model_takes_no_adapter(run: Any, tmp_path: Path, ip_adapter: SubjectOptions) -> None:
    done = run("bench", "run", "world:1", "--method", "paste", *options(ip_adapter), "-o", tmp_path / "run")
    assert done.code == 2
    assert "have no effect here: method paste uses no model" in done.err


def test_the_doctor_loads_an_adapter_and_says_what_does_not_fit(
    run: Any,
    dummy_folder: Path,
    ip_adapter: SubjectOptions,
    sd3_folder: Path,
    sd3_ip_adapter: SubjectOptions,
    tmp_path: Path,
) -> None:
    done = run("doctor", dummy_folder, "--device", "cpu", *options(ip_adapter))
    assert done.code == 0, done.err
    assert "subject adapter ip-adapter, weights" in " ".join(done.out.split())
    wide = write_ip_adapter(tmp_path / "wide.safetensors", inner=96)
    wrong = run("doctor", dummy_folder, "--device", "cpu", *options(ip_adapter, wide))
    assert wrong.code == 1
    assert "(96, 32) instead of (64, 32)" in wrong.err
    other = run("doctor", sd3_folder, "--device", "cpu", *options(ip_adapter))
    assert other.code == 1
    assert "is not an IP-adapter for Stable Diffusion 3.5, as the model is" in " ".join(other.err.split())
    fits = run("doctor", sd3_folder, "--device", "cpu", *options(sd3_ip_adapter))
    assert fits.code == 0, fits.err
    assert "it fits this model" in " ".join(fits.out.split())
    alone = run("doctor", *options(ip_adapter))
    assert alone.code == 2
    assert "dragflow doctor MODEL" in alone.err


@pytest.mark.slow
def test_a_result_is_repeated_with_moved_weights_but_not_with_others(
    run: Any, desk: Any, dummy_folder: Path, instantcharacter: SubjectOptions
) -> None:
    weights, moved = write_instantcharacter(desk.folder / "adapter.bin"), desk.folder / "moved.bin"
    again = desk.folder / "again.png"
    assert edit(run, desk, dummy_folder, *options(instantcharacter, weights), "-o", desk.out).code == 0
    weights.rename(moved)
    lost = run(*again_of(desk), "-o", again)
    assert lost.code == 2
    assert "adapter.bin does not exist" in lost.err
    found = run(*again_of(desk), "--subject.weights", moved, "-o", again)
    assert found.code == 0, found.err
    other = write_instantcharacter(desk.folder / "other.bin", seed=1)
    wrong = run(*again_of(desk), "--subject.weights", other, "-o", desk.folder / "b.png")
    assert wrong.code == 2
    assert "are not those asked for" in wrong.err
    named = run(*again_of(desk), "--subject", "ip-adapter", "-o", desk.folder / "b.png")
    assert named.code == 2
    assert "--subject.adapter is 'ip-adapter': the result was made with instantcharacter" in named.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--subject.adapter", "instantcharacter"), "--subject.weights"),
        (("--subject.weights", "x.bin"), "--subject.adapter"),
        (("--subject.siglip", "x"), "--subject.adapter"),
        (("--subject.clip", "x"), "--subject.clip needs an adapter"),
        (("--subject.adapter", "ip-adapter"), "--subject.weights"),
        (("--subject.adapter", "photomaker", "--subject.weights", "x.bin"), "instantcharacter"),
        (("--subject.adapter", "instantcharacter", "--subject.weights", "no-such.bin"), "no-such.bin"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_loaded(
    given: tuple[str, ...], words: str, run: Any, desk: Any
) -> None:
    before = desk.files()
    done = edit(run, desk, Path("/no/such/model"), *given, "-o", desk.out)
    assert done.code == 2
    assert words in done.err
    assert "/no/such/model" not in done.err
    assert desk.files() == before


def test_weights_of_another_width_are_refused(
    run: Any, desk: Any, dummy_folder: Path, instantcharacter: SubjectOptions
) -> None:
    wide = write_instantcharacter(desk.folder / "wide.bin", heads=3)
    done = edit(run, desk, dummy_folder, *options(instantcharacter, wide), "-o", desk.out)
    assert done.code == 2
    assert "ip_adapter.0.to_k_ip.weight has shape (96, 48) instead of (64, 48)" in done.err
    assert not desk.out.exists()
