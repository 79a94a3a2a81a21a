"""Edits that compute the tokens of the editable area alone, on a small model of FLUX.1's layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_editor import picture

from dragflow import Editor, UserError
from dragflow.core.events import Event, Observer, Stepped, silent
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Operation
from dragflow.files.presets import load_preset, override

SHORT = ("inversion.steps=4", "inversion.skip=1", "optimise.refining=1", "area.detail=false")
WHOLE = "tokens.rim=64"
PICTURE = picture(128, 160)
MOVE = Operation(Box(20, 20, 44, 44), Translate((60, 40)))


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.load("dummy", device="cpu")


def edited(editor: Editor, *more: str, observer: Observer = silent) -> NDArray[np.uint8]:
    config = override(load_preset("default"), [*SHORT, *more])
    return editor.open(PICTURE, "a cat", config=config).edit(MOVE, config, observer).pixels


@pytest.mark.parametrize("rule", ["none", "mapped"])
def test_where_the_rim_reaches_all_tokens_it_is_the_plain_edit_bit_for_bit(editor: Editor, rule: str) -> None:
    asked = (f"kv.rule={rule}", "start.mode=warp", "start.fill=noise")  # a preview's background is put back, too
    plain = edited(editor, "tokens.active=all", *asked)
    assert np.array_equal(edited(editor, WHOLE, "tokens.text=fresh", *asked), plain)


def test_the_area_alone_is_close_to_the_plain_edit_and_the_rest_is_the_source(editor: Editor) -> None:
    plain, alone = edited(editor, "tokens.active=all"), edited(editor, "tokens.rim=0")
    assert not np.array_equal(alone, plain)
    assert np.abs(alone.astype(int) - plain).mean() < 3  # of noise, which a random model redraws
    area = (plain != PICTURE).any(axis=2)
    assert np.array_equal(alone[~area], PICTURE[~area])


def test_blocks_are_given_the_tokens_of_the_area_once_the_picture_is_inverted(editor: Editor) -> None:
    block: Any = editor.backbone.transformer.transformer_blocks[0]  # pyright: ignore[reportAttributeAccessIssue]
    seen: list[int] = []
    handle = block.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["hidden_states"].shape[1] + given["encoder_hidden_states"].shape[1]),
        with_kwargs=True,
    )
    try:
        edited(editor)
    finally:
        handle.remove()
    inverting = 4
    assert len(set(seen[:inverting])) == len(set(seen[inverting:])) == 1
    assert seen[-1] < 0.6 * seen[0]


def test_previews_show_the_source_around_the_area(editor: Editor) -> None:
    shown: list[NDArray[np.uint8]] = []

    def watch(event: Event) -> None:
        if isinstance(event, Stepped) and event.phase == "denoise" and event.preview is not None:
            shown.append(event.preview())

    edited(editor, observer=watch)
    first, last = shown[0].astype(int), shown[-1].astype(int)
    changed = np.abs(first - last)
    assert changed[-32:, -32:].mean() < 0.3 * changed[20:44, 20:44].mean()


def test_nothing_computed_and_nothing_put_back_is_refused(editor: Editor) -> None:
    with pytest.raises(UserError, match=r"tokens\.active is area.*denoise\.background"):
        edited(editor, "denoise.background=none")


def test_a_preview_that_is_drawn_again_is_not_encoded_or_decoded_again(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = override(load_preset("default"), [*SHORT, "area.detail=true"])
    session = editor.open(PICTURE, "a cat", config=config)
    calls: list[str] = []
    for name in ("encode", "decode"):
        done: Any = getattr(editor.backbone, name)
        monkeypatch.setattr(editor.backbone, name, lambda x, name=name, done=done: calls.append(name) or done(x))
    first = session.edit(MOVE, config)
    assert sorted(calls) == ["decode", "decode", "encode"]
    calls.clear()
    assert np.array_equal(session.edit(MOVE, config).pixels, first.pixels)
    assert calls == ["decode"]
    calls.clear()
    session.edit(Operation(Box(20, 20, 44, 44), Translate((70, 40))), config)
    assert sorted(calls) == ["decode", "decode", "encode"]
