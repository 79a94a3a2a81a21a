"""The library as a person uses it: open a picture once, edit it often, cancel at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from dragflow import (
    Affine,
    Box,
    Cancelled,
    EditConfig,
    Editor,
    EditResult,
    Event,
    Finished,
    Instruction,
    MaskArray,
    NumericalError,
    Operation,
    Polygon,
    Rotate,
    Scale,
    Session,
    Started,
    Stepped,
    Translate,
    UserError,
    load_preset,
)
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.registry import load_backbone
from dragflow.core.config import InversionConfig
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Motion
from dragflow.editor.editor import edit
from dragflow.editor.frames import composite, working_size
from dragflow.files.pictures import SourceImage
from dragflow.files.presets import override, preset_names
from dragflow.pixels.resolve import resolve

Picture = NDArray[np.uint8]
SHORT = {
    "paper": ["optimise.moving=2", "optimise.refining=1"],
    "default": ["optimise.refining=2"],
    "fast": ["optimise.refining=2"],
    "paste": [],
    "point": ["optimise.moving=2"],
    "regiondrag": [],
    "text": [],
    "bridge": [],
    "instant": ["size.max_pixels=6144"],
    "turbo": [],
    "fill": ["inversion.steps=4"],
    "reference": ["size.max_pixels=6144", "optimise.refining=2"],
}
QUICK = [
    "inversion.steps=4",
    "inversion.skip=1",
    "kv.rule=mapped",
    "start.mode=warp",
    "start.fill=inpaint",
    "start.stride=2",
    "denoise.background=replay",
]
MOVE = Instruction((Operation(Box(20, 20, 44, 44), Translate((60, 40))),), prompt="a cat", edit_prompt="moved right")


@pytest.fixture(scope="module")
def editor(dummy_folder: Path) -> Editor:
    return Editor.load(dummy_folder, device="cpu")


@pytest.fixture(scope="module")
def edit_model(kontext_folder: Path) -> Editor:
    return Editor.load(kontext_folder, device="cpu")


@pytest.fixture(scope="module")
def filling(fill_folder: Path) -> Editor:
    return Editor.load(fill_folder, device="cpu")


@pytest.fixture(scope="module")
def bridged(dummy_folder: Path, dummy_bridge: Path) -> Editor:
    return Editor.load(dummy_folder, device="cpu", bridge=dummy_bridge)


@pytest.fixture
def able(preset: str, editor: Editor, edit_model: Editor, filling: Editor, bridged: Editor) -> Editor:
    """One whose model can do what a preset asks for."""
    config = load_preset(preset)
    if preset == "fill":
        return filling
    return edit_model if config.references else bridged if config.start.mode == "bridge" else editor


def picture(h: int = 75, w: int = 100, channels: int = 3) -> Picture:
    return np.random.default_rng(h * w).integers(0, 256, (h, w, channels), dtype=np.uint8)


def config_of(preset: str = "default", *settings: str) -> EditConfig:
    return override(load_preset(preset), [*SHORT[preset], *settings])


@pytest.fixture(scope="module")
def session(editor: Editor) -> Session:
    return editor.open(picture(), "a cat", config=config_of("default", *QUICK))


def hooks(editor: Editor) -> int:
    assert isinstance(editor.backbone, Flux1)
    return sum(len(module._forward_hooks) for module in editor.backbone._transformer.modules())


@contextmanager
def calls(editor: Editor) -> Iterator[list[int]]:
    """How many full and truncated model calls are made, counted at the transformer's embedder and its last layer."""
    assert isinstance(editor.backbone, Flux1)
    transformer = editor.backbone._transformer
    counts = [0, 0]

    def count(i: int) -> Callable[..., None]:
        def hook(*_: object) -> None:
            counts[i] += 1

        return hook

    handles = [
        module.register_forward_hook(count(i))
        for i, module in enumerate((transformer.x_embedder, transformer.proj_out))
    ]
    yield counts
    for handle in handles:
        handle.remove()


