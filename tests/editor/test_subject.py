"""A session with a subject adapter: encoded once, on where the configuration says, of the whole picture or a crop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dragflow import EditConfig, Editor, Instruction, MaskArray, Operation, SubjectOptions, Translate
from dragflow.core.config import InversionConfig, OptimiseConfig, StartConfig, SubjectConfig
from dragflow.method.backbone import Image
from dragflow.subject.instantcharacter.adapter import InstantCharacter
from dragflow.subject.timed import EncodedSubject

STEPS = InversionConfig(4, 1)
CONFIG = EditConfig(inversion=STEPS, optimise=OptimiseConfig(moving=2, refining=1))


@pytest.fixture(scope="module")
def editor(dummy_folder: Path, instantcharacter: SubjectOptions) -> Editor:
    return Editor.load(dummy_folder, device="cpu", subject=instantcharacter)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


@pytest.fixture
def move() -> Instruction:
    mask = np.zeros((64, 96), np.bool_)
    mask[10:30, 20:50] = True
    return Instruction((Operation(MaskArray(mask), Translate((60.0, 30.0))),), prompt="a cat")


@contextmanager
def encoded(editor: Editor) -> Iterator[list[Image]]:
    """Pictures that the adapter is shown."""
    adapter = editor.adapter
    assert isinstance(adapter, InstantCharacter)
    seen: list[Image] = []

    class Watched(InstantCharacter):
        def encode(self, image: Image) -> EncodedSubject:
            seen.append(image)
            return super().encode(image)

    editor.adapter = Watched(*(getattr(adapter, name) for name in adapter.__dataclass_fields__))
    yield seen
    editor.adapter = adapter


def configured(**subject: object) -> EditConfig:
    return replace(CONFIG, subject=replace(SubjectConfig(), **subject))


def test_the_subject_is_encoded_once_for_many_edits(
    editor: Editor, picture: NDArray[np.uint8], move: Instruction
) -> None:
    with encoded(editor) as seen:
        session = editor.open(picture, "a cat", config=CONFIG)
        first = session.edit(move, CONFIG)
        again = session.edit(move, CONFIG)
        session.edit(move, configured(scale=0.7))
    assert [tuple(image.shape) for image in seen] == [(1, 3, 64, 96)]
    assert np.array_equal(first.pixels, again.pixels)


def test_each_time_is_projected_once_in_a_whole_edit(
    editor: Editor, picture: NDArray[np.uint8], move: Instruction
) -> None:
    """25 steps and 70 iterations ask for 21 times in 131 calls; this is the same with fewer."""
    adapter = editor.adapter
    assert isinstance(adapter, InstantCharacter)
    times: list[object] = []
    handle = adapter.projector.resampler.register_forward_hook(lambda _, args, __: times.append(args[1]))
    editor.open(picture, "a cat", config=CONFIG).edit(move, CONFIG)
    handle.remove()
    assert len(times) == len(set(times)) == STEPS.steps - STEPS.skip + 2  # 0, the midpoints, and t_s


def test_switched_off_everywhere_it_is_as_if_there_were_none(
    editor: Editor, picture: NDArray[np.uint8], move: Instruction
) -> None:
    off = configured(inverting=False, sampling=False)
    with encoded(editor) as seen:
        found = editor.open(picture, "a cat", config=off).edit(move, off)
    plain = Editor(editor.backbone).open(picture, "a cat", config=CONFIG).edit(move, CONFIG)
    assert not seen
    assert np.array_equal(found.pixels, plain.pixels)
    assert found.losses == plain.losses


def test_each_switch_changes_its_own_part(editor: Editor, picture: NDArray[np.uint8], move: Instruction) -> None:
    session = editor.open(picture, "a cat", config=CONFIG)

    def inverted(config: EditConfig) -> torch.Tensor:
        return session._prepare("a cat", config, None, lambda _: None).inversion.z

    both, inverting, sampling, none = (
        configured(inverting=a, sampling=b) for a, b in ((True, True), (True, False), (False, True), (False, False))
    )
    assert torch.equal(inverted(both), inverted(inverting))
    assert torch.equal(inverted(sampling), inverted(none))
    assert not torch.allclose(inverted(both), inverted(none), atol=1e-3)
    losses = [session.edit(move, config).losses for config in (both, inverting, sampling, none)]
    assert len(set(losses)) == 4


def test_the_start_from_a_preview_is_inverted_as_the_source_is(
    editor: Editor, picture: NDArray[np.uint8], move: Instruction
) -> None:
    start = StartConfig("preview")
    on, off = (replace(configured(inverting=a, sampling=False), start=start) for a in (True, False))
    session = editor.open(picture, "a cat", config=on)
    assert session.edit(move, on).losses != session.edit(move, off).losses


def test_the_region_as_subject_waits_for_the_instruction(
    editor: Editor, picture: NDArray[np.uint8], move: Instruction
) -> None:
    region = configured(crop="region")
    with encoded(editor) as seen:
        session = editor.open(picture, "a cat", config=region)
        assert not seen
        found = session.edit(move, region)
        session.edit(move, region)
    assert len(seen) == 1
    assert np.array_equal((seen[0][0].permute(1, 2, 0) * 255).round().numpy(), picture[10:30, 20:50])
    assert found.losses != session.edit(move, CONFIG).losses


def test_the_recipe_says_which_adapter(editor: Editor, picture: NDArray[np.uint8], move: Instruction) -> None:
    assert editor.adapter is not None
    result = editor.open(picture, "a cat", config=CONFIG).edit(move, CONFIG)
    assert result.provenance.recipe.subject == editor.adapter.record
    plain = Editor(editor.backbone).open(picture, "a cat", config=CONFIG).edit(move, CONFIG)
    assert plain.provenance.recipe.subject is None


def test_a_session_on_a_result_keeps_the_adapter(editor: Editor, picture: NDArray[np.uint8], move: Instruction) -> None:
    session = editor.open(picture, "a cat", config=CONFIG)
    with encoded(editor) as seen:
        session = editor.open(picture, "a cat", config=CONFIG)
        result = session.edit(move, CONFIG)
        session.accept(result)
    assert len(seen) == 2
    assert np.array_equal((seen[1][0].permute(1, 2, 0) * 255).round().numpy(), result.pixels)
