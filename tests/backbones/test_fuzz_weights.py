"""Headers and configurations with thousands of faults: a model, or one short sentence within seconds."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from dragflow.backbones.lora import attach_loras
from dragflow.backbones.registry import footprint
from dragflow.backbones.tensors import read_entries, reason
from dragflow.core.errors import DragFlowError
from dragflow.core.models import ModelOptions
from small_flux import TIME, latent, load

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


LAYERS = (
    *(
        "transformer.transformer_blocks.0.attn.to_k",
        "lora_unet_double_blocks_1_img_attn_proj",
        "single_blocks.0.linear1",
    ),
    *("lora_te1_text_model_encoder_layers_0_mlp_fc1", "lora_unet_double_blocks_99_img_mlp_0", "lora_unet_strange"),
)
WHOLE = (("lora_down.weight", "lora_up.weight"), ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), ("diff",))
FITTING = {"lora_down.weight": (2, 64), "hada_w1_b": (2, 64), "hada_w2_b": (2, 64), "diff": (64, 64), "alpha": ()}
ENDS = (*FITTING, "dora_scale", "diff_b", "lokr_w1", "lokr_w1_a", "lokr_w2", "lokr_w2_b", "lora_B.bias")


def test_any_shapes_of_a_lora(dummy_folder: Path, tmp_path: Path) -> None:
    model, draw, file = load(dummy_folder), random.Random(1), tmp_path / "a.safetensors"
    said: set[str] = set()

    def attach() -> None:
        with attach_loras(model, [str(file)]) as on:
            on.velocity(latent(), TIME, on.condition("", guidance=1.0))

    def shape(end: str) -> tuple[int, ...]:
        if draw.random() < 0.9:
            return FITTING.get(end, (64, 2))
        return tuple(draw.choice((64, 2, 1, 0, 192)) for _ in range(draw.choice((0, 1, 2, 4))))

    for _ in range(150):
        tensors = {
            f"{layer}.{end}": torch.zeros(shape(end))
            for layer in draw.sample(LAYERS, draw.choice((1, 1, 2)))
            for end in {*draw.choice(WHOLE), *draw.sample(ENDS, draw.choice((0, 0, 1)))}
        }
        save_file(tensors, file)
        said.add(outcome(attach).replace(str(file), "")[:20])
    assert "" in said
    assert len(said) >= 4
    assert not getattr(model.transformer, "peft_config", None)
