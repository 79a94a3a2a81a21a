"""`dragflow edit --identity`: end to end with a random adapter of the real layout, its recipe, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragflow import IdentityOptions
from dragflow.identity.dummy import write_character
from dragflow.io.recipe import load_recipe

QUICK = ("--set", "inversion.steps=4", "--set", "inversion.skip=1", "--set", "optimise.refining=1")


def options(character: IdentityOptions, weights: Path | str | None = None) -> list[str]:
    given = {"": character.adapter, "-weights": weights or character.weights}
    given |= {"-siglip": character.siglip, "-dinov2": character.dinov2}
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