def unchanged_outside(result: EditResult, source: Picture) -> bool:
    return bool((result.pixels == source[..., :3])[~result.area].all())


# -- what an edit gives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 96), (75, 100)])
@pytest.mark.parametrize("preset", preset_names())
def test_outside_of_the_area_every_byte_is_the_sources(preset: str, size: tuple[int, int], able: Editor) -> None:
    source = picture(*size)
    config = config_of(preset)
    result = able.open(source, config=config).edit(MOVE, config)
    assert result.pixels.shape == source.shape
    assert result.pixels.dtype == np.uint8
    assert 0 < result.area.mean() < 1
    assert unchanged_outside(result, source)
    assert (result.pixels != source)[result.area].any()
    assert len(result.losses) == config.optimise.moving + config.optimise.refining


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_the_same_edit_gives_the_same_bytes(preset: str, editor: Editor) -> None:
    config = config_of(preset, *QUICK, "start.repair=0.5")
    first, second = (editor.open(picture(), config=config).edit(MOVE, config) for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert first.losses == second.losses
    assert first.provenance.recipe == second.provenance.recipe


def test_editing_twice_in_one_session_gives_the_same_bytes(session: Session) -> None:
    config = config_of("default", *QUICK)
    first, between, second = (
        session.edit(MOVE, config),
        session.edit(MOVE, replace(config, seed=5)),
        session.edit(MOVE, config),
    )
    assert np.array_equal(first.pixels, second.pixels)
    assert between.provenance.recipe.config.seed == 5


def test_the_seed_decides_the_fresh_noise(session: Session) -> None:
    config = config_of("default", *QUICK, "start.fill=noise")
    first, other = session.edit(MOVE, config), session.edit(MOVE, replace(config, seed=1))
    assert not np.array_equal(first.pixels, other.pixels)


MOTIONS: list[Motion] = [
    Translate((60, 40)),
    Translate((60, 40), "deformation"),
    Rotate((32, 50), degrees=30),
    Rotate((32, 60), to=(50, 40)),
    Scale((32, 32), 1.5),
    Scale((32, 44), (0.5, 1.25)),
    Affine(((0.8, -0.2, 20), (0.2, 0.8, 5))),
]


@pytest.mark.parametrize("rule", ["in-place", "mapped", "none"])
@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: type(motion).__name__)
def test_every_motion_runs_under_every_kv_rule(motion: Motion, rule: str, session: Session) -> None:
    config = config_of("default", *QUICK, f"kv.rule={rule}")
    result = session.edit(Instruction((Operation(Box(20, 20, 44, 44), motion),)), config)
    assert unchanged_outside(result, session.source.pixels)
    assert all(np.isfinite(result.losses))


def test_what_stretches_around_a_part_counts_if_it_is_asked_for_and_around_an_object_never(session: Session) -> None:
    losses: dict[tuple[str, bool], tuple[float, ...]] = {}
    for label in ("deformation", "relocation"):
        for stretch in (True, False):
            config = config_of("default", *QUICK, "optimise.refining=1", f"optimise.stretch={stretch}".lower())
            moved = Operation(Box(20, 20, 44, 44), Translate((60, 40), label))
            losses[label, stretch] = session.edit(moved, config).losses
    assert losses["deformation", True] != losses["deformation", False]
    assert losses["relocation", True] == losses["relocation", False]


@pytest.mark.parametrize("start", ["source", "warp", "preview"])
@pytest.mark.parametrize("background", ["replay", "resample", "none"])
def test_every_start_runs_with_every_background(start: str, background: str, session: Session) -> None:
    active = "all" if background == "none" else "area"
    asked = (f"start.mode={start}", f"denoise.background={background}", f"tokens.active={active}")
    config = config_of("default", *QUICK, *asked)
    assert unchanged_outside(session.edit(MOVE, config), session.source.pixels)


