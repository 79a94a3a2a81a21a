"""Inversions in a folder: bit for bit, bounded, and made again where an entry is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.events import Event
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Operation
from dragflow.editor.editor import Editor
from dragflow.editor.inversions import Inversions, Prepared
from dragflow.editor.stored import StoredInversions
from dragflow.files.presets import load_preset, override

SHORT = ["inversion.steps=4", "inversion.skip=1", "optimise.refining=1"]
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
MOVE = Operation(Box(10, 10, 30, 30), Translate((50, 40)))


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.load("dummy", device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def config(*more: str) -> EditConfig:
    return override(load_preset("default"), [*SHORT, *more])


def edited(
    editor: Editor, inversions: Inversions | None, asked: EditConfig, prompt: str = "a cat"
) -> tuple[bytes, set[str]]:
    """The result's bytes, and the phases that were run for it."""
    phases: set[str] = set()

    def observe(event: Event) -> None:
        phases.add(event.phase)

    editor.inversions = inversions
    try:
        result = editor.open(PICTURE, prompt, config=asked, observer=observe).edit(MOVE, asked, observe)
    finally:
        editor.inversions = None
    return result.png(), phases


@pytest.mark.parametrize("rule", ["none", "mapped"])
def test_an_edit_has_the_same_bytes_with_what_was_kept(editor: Editor, folder: Path, rule: str) -> None:
    asked = config(f"kv.rule={rule}")
    plain, _ = edited(editor, None, asked)
    first, made = edited(editor, StoredInversions(folder), asked)
    second, read = edited(editor, StoredInversions(folder), asked)
    assert "invert" in made
    assert "invert" not in read
    assert plain == first == second


def test_states_keys_and_values_are_read_bit_for_bit(editor: Editor, folder: Path) -> None:
    asked = config("kv.rule=mapped")
    made, read = (opened(editor, folder, asked) for _ in range(2))
    assert read is not made
    assert read.timings == made.timings
    assert read.inversion.schedule == made.inversion.schedule
    assert all(torch.equal(a, b) for a, b in zip(made.inversion.states, read.inversion.states, strict=True))
    whole, back = made.inversion.tokens, read.inversion.tokens
    assert whole is not None
    assert back is not None
    assert back.times.keys() == whole.times.keys()
    for t, record in whole.times.items():
        same = back.times[t]
        assert (same.counts, same.device) == (record.counts, record.device)
        assert same.attentions.keys() == record.attentions.keys()
        for site, pair in record.attentions.items():
            assert all(
                torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(pair, same.attentions[site], strict=True)
            )
    kept, found = made.inversion.kv, read.inversion.kv
    assert kept is not None
    assert found is not None
    assert (found.blocks, found.device, found.times.keys()) == (kept.blocks, kept.device, kept.times.keys())
    for t, sites in kept.times.items():
        assert sites.keys() == found.times[t].keys()
        assert all(
            torch.equal(x, found.times[t][site]) and x.dtype == found.times[t][site].dtype for site, x in sites.items()
        )


def opened(editor: Editor, folder: Path, asked: EditConfig) -> Prepared:
    stored = StoredInversions(folder)
    edited(editor, stored, asked)
    (prepared,) = stored._kept.values()
    return prepared


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_entry_is_made_again(editor: Editor, folder: Path, damage: str) -> None:
    plain, _ = edited(editor, StoredInversions(folder), config())
    (path,) = folder.iterdir()
    data = path.read_bytes()
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    path.write_bytes({"cut": data[:-100], "flipped": flipped, "empty": b"", "foreign": b"x" * 999}[damage])
    again, phases = edited(editor, StoredInversions(folder), config())
    assert "invert" in phases
    assert again == plain
    assert "invert" not in edited(editor, StoredInversions(folder), config())[1]


def test_another_prompt_or_number_of_threads_has_an_entry_of_its_own(
    editor: Editor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(editor, StoredInversions(folder), config())
    edited(editor, StoredInversions(folder), config(), "a dog")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    edited(editor, StoredInversions(folder), config())
    assert len(list(folder.iterdir())) == 3


def test_the_folder_is_bounded_and_the_oldest_goes_first(editor: Editor, folder: Path) -> None:
    edited(editor, StoredInversions(folder), config(), "first")
    (first,) = folder.iterdir()
    bound = int(1.5 * first.stat().st_size)
    edited(editor, StoredInversions(folder, folder_bytes=bound), config(), "second")
    (left,) = folder.iterdir()
    assert left != first
    edited(editor, StoredInversions(folder, folder_bytes=100), config(), "third")
    assert list(folder.iterdir()) == [left]


def test_what_is_too_large_for_memory_is_inverted_once_for_an_edit(editor: Editor) -> None:
    inverted: list[Event] = []

    def observe(event: Event) -> None:
        if type(event).__name__ == "Started" and event.phase == "invert":
            inverted.append(event)

    editor.inversions = Inversions(max_bytes=1)
    try:
        editor.open(PICTURE, "a cat", config=config(), observer=observe).edit(MOVE, config(), observe)
    finally:
        editor.inversions = None
    assert len(inverted) == 1


def test_a_folder_that_cannot_be_written_costs_the_entry_not_the_edit(
    editor: Editor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    stored = StoredInversions(folder)
    monkeypatch.setattr("dragflow.editor.stored.save_file", full)
    assert edited(editor, stored, config())[0] == edited(editor, None, config())[0]
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_reads_what_is_kept(editor: Editor, folder: Path) -> None:
    edited(editor, StoredInversions(folder), config())
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o755)  # as one that was there before
    edited(editor, StoredInversions(folder), config("inversion.steps=5"))
    entries = list(folder.iterdir())
    assert len(entries) == 2
    assert all(entry.stat().st_mode & 0o077 == 0 for entry in entries)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="name another one"):
        StoredInversions(tmp_path / "file")
