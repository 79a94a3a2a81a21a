"""`dragflow train bridge`: a bridge from scenes, used by an edit; what is refused before any work."""

from __future__ import annotations

from typing import Any

import pytest

from dragflow.files.recipes import load_recipe

SHORT = ("--rank", "2", "--steps", "2", "--batch", "1", "--scenes", "1", "--size", "64", "--held-out", "1")


def test_a_trained_bridge_is_what_an_edit_takes(run: Any, desk: Any, dummy_folder: Any) -> None:
    bridge = desk.folder / "bridge.safetensors"
    train = ("train", "bridge", "-o", bridge, *SHORT, "--model", dummy_folder)
    trained = run(*train, "--json")
    assert trained.code == 0, trained.err
    told = trained.events
    assert [e["index"] for e in told if e["event"] == "stepped" and e["phase"] == "train"] == [1, 2]
    assert told[-1]["event"] == "written"
    assert len(told[-1]["losses"]) == 2
    assert "area" in told[-1]["gains"]
    edit = ("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", dummy_folder)
    done = run(*edit, "--bridge", bridge, "-o", desk.out)
    assert done.code == 0, done.err
    recipe = load_recipe(desk.out)
    assert recipe.weights.options.bridge == str(bridge)
    assert recipe.config.start.mode == "bridge"
    again = run(*train)
    assert again.code == 2
    assert "exists already: choose another name, or replace it with --force" in again.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pairs", ".", "--scenes", "3"), "--scenes has no effect here"),
        (("--lora", "a.safetensors"), "leave out --lora"),
        (("--pairs", "nowhere"), "has no manifest.json"),
        (("--resume",), "there is nothing to resume"),
        (("--rank", "0"), "rank"),
        (("--size", "63"), "size"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    options: tuple[str, ...], words: str, run: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragflow.backbones.registry.load_backbone", None)
    refused = run("train", "bridge", "-o", desk.folder / "a.safetensors", "--model", "dummy", *options)
    assert refused.code == 2, refused.err
    assert words in refused.err