def test_two_operations_happen_at_once(session: Session) -> None:
    both = Instruction(
        (
            Operation(Polygon(((5, 5), (25, 5), (15, 25))), Translate((30, 20))),
            Operation(Box(70, 50, 84, 64), Rotate((77, 40), degrees=20)),
        )
    )
    result = session.edit(both, config_of("default", *QUICK))
    assert unchanged_outside(result, session.source.pixels)
    for part in (np.s_[5:25, 5:30], np.s_[50:64, 66:84]):
        assert (result.pixels[part] != session.source.pixels[part]).any()


def test_alpha_layout_and_profile_stay_with_the_source(editor: Editor) -> None:
    source = picture(64, 80, 4)
    session = editor.open(source, config=config_of("default", *QUICK))
    result = session.edit(MOVE, config_of("default", *QUICK))
    assert result.pixels.shape == (64, 80, 3)
    assert session.source.alpha is not None
    assert np.array_equal(session.source.alpha, source[..., 3])


def test_a_person_can_give_the_area(session: Session) -> None:
    asked = replace(MOVE, editable=Box(10, 10, 70, 60))
    result = session.edit(asked, config_of("default", *QUICK))
    assert result.area.sum() == 61 * 51
    assert unchanged_outside(result, session.source.pixels)


def test_accepting_a_result_goes_on_from_it(session: Session) -> None:
    config = config_of("default", *QUICK)
    first = session.edit(MOVE, config)
    following = session.accept(first)
    assert np.array_equal(following.source.pixels, first.pixels)
    assert following.prompt == "a cat"
    second = following.edit(Instruction((Operation(Box(50, 30, 74, 54), Translate((40, 40))),)), config)
    assert unchanged_outside(second, first.pixels)
    assert second.provenance.recipe.source_sha256 != first.provenance.recipe.source_sha256


def test_the_composite_keeps_the_sources_bytes_and_can_be_left_out() -> None:
    source = picture(32, 32)
    task = resolve(
        source, Instruction((Operation(Box(8, 8, 11, 11), Translate((20, 9.5))),), editable=Box(2, 2, 29, 29))
    )
    white = torch.ones(1, 3, 16, 16)
    config = EditConfig()
    kept = composite(task, white, config, source)
    assert np.array_equal(kept[~task.area], source[~task.area])
    assert (kept[15:17, 15:17] >= source[15:17, 15:17]).all()
    bare = composite(task, white, override(config, ["area.composite=false"]), source)
    assert (bare == 255).all()
    hard = composite(task, white, override(config, ["area.feather=0.0"]), source)
    assert (hard[task.area] == 255).all()


def test_the_feather_leaves_no_rim_of_what_was_taken_away() -> None:
    source = picture(32, 32)
    task = resolve(source, Instruction((Operation(Box(4, 8, 9, 13), Translate((20, 10.5))),)))
    assert task.area[8:14, 4].all()  # the region touches the rim of its own rectangle
    result = composite(task, torch.ones(1, 3, 32, 32), EditConfig(), source)
    (operation,) = task.operations
    assert (result[operation.mask] == 255).all()


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        ((75, 100), 1 << 20, (64, 96)),
        ((512, 512), 1 << 20, (512, 512)),
        ((2048, 1024), 1 << 19, (1024, 512)),
        ((20, 4000), 1 << 14, (16, 1808)),
    ],
)
def test_the_working_size_is_a_multiple_and_within_the_limit(
    size: tuple[int, int], limit: int, expected: tuple[int, int]
) -> None:
    assert working_size(size, limit, 16) == expected


def test_one_call_loads_opens_and_edits(dummy_folder: Path) -> None:
    config = config_of("paste", *QUICK)
    result = edit(picture(), MOVE, model=dummy_folder, config=config, device="cpu")
    assert unchanged_outside(result, picture())
    recipe = result.provenance.recipe
    sites = load_backbone(ModelOptions(str(dummy_folder))).spec.kv_blocks
    assert recipe.config == config.with_(size={"window": "whole"}, kv={"sites": sites})
    assert recipe.config_hash == recipe.config.hash
    assert recipe.weights.options.model == str(dummy_folder)


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_nineteen_intervals_cost_twenty_calls(editor: Editor) -> None:
    with calls(editor) as counts:
        editor.open(picture(), config="paper")
    assert counts == [20, 20]


