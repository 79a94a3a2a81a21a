"""`--identity` of every command: end to end with random adapters of real layout, recipes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragflow import IdentityOptions, Instruction, UserError, override
from dragflow.bench.runs import read_header
from dragflow.editor import edit as edit_once
from dragflow.identity.dummy import write_character, write_clip, write_ip_adapter
from dragflow.identity.registry import encoders_of
from dragflow.io.images import load_image
from dragflow.io.instruction import load_instruction
from dragflow.io.presets import load_preset
from dragflow.io.recipe import load_recipe

QUICK = ("--set", "inversion.steps=4", "--set", "inversion.skip=1", "--set", "optimise.refining=1")


def options(character: IdentityOptions, weights: Path | str | None = None) -> list[str]:
    given = {"": character.adapter, "-weights": weights or character.weights}
    given |= {f"-{encoder}": getattr(character, encoder) for encoder in encoders_of(character.adapter)}
    return [word for name, value in given.items() for word in (f"--identity{name}", str(value))]


def edit(run: Any, desk: Any, model: Path, *more: Any) -> Any:
    return run("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", model, *QUICK, *more)


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_an_edit_with_an_identity_end_to_end(
    suffix: str, run: Any, desk: Any, dummy_folder: Path, character: IdentityOptions
) -> None:
    weights = write_character(desk.folder / f"adapter{suffix}")
    plain, again = desk.folder / "plain.png", desk.folder / "again.png"
    done = edit(run, desk, dummy_folder, *options(character, weights), "-o", desk.out)
    assert done.code == 0, done.err
    assert edit(run, desk, dummy_folder, "-o", plain).code == 0
    recipe, without = load_recipe(desk.out), load_recipe(plain)
    assert recipe.identity is not None
    assert recipe.identity.options.weights == str(weights)
    assert len(recipe.identity.fingerprint) == 16
    assert without.identity is None
    repeated = run("edit", desk.image, "--from", desk.out, "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == desk.out.read_bytes()


def test_an_edit_with_an_ip_adapter_end_to_end(
    run: Any, desk: Any, dummy_folder: Path, ip_adapter: IdentityOptions
) -> None:
    plain, again = desk.folder / "plain.png", desk.folder / "again.png"
    done = edit(run, desk, dummy_folder, *options(ip_adapter), "-o", desk.out)
    assert done.code == 0, done.err
    assert edit(run, desk, dummy_folder, "-o", plain).code == 0
    assert not np.array_equal(load_image(desk.out).pixels, load_image(plain).pixels)
    recipe = load_recipe(desk.out)
    assert recipe.identity is not None
    assert recipe.identity.options == ip_adapter
    assert recipe.config.identity.scale is None
    moved = desk.folder / "moved"
    write_clip(moved)
    repeated = run("edit", desk.image, "--from", desk.out, "--identity-clip", moved, "-o", again)
    assert repeated.code == 0, repeated.err
    assert np.array_equal(load_image(again).pixels, load_image(desk.out).pixels)
    write_clip(desk.folder / "another", side=42)
    seen = run(
        "edit", desk.image, "--from", desk.out, "--identity-clip", desk.folder / "another", "-o", desk.folder / "b.png"
    )
    assert seen.code == 2
    assert "or the encoders, are not those that made the result" in seen.err
    other = run("edit", desk.image, "--from", desk.out, "--identity-dinov2", moved, "-o", desk.folder / "b.png")
    assert other.code == 2
    assert "--identity-dinov2 is not for ip-adapter" in other.err


def test_an_edit_with_an_ip_adapter_of_instantx(
    run: Any, desk: Any, dummy_folder: Path, instantx: IdentityOptions, ip_adapter: IdentityOptions
) -> None:
    other, again = desk.folder / "other.png", desk.folder / "again.png"
    done = edit(run, desk, dummy_folder, *options(instantx), "-o", desk.out)
    assert done.code == 0, done.err
    assert edit(run, desk, dummy_folder, *options(ip_adapter), "-o", other).code == 0
    assert not np.array_equal(load_image(desk.out).pixels, load_image(other).pixels)
    recipe = load_recipe(desk.out)
    assert recipe.identity is not None
    assert recipe.identity.options == instantx
    repeated = run("edit", desk.image, "--from", desk.out, "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == desk.out.read_bytes()


def test_one_call_in_python_gives_the_same_as_the_command(
    run: Any, desk: Any, dummy_folder: Path, ip_adapter: IdentityOptions
) -> None:
    file = desk.folder / "task.json"
    assert run("task", "new", desk.image, "--mask", desk.mask, "--to", "60,40", "-o", file).code == 0
    assert edit(run, desk, dummy_folder, *options(ip_adapter), "-o", desk.out).code == 0
    config = override(load_preset("default"), list(QUICK[1::2]))
    made = edit_once(
        desk.image, load_instruction(file), model=dummy_folder, preset=config, device="cpu", identity=ip_adapter
    )
    assert made.provenance.recipe.identity == load_recipe(desk.out).identity
    assert np.array_equal(made.image, load_image(desk.out).pixels)


def test_one_call_in_python_takes_loras(desk: Any, dummy_folder: Path) -> None:
    with pytest.raises(UserError, match=r"LoRA no-such\.safetensors does not exist"):
        edit_once(desk.image, Instruction(()), model=dummy_folder, lora=["no-such.safetensors:0.5"])


def test_a_benchmark_records_the_adapter_and_goes_on_with_the_same_alone(
    run: Any, tmp_path: Path, ip_adapter: IdentityOptions, character: IdentityOptions
) -> None:
    short = ["--preset", "paste", "--set", "inversion.steps=2", "--set", "inversion.skip=1"]
    command = ["bench", "run", "world:2", "--limit", 1, "--model", "dummy", *short, "-o", tmp_path / "run"]
    done = run(*command, *options(ip_adapter))
    assert (done.code, "1 done" in done.out) == (0, True), done.err
    header = read_header(tmp_path / "run")
    assert header.label == "dragflow paste inversion.steps=2 inversion.skip=1 ip-adapter"
    assert header.identity is not None
    assert (header.identity.options, len(header.identity.fingerprint)) == (ip_adapter, 16)
    assert run(*command, *options(ip_adapter)).code == 0
    for other in ([], options(character)):
        refused = run(*command, *other)
        assert refused.code == 2
        assert "identity differ" in refused.err


def test_a_method_without_a_model_takes_no_adapter(run: Any, tmp_path: Path, ip_adapter: IdentityOptions) -> None:
    done = run("bench", "run", "world:1", "--method", "paste", *options(ip_adapter), "-o", tmp_path / "run")
    assert done.code == 2
    assert "leave out --preset, --set and --identity" in done.err


def test_the_doctor_loads_an_adapter_and_says_what_does_not_fit(
    run: Any, dummy_folder: Path, ip_adapter: IdentityOptions, tmp_path: Path
) -> None:
    done = run("doctor", dummy_folder, "--device", "cpu", *options(ip_adapter))
    assert done.code == 0, done.err
    assert "identity adapter ip-adapter, weights" in " ".join(done.out.split())
    wide = write_ip_adapter(tmp_path / "wide.safetensors", inner=96)
    wrong = run("doctor", dummy_folder, "--device", "cpu", *options(ip_adapter, wide))
    assert wrong.code == 2
    assert "(96, 32) instead of (64, 32)" in wrong.err
    alone = run("doctor", *options(ip_adapter))
    assert alone.code == 2
    assert "dragflow doctor MODEL" in alone.err


def test_a_result_is_repeated_with_moved_weights_but_not_with_others(
    run: Any, desk: Any, dummy_folder: Path, character: IdentityOptions
) -> None:
    weights, moved = write_character(desk.folder / "adapter.bin"), desk.folder / "moved.bin"
    again = desk.folder / "again.png"
    assert edit(run, desk, dummy_folder, *options(character, weights), "-o", desk.out).code == 0
    weights.rename(moved)
    lost = run("edit", desk.image, "--from", desk.out, "-o", again)
    assert lost.code == 2
    assert "adapter.bin do not exist" in lost.err
    found = run("edit", desk.image, "--from", desk.out, "--identity-weights", moved, "-o", again)
    assert found.code == 0, found.err
    other = write_character(desk.folder / "other.bin", seed=1)
    wrong = run("edit", desk.image, "--from", desk.out, "--identity-weights", other, "-o", desk.folder / "b.png")
    assert wrong.code == 2
    assert "not those that made the result" in wrong.err
    named = run("edit", desk.image, "--from", desk.out, *options(character, moved), "-o", desk.folder / "b.png")
    assert named.code == 2
    assert "leave out --identity" in named.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--identity", "instantcharacter"), "--identity-weights"),
        (("--identity-weights", "x.bin"), "--identity"),
        (("--identity-siglip", "x"), "--identity"),
        (("--identity-clip", "x"), "--identity-clip is for an adapter"),
        (("--identity", "ip-adapter"), "--identity-weights"),
        (("--identity", "photomaker", "--identity-weights", "x.bin"), "instantcharacter"),
        (("--identity", "instantcharacter", "--identity-weights", "no-such.bin"), "no-such.bin"),
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
    run: Any, desk: Any, dummy_folder: Path, character: IdentityOptions
) -> None:
    wide = write_character(desk.folder / "wide.bin", heads=3)
    done = edit(run, desk, dummy_folder, *options(character, wide), "-o", desk.out)
    assert done.code == 2
    assert "ip_adapter.0.to_k_ip.weight of shape (96, 48) instead of (64, 48)" in done.err
    assert not desk.out.exists()
