"""Headers and configurations with thousands of faults: a model, or one short sentence within seconds."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from dragflow.backbones.registry import footprint
from dragflow.backbones.tensors import read_entries, reason
from dragflow.core.errors import DragFlowError
from dragflow.core.models import ModelOptions
from small_flux import load

pytestmark = pytest.mark.slow

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 10**9, 2**63, 10**30, 0.5, 1e308, float("nan"), float("-inf")),
    *("", "x", "1", "\x1b[2J", "x" * 5000, [], {}, [[]], [0], [1] * 500, ["a"], {"a": {"b": [1]}}),
]
FILES = (
    *(f"{part}/config.json" for part in ("transformer", "vae", "text_encoder", "text_encoder_2")),
    *("scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json", "tokenizer_2/tokenizer_config.json"),
)


def outcome(call: Any) -> str:
    begun = time.process_time()
    try:
        call()
        said = ""
    except DragFlowError as error:
        said = str(error)
    assert time.process_time() - begun < 5
    assert len(said) < 600
    assert "\x1b" not in said
    return said


@pytest.mark.parametrize("file", FILES)
def test_any_value_of_any_setting(file: str, dummy_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dummy_folder, tmp_path / "model"))
    whole: dict[str, Any] = json.loads((folder / file).read_text())
    draw = random.Random(file)
    for _ in range(25):
        (folder / file).write_text(json.dumps(whole | {draw.choice([*whole, "more"]): draw.choice(ODD)}))
        outcome(lambda: footprint(ModelOptions.of(folder)))
        outcome(lambda: load(folder))


def test_any_fault_in_a_header(dummy_folder: Path, tmp_path: Path) -> None:
    whole = (dummy_folder / "text_encoder" / "model.safetensors").read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    draw, file = random.Random(0), tmp_path / "a.safetensors"
    reasons: list[str] = []
    for _ in range(5000):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 8))):
            data[draw.randrange(length)] = draw.randrange(256)
        file.write_bytes(data[: draw.choice((len(data), len(data), draw.randrange(len(data))))])
        try:
            read_entries([file])
        except (SafetensorError, ValueError) as error:
            reasons.append(reason(error))
    assert len(reasons) > 2500
    assert max(map(len, reasons)) <= 200
