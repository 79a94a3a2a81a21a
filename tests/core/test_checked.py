"""Every value that a program gives: another type or a number out of range is refused in a sentence as it is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dragflow
from dragflow.core.config import AreaConfig, DenoiseConfig, InversionConfig, KVConfig, OptimiseConfig, SizeConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.core.motion import Affine, Rotate, Scale, Translate
from dragflow.core.task import Box, Instruction, MaskArray, MaskFile, MaskImage, Operation, Polygon
from dragflow.intent.options import ProviderOptions
from dragflow.lora.config import LoraConfig
from dragflow.service import GuessOptions

BOX, MOVE = Box(1, 2, 3, 4), Translate((5, 6))
ROW = (1.0, 0.0, 0.0)

WRONG: list[object] = [
    None,
    "",
    "foo",
    "x" * 100_000,
    b"foo",
    -1,
    -1.5,
    10**30,
    10**5000,
    1e308,
    math.nan,
    math.inf,
    True,
    [],
    (),
    {},
    {"a": 1},
    (1, 2, 3),
    ("a", "b"),
    (math.nan, 1),
    np.zeros((2, 2, 2), complex),
    np.array("text"),
    object(),
    print,
    Path(),
]
GOOD: dict[str, tuple[Callable[[Any], object], tuple[object, ...]]] = {
    "Translate.to": (Translate, ((1, 2), [1, 2], np.array([1, 2]), (np.float32(1), np.int64(2)))),
    "Translate.label": (lambda v: Translate((1, 2), v), (None, "relocation", "deformation")),
    "Rotate.about": (lambda v: Rotate(v, degrees=3), ((1, 2),)),
    "Rotate.degrees": (lambda v: Rotate((1, 2), degrees=v), (None, 30, np.float32(30), -1, -1.5)),
    "Scale.factor": (lambda v: Scale((1, 2), v), (2, np.float64(2), (1, 2), [1, 2])),
    "Affine.matrix": (Affine, ((ROW, ROW), np.eye(2, 3), [[1, 0, 0], [0, 1, 0]])),
    "Box.left": (lambda v: Box(v, 1, 2, 3), (1, 1.5, np.int32(4), -1, -1.5)),
    "Polygon.points": (Polygon, (((1, 2), (3, 4), (5, 6)), np.ones((5, 2)), [[1, 2]] * 3)),
    "MaskFile.at": (lambda v: MaskFile(Path("m.png"), v), (None, (1, 2))),
    "MaskFile.path": (MaskFile, ("m.png", Path("m.png"), "", "foo", "x" * 100_000, Path())),
    "MaskImage.image": (MaskImage, (Image.new("L", (4, 4)),)),
    "MaskArray.array": (MaskArray, (np.zeros((4, 4)), np.zeros((4, 4), np.bool_), np.zeros((2, 9), np.uint16))),
    "Operation.region": (
        lambda v: Operation(v, MOVE),
        (BOX, "m.png", Path("m.png"), np.zeros((4, 4)), "", "foo", "x" * 100_000, Path()),
    ),
    "Operation.motion": (lambda v: Operation(BOX, v), (MOVE,)),
    "Operation.handle": (lambda v: Operation(BOX, MOVE, v), (None, (1, 2), np.array([1.5, 2]))),
    "Instruction.operations": (Instruction, (Operation(BOX, MOVE), [Operation(BOX, MOVE)], [], ())),
    "Instruction.prompt": (lambda v: Instruction([], v), ("", "foo", "a ball")),
    "Instruction.editable": (
        lambda v: Instruction([], editable=v),
        (None, BOX, "m.png", "", "foo", "x" * 100_000, Path()),
    ),
    "Instruction.editable_mode": (lambda v: Instruction([], editable_mode=v), ("extend",)),
    "EditConfig.seed": (lambda v: dragflow.EditConfig(seed=v), (3, np.int64(3), 10**15)),
    "EditConfig.optimise": (lambda v: dragflow.EditConfig(optimise=v), (OptimiseConfig(),)),
    "EditConfig.with_": (lambda v: dragflow.EditConfig().with_(optimise=v), (OptimiseConfig(), {"moving": 3}, {})),
    "SizeConfig.max_pixels": (SizeConfig, (10_000, np.int64(10_000))),
    "InversionConfig.steps": (InversionConfig, (7, np.int16(7))),
    "DenoiseConfig.guidance": (DenoiseConfig, (3, np.float32(3.5), -1, -1.5)),
    "DenoiseConfig.background": (lambda v: DenoiseConfig(background=v), ("replay",)),
    "OptimiseConfig.refining_rate": (lambda v: OptimiseConfig(refining_rate=v), (3, np.float32(3.5))),
    "OptimiseConfig.taps": (lambda v: OptimiseConfig(taps=v), (None, ["double.1"], ("a", "b"), (), [])),
    "KVConfig.sites": (lambda v: KVConfig(sites=v), (None, (), [], ("a", "b"))),
    "AreaConfig.margin": (AreaConfig, (0, np.int64(9))),
    "AreaConfig.feather": (lambda v: AreaConfig(feather=v), (0, 8.5, np.float16(3))),
    "AreaConfig.composite": (lambda v: AreaConfig(composite=v), (True, np.True_)),
    "ModelOptions.model": (ModelOptions, (None, "nano", "foo")),
    "ModelOptions.of": (ModelOptions.of, (None, "nano", Path("folder"), ModelOptions(), "foo", Path())),
    "ModelOptions.quantize": (lambda v: ModelOptions.of(quantize=v), (None, "int8", "gguf:m.gguf")),
    "ModelOptions.dtype": (lambda v: ModelOptions.of(dtype=v), (None, "float32")),
    "ModelOptions.offload": (lambda v: ModelOptions.of(offload=v), (True, False)),
    "ModelOptions.device": (lambda v: ModelOptions.of(device=v), (None, "cpu", "foo")),
    "ModelOptions.lora": (
        lambda v: ModelOptions.of(lora=v),
        ("m.safetensors", ["a", "b"], Path("m"), (), [], ("a", "b"), "foo", Path()),
    ),
    "ModelOptions.subject": (
        lambda v: ModelOptions.of(subject=v),
        (None, "nano", SubjectOptions(adapter="nano"), "foo"),
    ),
    "SubjectOptions.adapter": (SubjectOptions, (None, "nano", "foo")),
    "ProviderOptions.timeout": (lambda v: ProviderOptions(timeout=v), (None, 3, 3.5)),
    "ProviderOptions.retries": (lambda v: ProviderOptions(retries=v), (0, 10)),
    "ProviderOptions.base_url": (lambda v: ProviderOptions(base_url=v), (None, "http://localhost", "foo")),
    "GuessOptions.candidates": (lambda v: GuessOptions(candidates=v), (1, 20)),
    "LoraConfig.rank": (LoraConfig, (1, np.int64(8))),
    "LoraConfig.alpha": (lambda v: LoraConfig(alpha=v), (None, 3, 3.5)),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_a_field_takes(name: str) -> None:
    make, good = GOOD[name]
    for value in good:
        make(value)


@pytest.mark.parametrize("name", GOOD)
def test_what_a_field_refuses(name: str) -> None:
    make, good = GOOD[name]
    for value in WRONG:
        if any(type(value) is type(other) and value == other for other in good if not isinstance(other, np.ndarray)):
            continue
        with pytest.raises(UserError) as error:
            make(value)
        assert 10 < len(str(error.value)) < 600


def test_numbers_of_numpy_become_numbers_of_python() -> None:
    to: Any = np.array([1, 2], dtype=np.float32)
    sides: Any = np.arange(4)
    margin: Any = np.int64(3)
    made = Translate(to), Box(*sides), AreaConfig(margin, sides[2])
    assert made == (Translate((1.0, 2.0)), Box(0.0, 1.0, 2.0, 3.0), AreaConfig(3, 2.0))
    assert {type(value) for value in made[0].to} == {float}
    assert type(made[2].margin) is int
    hash(made)


def test_the_sentence_names_the_field_and_the_value() -> None:
    with pytest.raises(UserError, match=r"^Translate\.to: .*tuple"):
        Translate((1, 2, 3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=r"^optimise\.moving_rate: .*greater than 0 \(given 0.0\)$"):
        OptimiseConfig(moving_rate=0.0)
    with pytest.raises(UserError, match=r"^`model` is empty, .* give a value"):
        ModelOptions("")
    with pytest.raises(UserError, match=r"^seed: .* \(given a number of about 1500 digits\)$"):
        dragflow.EditConfig(seed=10**1500)


def test_every_problem_is_named_up_to_five() -> None:
    with pytest.raises(UserError) as error:
        OptimiseConfig("a", "b", "c", "d", "e", "f", "g")  # pyright: ignore[reportArgumentType]
    assert str(error.value).count("optimise.") == 5
    assert str(error.value).endswith("and 2 more problems")


def test_an_instruction_has_a_hundred_operations_at_most() -> None:
    operation = Operation(BOX, MOVE)
    assert len(Instruction([operation] * 100).operations) == 100
    with pytest.raises(UserError, match="101 operations are given"):
        Instruction([operation] * 101)


def test_a_sentence_is_short_whatever_it_quotes() -> None:
    path = "/folder" * 100
    error = UserError(f"preset file {path} does not exist: check the path")
    assert str(error).startswith("preset file /folder/folder")
    assert str(error).endswith("/folder does not exist: check the path")
    assert len(str(error)) < 300
    assert len(str(UserError("word " * 1000))) < 600