@pytest.mark.parametrize(("background", "full"), [("replay", 20), ("none", 20), ("resample", 40)])
def test_the_replayed_background_costs_nothing(background: str, full: int, editor: Editor) -> None:
    config = config_of("paper", f"denoise.background={background}")
    session = editor.open(picture(), config=config)
    with calls(editor) as counts:
        result = session.edit(replace(MOVE, prompt=""), config)
    truncated = 1 + 3  # the reference, and every iteration
    assert counts == [full + truncated, full]
    said = {(timing.phase, timing.calls) for timing in result.provenance.timings}
    assert said >= {("drag", 3), ("denoise", full), ("decode", 1)}


def test_a_coarse_start_takes_every_second_interval(editor: Editor) -> None:
    grid = ("inversion.steps=25", "inversion.skip=6", "start.stride=2")
    config = config_of("paste", *grid, "start.mode=preview", "denoise.background=replay")
    session = editor.open(picture(), config=config)
    with calls(editor) as counts:
        session.edit(replace(MOVE, prompt=""), config)
    assert counts == [11 + 20, 11 + 20]  # 19 intervals in steps of two are 10 steps, and 11 calls


def test_a_second_edit_does_not_invert_again(editor: Editor) -> None:
    config = config_of("default", *QUICK)
    events: list[Event] = []
    session = editor.open(picture(), "a cat", config=config, observer=events.append)
    assert {event.phase for event in events} == {"encode", "invert"}
    for asked in (MOVE, replace(MOVE, edit_prompt="something else")):
        events.clear()
        session.edit(asked, config, events.append)
        assert {event.phase for event in events} == {"start", "drag", "denoise", "decode"}
    session.edit(replace(MOVE, prompt="a dog"), config, events.append)
    assert "invert" in {event.phase for event in events}


def test_only_a_different_inversion_inverts_again(session: Session) -> None:
    for settings, again in ((["seed=3"], False), (["optimise.refining=1"], False), (["inversion.steps=5"], True)):
        events: list[Event] = []
        session.edit(MOVE, override(config_of("default", *QUICK), settings), events.append)
        assert ("invert" in {event.phase for event in events}) == again


# -- events and cancelling ---------------------------------------------------------------------------------------------


def test_events_come_in_order_and_count_every_step(editor: Editor) -> None:
    config = config_of("paper", "inversion.steps=4", "inversion.skip=1")
    events: list[Event] = []
    editor.open(picture(), config=config, observer=events.append).edit(replace(MOVE, prompt=""), config, events.append)
    by_phase: dict[str, list[Event]] = {}
    for event in events:
        by_phase.setdefault(event.phase, []).append(event)
    assert list(by_phase) == ["encode", "invert", "drag", "denoise", "decode"]
    for of_phase in by_phase.values():
        assert isinstance(of_phase[0], Started)
        assert isinstance(of_phase[-1], Finished)
    for phase in by_phase:
        begun, *steps, _ = by_phase[phase]
        assert isinstance(begun, Started)
        indices = [step.index for step in steps if isinstance(step, Stepped)]
        assert indices == list(range(1, begun.total + 1))
    drag = [event for event in by_phase["drag"] if isinstance(event, Stepped)]
    assert [event.progress for event in drag] == [0.5, 1.0, 1.0]
    assert all(event.loss is not None and event.loss >= 0 for event in drag)


@pytest.mark.parametrize("phase", ["invert", "start", "drag", "denoise"])
def test_a_preview_can_be_had_at_any_step(phase: str, editor: Editor) -> None:
    config = config_of("default", *QUICK)
    pictures: list[Picture] = []

    def look(event: Event) -> None:
        if isinstance(event, Stepped) and event.phase == phase and event.preview is not None:
            pictures.append(event.preview())

    editor.open(picture(), config=config, observer=look).edit(MOVE, config, look)
    assert pictures
    for seen in pictures:
        assert seen.shape == (64, 96, 3)
        assert seen.dtype == np.uint8


