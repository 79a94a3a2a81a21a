"""Edit models: what they look at and are told, at which size they work, and edits without an inversion."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow import Box, Editor, EditResult, Event, Instruction, Operation, Rotate, Scale, Started, Stepped, Translate
from dragflow.backbones.flux1_kontext.model import SIZES
from dragflow.backbones.usual import usual_preset, usual_prompts
from dragflow.core.blending import blending
from dragflow.core.config import EditConfig
from dragflow.core.errors import CapabilityError
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Motion
from dragflow.editor.frames import model_size
from dragflow.files.presets import load_preset, override
from dragflow.files.recipes import decode_recipe
from dragflow.method.backbone import Reference
from dragflow.pixels.resolve import resolve
from dragflow.service.jobs import plan, repeat
from dragflow.service.pool import ModelPool
from dragflow.service.run import run

MOVE = Instruction(Operation(Box(20, 20, 44, 44), Translate((58, 40))), prompt="a cat")
SMALL = ("size.max_pixels=6144", "size.window=whole")


@pytest.fixture(scope="module")
def editor(kontext_folder: Path) -> Editor:
    return Editor.load(kontext_folder, device="cpu")


def picture(h: int = 75, w: int = 100) -> NDArray[np.uint8]:
    return np.random.default_rng(h * w).integers(0, 256, (h, w, 3), dtype=np.uint8)


def config_of(preset: str, *settings: str) -> EditConfig:
    return override(load_preset(preset), [*SMALL, *settings])


def calls(events: list[Event]) -> dict[str, int]:
    return dict(Counter(event.phase for event in events if isinstance(event, Stepped)))


@pytest.fixture
def told(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Reference, ...]]]:
    """Prompt and references of every conditioning that is made."""
    seen: list[tuple[str, tuple[Reference, ...]]] = []
    condition = editor.backbone.condition

    def watched(prompt: str, **more: Any) -> Any:
        seen.append((prompt, more["references"]))
        return condition(prompt, **more)

    monkeypatch.setattr(editor.backbone, "condition", watched)
    return seen


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_an_instant_edit_is_four_calls_and_opening_none(editor: Editor) -> None:
    events: list[Event] = []
    config = config_of("instant")
    session = editor.open(picture(), "a cat", config=config, observer=events.append)
    assert calls(events) == {"encode": 1}
    events.clear()
    result = session.edit(MOVE, config, events.append)
    assert calls(events) == {"denoise": 4, "decode": 1}
    assert {event.phase for event in events} == {"denoise", "decode"}
    assert (result.pixels == picture())[~result.area].all()
    assert (result.pixels != picture())[result.area].any()


def test_a_noised_picture_serves_every_edit_of_a_seed_whatever_is_said(editor: Editor) -> None:
    config, events = config_of("instant"), list[Event]()
    session = editor.open(picture(), "a cat", config=config)
    for asked, settings, again in (
        (replace(MOVE, prompt="a dog", edit_prompt="put it there"), [], False),
        (MOVE, ['references=["moved"]', "denoise.guidance=1.0"], False),
        (MOVE, ["seed=1"], True),
    ):
        events.clear()
        session.edit(asked, override(config, settings), events.append)
        assert ("encode" in calls(events)) == again


def test_where_keys_and_values_are_recorded_the_record_serves_every_edit(editor: Editor) -> None:
    config, events = config_of("instant", "kv.rule=mapped"), list[Event]()
    session = editor.open(picture(), "a cat", config=config, observer=events.append)
    assert calls(events) == {"encode": 1, "invert": 4}
    events.clear()
    session.edit(MOVE, config, events.append)
    session.edit(replace(MOVE, edit_prompt="put it there"), config, events.append)
    assert {event.phase for event in events if isinstance(event, Started)} == {"denoise", "decode"}


def test_the_seed_decides_the_noise_of_an_instant_edit(editor: Editor) -> None:
    config = config_of("instant")
    session = editor.open(picture(), config=config)
    first, other, again = (session.edit(MOVE, replace(config, seed=seed)).pixels for seed in (0, 1, 0))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


# -- what the model is told --------------------------------------------------------------------------------------------


def test_a_preset_tells_of_preview_and_source(editor: Editor, told: list[tuple[str, tuple[Reference, ...]]]) -> None:
    config = config_of("reference", "optimise.refining=1")
    session = editor.open(picture(), "a cat", config=config)
    ((prompt, (source,)),) = told
    assert (prompt, source.index) == ("a cat", 1)
    told.clear()
    session.edit(MOVE, config)
    by_count = {len(references): references for _, references in told}
    assert by_count.keys() == {1, 2}  # features of the source as it is are told of the source alone
    (still,), (preview, moved_from) = by_count[1], by_count[2]
    assert (still.index, preview.index, moved_from.index) == (1, 1, 2)
    assert still.z is moved_from.z
    assert bool((still.z == source.z).all())
    assert not bool((preview.z == source.z).all())
    assert {prompt for prompt, _ in told} == {blending(resolve(picture(), MOVE).operations)}


def test_moved_tokens_leave_a_hole_and_lie_at_their_targets(
    editor: Editor, told: list[tuple[str, tuple[Reference, ...]]]
) -> None:
    config = config_of("instant", 'references=["moved"]')
    asked = Instruction(Operation(Box(16, 16, 47, 47), Translate((63.5, 31.5), "relocation"), cut="hard"))
    editor.open(picture(64, 96), config=config).edit(asked, config)
    (moved,) = next(references for _, references in told if references)
    tokens, (h, w) = {}, (4, 6)
    assert tuple(moved.z.shape[-2:]) == (2 * h, 2 * w)
    for token, (row, column) in zip(moved.tokens.tolist(), moved.positions.tolist(), strict=True):
        tokens[int(row), int(column)] = divmod(token, w)
    assert {place: token for place, token in tokens.items() if place != token} == {
        (row, column): (row, column - 2) for row in (1, 2) for column in (3, 4)
    }
    assert {(row, column) for row in range(h) for column in range(w)} - set(tokens) == {(1, 1), (1, 2), (2, 1), (2, 2)}


@pytest.mark.parametrize(
    "motion", [Rotate((32, 50), degrees=30), Scale((32, 32), 1.5), Translate((60, 40), "deformation")]
)
@pytest.mark.parametrize("preset", ["instant", "reference"])
def test_every_motion_runs_with_every_reference(preset: str, motion: Motion, editor: Editor) -> None:
    config = config_of(preset, 'references=["moved", "source"]')
    result = editor.open(picture(), config=config).edit(Operation(Box(20, 20, 44, 44), motion), config)
    assert (result.pixels == picture())[~result.area].all()
    assert all(np.isfinite(result.losses))


def test_an_instruction_is_written_from_the_operations_and_kept(editor: Editor) -> None:
    source, config = picture(), config_of("instant")
    result = editor.open(source, config=config).edit(MOVE, config)
    words = result.task.instruction.edit_prompt
    assert words.startswith("Blend the moved object into the picture: true shadow, light and background")
    assert "complete the background where it was" in words
    recipe, _ = decode_recipe(result.png(), "result.png")
    assert recipe.instruction.edit_prompt == words
    assert recipe.config.references == ("preview", "source")
    assert np.array_equal(
        editor.open(source, "a cat", config=config).edit(recipe.instruction, recipe.config).pixels, result.pixels
    )


def test_an_instruction_that_is_given_is_taken_alone(
    editor: Editor, told: list[tuple[str, tuple[Reference, ...]]]
) -> None:
    config = config_of("instant")
    asked = replace(MOVE, edit_prompt="put the cat there")
    editor.open(picture(), config=config).edit(asked, config)
    assert {prompt for prompt, _ in told} == {"put the cat there"}


@pytest.mark.parametrize(
    ("motions", "words"),
    [
        ((Rotate((32, 50), degrees=30),), "the turned object into"),
        ((Scale((32, 32), 1.5),), "the resized object into"),
        ((Translate((60, 40), "relocation"), Translate((70, 40), "relocation")), "Blend the moved object into"),
        ((Translate((60, 40), "relocation"), Scale((70, 40), 2)), "the moved object and the resized object into"),
    ],
)
def test_each_kind_of_motion_has_its_words(motions: tuple[Motion, ...], words: str) -> None:
    asked = Instruction([Operation(Box(20 + 20 * i, 20, 35 + 20 * i, 44), motion) for i, motion in enumerate(motions)])
    assert words in blending(resolve(picture(), asked).operations)


def test_what_stretches_leaves_no_background_to_complete() -> None:
    asked = Operation(Box(20, 20, 44, 44), Translate((40, 36), "deformation"))
    words = blending(resolve(picture(), Instruction(asked)).operations)
    assert "the reshaped part into" in words
    assert "where it was" not in words


def test_a_model_that_is_told_what_is_seen_gets_no_instruction(dummy_folder: Path) -> None:
    editor, config = Editor.load(dummy_folder, device="cpu"), override(load_preset("paste"), ["inversion.steps=9"])
    assert not editor.open(picture(), config=config).edit(MOVE, config).task.instruction.edit_prompt


def test_an_edit_model_that_looks_at_nothing_gets_captions(
    editor: Editor, told: list[tuple[str, tuple[Reference, ...]]]
) -> None:
    config = config_of("instant", "references=[]")
    asked = replace(MOVE, edit_prompt="at the right")
    editor.open(picture(), config=config).edit(asked, config)
    assert {prompt for prompt, _ in told} == {"a cat at the right"}
    told.clear()
    result = editor.open(picture(), config=config).edit(MOVE, config)
    assert {prompt for prompt, _ in told} == {"a cat"}
    assert not result.task.instruction.edit_prompt


@pytest.mark.parametrize("model", [None, "black-forest-labs/FLUX.1-Kontext-dev"])
def test_an_instant_edit_is_what_it_does_where_nothing_is_said(
    model: str | None, editor: Editor, kontext_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert editor.backbone.spec.preset == usual_preset(ModelOptions(model or str(kontext_folder))) == "instant"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"_class_name": 3}'])
def test_a_damaged_index_tells_of_no_preset(text: str, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(text)
    assert usual_preset(ModelOptions(str(tmp_path))) == "default"


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["instant", "reference"])
def test_a_model_that_takes_no_references_is_refused_in_a_sentence(preset: str, dummy_folder: Path) -> None:
    editor = Editor.load(dummy_folder, device="cpu")
    with pytest.raises(CapabilityError, match=r"references: preview, source .* family flux1 take none.*`default`"):
        editor.open(picture(), config=preset)


def test_more_references_than_a_model_takes_are_refused(editor: Editor) -> None:
    config = config_of("instant", 'references=["preview", "source", "moved"]')
    with pytest.raises(CapabilityError, match=r"preview, source, moved .* flux1-kontext take 2 at most"):
        editor.open(picture(), config=config)


# -- the size at which it works ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(75, 100), (1024, 1024), (3000, 2000), (500, 1600), (1600, 300), (944, 1104)])
def test_a_picture_is_brought_to_the_size_that_the_librarys_pipeline_takes(
    size: tuple[int, int], editor: Editor
) -> None:
    from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS

    assert set(SIZES) == {(h, w) for w, h in PREFERRED_KONTEXT_RESOLUTIONS}
    h, w = size
    _, width, height = min((abs(w / h - a / b), a, b) for a, b in PREFERRED_KONTEXT_RESOLUTIONS)
    spec = editor.backbone.spec
    assert model_size(spec, size, 1024 * 1024) == (height, width)
    assert model_size(spec, size, 4_000_000) == (height, width)
    small = model_size(spec, size, 65536)
    assert small[0] * small[1] <= 65536
    assert small[0] % spec.pixel_multiple == small[1] % spec.pixel_multiple == 0
    assert small[1] / small[0] == pytest.approx(width / height, rel=0.15)


def test_a_result_has_the_size_of_its_picture(editor: Editor) -> None:
    config = config_of("instant")
    assert editor.open(picture(90, 60), config=config).edit(MOVE, config).pixels.shape == (90, 60, 3)


def test_a_job_is_repeated_to_the_byte(kontext_folder: Path) -> None:
    from dragflow.files.pictures import from_pixels

    pool, source, model = ModelPool(), from_pixels(picture()), ModelOptions.of(kontext_folder, device="cpu")
    made: EditResult = run(plan(source, MOVE, config_of("instant"), model), pool)
    recipe, _ = decode_recipe(made.png(), "result.png")
    again: EditResult = run(repeat(source, recipe, model), pool)
    assert again.png() == made.png()


@pytest.mark.parametrize(
    ("model", "preset", "settings", "prompts"),
    [
        ("black-forest-labs/FLUX.1-Kontext-dev", "instant", (), "instructions"),
        ("black-forest-labs/FLUX.1-Kontext-dev", "instant", ("references=[]",), "captions"),
        ("black-forest-labs/FLUX.1-Kontext-dev", "default", (), "captions"),
        ("black-forest-labs/FLUX.1-dev", "default", (), "captions"),
        ("nano", "bridge", (), "captions"),
        ("no model", "default", (), "captions"),
    ],
)
def test_what_a_model_will_be_told_is_known_before_it_is_loaded(
    model: str, preset: str, settings: tuple[str, ...], prompts: str
) -> None:
    assert usual_prompts(ModelOptions(model), config_of(preset, *settings)) == prompts


def test_where_nothing_is_inverted_the_area_of_image_and_references_is_computed_alone(editor: Editor) -> None:
    """Beside one record of the noised source, which has a source for every reference."""
    seen: list[int] = []
    block: Any = editor.backbone.transformer.transformer_blocks[0]  # pyright: ignore[reportAttributeAccessIssue]
    handle = block.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["hidden_states"].shape[1]), with_kwargs=True
    )
    small = Instruction(Operation(Box(8, 8, 24, 24), Translate((30, 16))), prompt="a cat")
    room = ["size.max_pixels=12288", "size.window=whole"]
    results: dict[str, NDArray[np.uint8]] = {}
    try:
        for rim in (0, 64):
            config = override(load_preset("instant"), [*room, "tokens.active=area", f"tokens.rim={rim}"])
            session = editor.open(picture(96, 128), "a cat", config=config)
            opened = len(seen)
            results[str(rim)] = session.edit(small, config).pixels
            again = len(seen)
            session.edit(small, config)
            assert len(seen) - again == again - opened == 4  # the record is used again
            assert seen[opened] < 0.4 * seen[opened - 1] if rim == 0 else seen[opened] == seen[opened - 1]
    finally:
        handle.remove()
    plain = editor.open(picture(96, 128), "a cat").edit(small, override(load_preset("instant"), room)).pixels
    assert np.array_equal(results["64"], plain)
    assert not np.array_equal(results["0"], plain)
