"""Jobs: frozen when they are planned, checked before a model is loaded, repeated from recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dragflow.core.config import EditConfig, InversionConfig
from dragflow.core.errors import UserError
from dragflow.core.models import FLUX1_DEV, ModelOptions, SubjectId, SubjectOptions, WeightsId
from dragflow.core.motion import Translate
from dragflow.core.result import Recipe
from dragflow.core.task import Instruction, MaskArray, MaskFile, Operation
from dragflow.files.pictures import SourceImage, from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.service.consent import unchosen
from dragflow.service.jobs import EditJob, plan, repeat

CONFIG = EditConfig()
MODEL = ModelOptions("/no/such/model")


def picture(seed: int = 0) -> SourceImage:
    return from_pixels(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def mask() -> np.ndarray:
    region = np.zeros((48, 64), dtype=np.uint8)
    region[10:20, 10:20] = 255
    return region


def planned(instruction: Instruction, config: EditConfig = CONFIG, model: ModelOptions = MODEL) -> EditJob:
    return plan(picture(), instruction, config, model)


# -- planned -----------------------------------------------------------------------------------------------------------


def test_a_mask_file_is_pixels_from_then_on(tmp_path: Path) -> None:
    Image.fromarray(mask()).save(tmp_path / "m.png")
    job = planned(Instruction(Operation(tmp_path / "m.png", Translate((40, 30)))))
    Image.fromarray(255 - mask()).save(tmp_path / "m.png")
    (tmp_path / "m.png").unlink()
    (operation,) = job.task.operations
    assert np.array_equal(operation.mask, mask() > 0)
    assert isinstance(job.instruction.operations[0].region, MaskArray)


def test_a_later_change_of_an_array_changes_nothing() -> None:
    pixels, region = picture().pixels.copy(), mask()
    job = plan(from_pixels(pixels), Instruction(Operation(region, Translate((40, 30)))), CONFIG, MODEL)
    pixels[:], region[:] = 0, 0
    assert np.array_equal(job.source.pixels, picture().pixels)
    assert job.task.operations[0].mask.sum() == 100


@pytest.mark.parametrize(
    "region",
    [mask(), mask() > 0, Image.fromarray(mask()), MaskArray(mask())],
    ids=["uint8", "bool", "PIL", "MaskArray"],
)
def test_a_mask_is_an_array_or_a_picture_or_a_path(region: object) -> None:
    job = planned(Instruction(Operation(region, Translate((40, 30)))))  # pyright: ignore[reportArgumentType]
    assert np.array_equal(job.task.operations[0].mask, mask() > 0)


def test_the_instruction_is_rasterised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    job = planned(Instruction(Operation(mask(), Translate((40, 30)))))
    monkeypatch.setattr("dragflow.service.jobs.resolve", None)
    assert job.task is job.task


@pytest.mark.parametrize(
    ("instruction", "config", "model", "words"),
    [
        (Instruction(()), CONFIG, MODEL, "no operation"),
        (Instruction(Operation(mask(), Translate((400, 30)))), CONFIG, MODEL, "outside of the picture"),
        (Instruction(Operation("no-such.png", Translate((40, 30)))), CONFIG, MODEL, r"no-such\.png"),
        (
            Instruction(Operation(mask(), Translate((40, 30)))),
            replace(CONFIG, inversion=InversionConfig(steps=4, skip=9)),
            MODEL,
            r"inversion\.skip",
        ),
        (
            Instruction(Operation(mask(), Translate((40, 30)))),
            CONFIG,
            replace(MODEL, subject=SubjectOptions("photomaker")),
            "photomaker",
        ),
    ],
)
def test_what_needs_no_model_is_refused_without_one(
    instruction: Instruction, config: EditConfig, model: ModelOptions, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        planned(instruction, config, model)


# -- repeated ----------------------------------------------------------------------------------------------------------

MADE = ModelOptions("a/b", "abc", None, "float32", "int8", lora=("style.safetensors:0.5",))


def recipe(subject: SubjectId | None = None) -> Recipe:
    asked = Instruction(Operation(mask(), Translate((40, 30))), "a cat")
    config = EditConfig(seed=7)
    return Recipe(asked, config, config.hash, WeightsId(MADE, "f" * 16), picture().sha256, {}, subject)


def test_a_recipe_gives_the_job_that_made_it() -> None:
    job = repeat(picture(), recipe(), ModelOptions(device="cpu", offload=True), trust=True)
    assert (job.config, job.instruction.prompt) == (EditConfig(seed=7), "a cat")
    assert job.model == replace(MADE, device="cpu", offload=True, fingerprint="f" * 16, unswept=True)


@pytest.mark.parametrize("parent", [None, "ab" * 32])
def test_a_job_names_the_parent_that_the_recipe_names(parent: str | None) -> None:
    """A recipe of before they were named has none, and is repeated to the same bytes."""
    source = replace(picture(), recipe_sha256="cd" * 32)
    assert repeat(source, replace(recipe(), parent=parent), trust=True).source.recipe_sha256 == parent


def test_a_model_may_have_moved_but_has_the_same_weights() -> None:
    job = repeat(picture(), recipe(), ModelOptions("/models/b", "main", lora=("/loras/style.safetensors:0.5",)))
    assert (job.model.model, job.model.revision, job.model.fingerprint) == ("/models/b", "main", "f" * 16)
    assert job.model.lora == ("/loras/style.safetensors:0.5",)


def test_an_adapter_is_the_one_of_the_recipe(tmp_path: Path) -> None:
    moved = tmp_path / "moved.bin"
    moved.write_bytes(b"")
    made = SubjectId(SubjectOptions("instantcharacter", "a.bin"), "e" * 16)
    job = repeat(picture(), recipe(made), ModelOptions(subject=SubjectOptions(weights=str(moved))), trust=True)
    assert job.model.subject == SubjectOptions("instantcharacter", str(moved), fingerprint="e" * 16)


@pytest.mark.parametrize(
    ("source", "given", "words"),
    [
        (picture(1), ModelOptions(), "not the picture"),
        (picture(), ModelOptions(dtype="bfloat16"), "`dtype` is 'bfloat16'"),
        (picture(), ModelOptions(quantize="fp8"), "`quantize` is 'fp8'"),
        (picture(), ModelOptions(quantize="gguf:other.gguf"), "`quantize` is 'gguf:other.gguf'"),
        (picture(), ModelOptions(lora=("style.safetensors",)), "`lora` is given 1 times"),
        (picture(), ModelOptions(bridge="b.safetensors"), "`bridge` is given: the result was made without it"),
        (picture(), ModelOptions(lora=("style.safetensors:0.5", "other.safetensors:0.5")), "`lora` is given 2 times"),
        (picture(), ModelOptions(subject=SubjectOptions("nano")), "made without an adapter"),
    ],
)
def test_what_would_make_another_result_is_refused(source: SourceImage, given: ModelOptions, words: str) -> None:
    with pytest.raises(UserError, match=words):
        repeat(source, recipe(), given, trust=True)


@pytest.mark.parametrize(
    ("made", "subject", "given", "asked"),
    [
        (MADE, None, ModelOptions(), ("`model` 'a/b'", "`lora` 'style.safetensors:0.5'")),
        (MADE, None, ModelOptions("a/b"), ("`lora` 'style.safetensors:0.5'",)),
        (MADE, None, ModelOptions(lora=MADE.lora), ("`model` 'a/b'",)),
        (MADE, None, ModelOptions("a/b", lora=("moved.safetensors:0.5",)), ()),
        (replace(MADE, lora=(), bridge="b"), None, ModelOptions("a/b"), ("`bridge` 'b'",)),
        (replace(MADE, lora=(), parts=("p", "q")), None, ModelOptions("a/b"), ("`parts` 'p'", "`parts` 'q'")),
        (replace(MADE, lora=(), parts=("p", "q")), None, ModelOptions("a/b", parts=("moved",)), ()),
        (replace(MADE, lora=(), parts=("p", "q")), None, ModelOptions("a/b", model_root=("moved",)), ()),
        (replace(MADE, lora=(), bridge="b"), None, ModelOptions("a/b", bridge="moved"), ()),
        (ModelOptions("nano"), None, ModelOptions(), ()),
        (ModelOptions("dummy"), SubjectOptions("nano"), ModelOptions(), ()),
        (ModelOptions("nano", quantize="int8"), None, ModelOptions(), ()),
        (ModelOptions("nano", quantize="gguf:/x.gguf"), None, ModelOptions(), ("`quantize` 'gguf:/x.gguf'",)),
        (ModelOptions("nano", quantize="gguf:/x.gguf"), None, ModelOptions(quantize="gguf:y.gguf"), ()),
        (ModelOptions("./nano"), None, ModelOptions(), ("`model` './nano'",)),
        (ModelOptions(FLUX1_DEV), None, ModelOptions(), (f"`model` '{FLUX1_DEV}'",)),
        (
            ModelOptions("nano"),
            SubjectOptions("ip-adapter", "a.bin", clip="evil/clip"),
            ModelOptions(),
            ("`subject.weights` 'a.bin'", "`subject.clip` 'evil/clip'"),
        ),
        (
            ModelOptions("nano"),
            SubjectOptions("ip-adapter", "a.bin", clip="evil/clip"),
            ModelOptions(subject=SubjectOptions(weights="b.bin")),
            ("`subject.clip` 'evil/clip'",),
        ),
    ],
)
def test_a_recipe_loads_only_what_is_built_in_or_named(
    made: ModelOptions, subject: SubjectOptions | None, given: ModelOptions, asked: tuple[str, ...]
) -> None:
    of_subject = subject and SubjectId(subject, "e" * 16)
    stranger = replace(recipe(of_subject), weights=WeightsId(made, "f" * 16))
    assert unchosen(stranger, given) == asked
    if asked:
        with pytest.raises(UserError, match="the recipe asks for") as refused:
            repeat(picture(), stranger, given)
        assert all(one in str(refused.value) for one in asked)
        assert "`trust`" in str(refused.value)
        assert len(str(refused.value)) < 600


def test_many_loras_make_no_long_sentence() -> None:
    made = replace(MADE, lora=tuple(f"{i}.safetensors" for i in range(1000)))
    with pytest.raises(UserError, match="and 996 more") as refused:
        repeat(picture(), replace(recipe(), weights=WeightsId(made, "f" * 16)))
    assert len(str(refused.value)) < 600


def test_the_model_of_the_environment_is_chosen_but_not_the_commit_of_the_recipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = replace(recipe(), weights=WeightsId(replace(MADE, lora=()), "f" * 16))
    monkeypatch.setenv("DRAGFLOW_MODEL", "a/other")
    with pytest.raises(UserError, match="`model` 'a/b'"):
        repeat(picture(), plain)
    assert repeat(picture(), plain, trust=True).model.model == "a/b"
    monkeypatch.setenv("DRAGFLOW_MODEL", "a/b")
    assert repeat(picture(), plain).model.revision is None
    assert repeat(picture(), plain, ModelOptions(revision="v1")).model.revision == "v1"
    assert repeat(picture(), plain, trust=True).model.revision == "abc"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ((), False),
        (("optimise.taps=['a.0.out']",), False),
        (("optimise.taps=['a.0.out']", "kv.sites=['a.0']"), True),
        (("optimise.taps=['a.0.out']", "kv.rule=none"), True),
        (("optimise.moving=0", "optimise.refining=0", "kv.sites=['a.0']"), True),
    ],
)
def test_a_recipe_that_does_not_name_its_taps_and_sites_meant_the_models_own(
    settings: tuple[str, ...], named: bool
) -> None:
    made = replace(recipe(), config=override(CONFIG, list(settings)))
    assert repeat(picture(), made, trust=True).model.unswept is not named


def test_a_result_of_a_pipeline_from_memory_is_repeated_there() -> None:
    made = replace(recipe(), weights=WeightsId(MADE, f"memory-{'f' * 16}"))
    with pytest.raises(UserError, match=r"Editor\.from_pipeline"):
        repeat(picture(), made, trust=True)


def test_a_job_takes_what_programs_give(tmp_path: Path) -> None:
    Image.fromarray(picture().pixels).save(tmp_path / "p.png")
    job = plan(tmp_path / "p.png", Operation(mask(), Translate((40, 30))), "fast", MODEL)
    assert np.array_equal(job.source.pixels, picture().pixels)
    assert job.config == load_preset("fast")


def test_a_region_that_is_still_a_file_is_refused_where_no_file_is_read() -> None:
    job = EditJob(picture(), Instruction(Operation(MaskFile(Path("m.png")), Translate((40, 30)))), CONFIG, MODEL)
    with pytest.raises(UserError, match="freeze the instruction first"):
        _ = job.task