def test_looking_changes_nothing(editor: Editor) -> None:
    config = config_of("default", *QUICK)

    def look(event: Event) -> None:
        if isinstance(event, Stepped) and event.preview is not None:
            event.preview()

    seen = editor.open(picture(), config=config, observer=look).edit(MOVE, config, look)
    unseen = editor.open(picture(), config=config).edit(MOVE, config)
    assert np.array_equal(seen.pixels, unseen.pixels)


def cancel_at(phase: str, index: int) -> Callable[[Event], None]:
    def observer(event: Event) -> None:
        if event.phase == phase and (isinstance(event, Stepped) and event.index == index):
            raise Cancelled

    return observer


@pytest.mark.parametrize(
    ("phase", "index"),
    [("start", 1), ("start", 2), ("drag", 1), ("drag", 2), ("denoise", 1), ("denoise", 3), ("decode", 1)],
)
def test_a_session_goes_on_after_a_cancelled_edit(phase: str, index: int, editor: Editor, session: Session) -> None:
    config = config_of("default", *QUICK)
    expected = session.edit(MOVE, config)
    with calls(editor) as counts:
        with pytest.raises(Cancelled):
            session.edit(MOVE, config, cancel_at(phase, index))
        stopped = counts[0]
    counted = {"start": 0, "drag": 3 + 1, "denoise": 3 + 1 + 2, "decode": 3 + 1 + 2 + 4}[phase]
    assert stopped == counted + (0 if phase == "decode" else index)  # not one model call more
    assert hooks(editor) == 0
    assert np.array_equal(session.edit(MOVE, config).pixels, expected.pixels)


@pytest.mark.parametrize(("phase", "index"), [("encode", 1), ("invert", 1), ("invert", 3)])
def test_opening_can_be_cancelled(phase: str, index: int, editor: Editor) -> None:
    config = config_of("default", *QUICK)
    with calls(editor) as counts:
        with pytest.raises(Cancelled):
            editor.open(picture(), config=config, observer=cancel_at(phase, index))
        assert counts[0] == (0 if phase == "encode" else index)
    assert hooks(editor) == 0
    assert editor.open(picture(), config=config).edit(MOVE, config).pixels.shape == (75, 100, 3)


def test_a_cancelled_inversion_in_an_edit_is_made_again(editor: Editor) -> None:
    config = config_of("default", *QUICK)
    session = editor.open(picture(), "one prompt", config=config)
    with pytest.raises(Cancelled):
        session.edit(MOVE, config, cancel_at("invert", 2))
    phases = Counter[str]()
    session.edit(MOVE, config, lambda event: phases.update([event.phase] if isinstance(event, Started) else []))
    assert phases == {"encode": 1, "invert": 1, "start": 1, "drag": 1, "denoise": 1, "decode": 1}


def test_any_other_exception_of_an_observer_passes_through(session: Session, editor: Editor) -> None:
    def observer(event: Event) -> None:
        if event.phase == "drag":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.edit(MOVE, config_of("default", *QUICK), observer)
    assert hooks(editor) == 0


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (EditConfig(inversion=InversionConfig(steps=3, skip=5)), "inversion.skip"),
        (EditConfig(inversion=InversionConfig(steps=4, skip=4)), "inversion.skip"),
    ],
)
def test_a_configuration_made_in_python_is_checked_too(config: EditConfig, word: str, session: Session) -> None:
    with pytest.raises(UserError, match=word):
        session.edit(MOVE, config)


@pytest.mark.parametrize(
    ("setting", "word"),
    [("kv.sites=['double.99']", "double.99"), ("optimise.taps=['double.99.out']", "double.99.out")],
)
def test_names_that_the_model_does_not_have_are_refused(setting: str, word: str, session: Session) -> None:
    with pytest.raises(UserError, match=word):
        session.edit(MOVE, config_of("default", *QUICK, setting))


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (np.zeros((64, 64), np.uint8), r"\(64, 64\)"),
        (np.zeros((64, 64, 3), np.float32), "float32"),
        (np.zeros((8, 64, 3), np.uint8), "64 x 8"),
        (np.zeros((64, 64, 2), np.uint8), r"\(64, 64, 2\)"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(source: Picture, word: str, editor: Editor) -> None:
    with pytest.raises(UserError, match=word):
        editor.open(source)


def test_an_unknown_preset_is_refused(editor: Editor) -> None:
    with pytest.raises(UserError, match="superfast"):
        editor.open(picture(), config="superfast")


def test_a_mask_of_another_size_is_refused_before_any_model_call(session: Session, editor: Editor) -> None:
    asked = Instruction((Operation(MaskArray(np.eye(20, dtype=np.bool_)), Translate((60, 40))),))
    with calls(editor) as counts, pytest.raises(UserError, match="20 x 20"):
        session.edit(asked, config_of("default", *QUICK))
    assert counts == [0, 0]


@pytest.mark.parametrize(("part", "word"), [("transformer_blocks", "invert|iteration"), ("proj_out", "step 1 of 4")])
def test_nan_in_the_model_is_named_with_its_step(part: str, word: str, dummy_folder: Path) -> None:
    editor = Editor.load(dummy_folder, device="cpu")
    assert isinstance(editor.backbone, Flux1)
    with torch.no_grad():
        next(getattr(editor.backbone._transformer, part).parameters()).fill_(float("nan"))
    with pytest.raises(NumericalError, match=word):
        editor.open(picture(), config=config_of("default", *QUICK))


def test_a_rate_that_blows_up_is_named_with_its_iteration(session: Session) -> None:
    config = config_of("paper", *QUICK, "optimise.moving=5", "optimise.taps=['double.0.out']")
    object.__setattr__(config.optimise, "moving_rate", 1e38)  # no configuration has it by other ways
    with pytest.raises(NumericalError, match=r"iteration \d of 6|step"):
        session.edit(MOVE, config)


def test_a_source_image_is_taken_as_it_is(editor: Editor) -> None:
    source = SourceImage(picture(), orientation=6)
    assert editor.open(source, config=config_of("default", *QUICK)).source is source


def test_a_task_of_another_picture_is_refused(session: Session) -> None:
    other = resolve(255 - session.source.pixels, MOVE)
    with pytest.raises(UserError, match="another picture"):
        session.edit(other, config_of("paste", *QUICK))


# -- what programs give ------------------------------------------------------------------------------------------------


def test_operations_are_taken_one_by_one_or_together(session: Session) -> None:
    config = config_of("paste", *QUICK)
    (operation,) = MOVE.operations
    expected = session.edit(Instruction(operation), config).pixels
    for given in (operation, [operation], (operation,)):
        assert np.array_equal(session.edit(given, config).pixels, expected)


@pytest.mark.parametrize("given", [None, 3, "no-such.json", {"operations": []}])
def test_what_is_not_an_instruction_is_refused(given: Any, session: Session) -> None:
    with pytest.raises(UserError, match="is not an instruction"):
        session.edit(given)


def test_what_is_not_a_picture_or_a_configuration_is_refused(editor: Editor) -> None:
    with pytest.raises(UserError, match="a NoneType is not a picture"):
        editor.open(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="a dict is not a configuration"):
        editor.open(picture(), config={"seed": 1})  # pyright: ignore[reportArgumentType]


def test_a_result_is_not_saved_onto_its_mask(session: Session, tmp_path: Path) -> None:
    mask = np.zeros(session.source.size, dtype=np.uint8)
    mask[20:40, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    result = session.edit(Operation(tmp_path / "m.png", Translate((60, 40))), config_of("paste", *QUICK))
    with pytest.raises(UserError, match="itself an input"):
        result.save(tmp_path / "m.png")
