"""Broken input of every kind, many thousands of times: a result or one short sentence, and never anything else."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from dragflow.backbones.lora_files import read_lora
from dragflow.backbones.registry import footprint, load_backbone
from dragflow.core.config import EditConfig
from dragflow.core.errors import DragFlowError
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.core.motion import Affine, Rotate, Scale, Translate
from dragflow.core.result import Recipe
from dragflow.core.task import Box, Instruction, MaskArray, Operation, Polygon
from dragflow.files.encoding import encode_png
from dragflow.files.instructions import parse_instruction, to_file
from dragflow.files.masks import load_mask
from dragflow.files.pictures import as_source, load_image
from dragflow.files.presets import dump_config, load_preset, override
from dragflow.files.recipes import KEY, dump_recipe, load_recipe
from dragflow.pixels.resolve import resolve

pytestmark = pytest.mark.slow

LONGEST, SECONDS = 600, 5.0
H, W = 48, 64
PIXELS = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e38, 1e300, -1e308),
    *("", "x", "nan", "1", "\0", "\ud800", "\x1b[2J", "../../etc/passwd", "/dev/zero", "x" * 5000, "é" * 300),
    *([], {}, [[]], [0], [1, 2], [1, 2, 3], [None, None], {"": None}, {"type": "mask"}, {"type": []}, [[1, 2]] * 3),
]
ODD_BYTES = [
    *(b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"NaN", b"-Infinity", b"1e999", b"-1", b"null", b"[" * 3000),
    *(b'{"a":' * 1500, b"9" * 5000, b'"', b"'''", b"\\", b"}", b"]", b",", b"\n", b"=", b"#", b"0x" + b"f" * 5000),
    *(b"\x89PNG\r\n\x1a\n", b"IDAT", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"II*\0", b"\xff\xd8\xff\xe1", b"\x7f\xff\xff\xff"),
]


@pytest.fixture(autouse=True)
def no_program_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Fails if a program is started: by Python, or by name by a library."""

    def started(*args: object, **_: object) -> None:
        raise AssertionError(f"a program was started: {args}")

    for name in ("system", "execv", "execve", "fork", "posix_spawn", "popen"):
        monkeypatch.setattr(os, name, started)
    monkeypatch.setattr(subprocess, "Popen", started)
    (tmp_path / "bin").mkdir()
    for name in ("gs", "ffmpeg", "convert", "sh", "dcraw"):
        canary = tmp_path / "bin" / name
        canary.write_text(f"#!/bin/sh\n: > {tmp_path}/started\n")
        canary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    yield
    assert not (tmp_path / "started").exists()


def fuzz(count: int, seed: int, once: Callable[[random.Random], object]) -> None:
    """Call `once` with a generator `count` times: it ends in time, and well or with one short sentence."""
    refused = 0
    for number in range(count):
        said, began = "a good result", time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                once(random.Random(f"{seed} {number}"))
            except DragFlowError as error:
                said, refused = str(error), refused + 1
            except Exception as error:
                raise AssertionError(f"seed {seed}, mutation {number}: {type(error).__name__}: {error}") from error
        assert 10 < len(said) < LONGEST, (seed, number, said)
        assert time.process_time() - began < SECONDS, (seed, number, said)
    assert refused > count // 20


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path into plain data but the empty one."""
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in parts:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated_data(chance: random.Random, data: Any) -> Any:
    """Plain data with one to three of its values replaced, removed, added or doubled."""
    data = copy.deepcopy(data)
    for _ in range(chance.randint(1, 3)):
        known = list(places(data))
        if not known:
            return copy.deepcopy(chance.choice(ODD))
        *way, key = chance.choice(known)
        inside = data
        for part in way:
            inside = inside[part]
        what = chance.randrange(4)
        if what == 0:
            del inside[key]
        elif what == 1 and isinstance(inside, dict):
            inside[chance.choice(["", "type", "x" * 300, "to", "\x1b[2J"])] = copy.deepcopy(chance.choice(ODD))
        elif what == 2 and isinstance(inside, list):
            inside.extend(inside * min(chance.randint(1, 300), 2000 // max(1, len(inside))))
        else:
            inside[key] = copy.deepcopy(chance.choice(ODD))
    return data


def mutated_bytes(chance: random.Random, data: bytes) -> bytes:
    """Bytes with one to four places overwritten, cut, doubled or filled with something odd."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        length = chance.choice([1, 1, 1, 2, 4, 16, 200])
        rest = data[at + length :]
        what = chance.randrange(5)
        if what == 0:
            data = data[:at] + chance.randbytes(length) + rest
        elif what == 1:
            data = data[:at] + rest
        elif what == 2:
            data = data[:at] + data[at : at + length] * chance.randint(2, 50) + rest
        elif what == 3:
            data = data[:at] + chance.choice(ODD_BYTES) + data[at:]
        else:
            data = data[: max(1, at)]
    return data


def mutated_json(chance: random.Random, data: Any) -> str:
    """JSON with a mutation of its data, or of its letters."""
    if chance.random() < 0.7:
        return json.dumps(mutated_data(chance, data))
    return mutated_bytes(chance, json.dumps(data).encode()).decode("utf-8", "replace")


def instruction() -> Instruction:
    """One of everything that an instruction can hold."""
    mask = np.zeros((H, W), dtype=np.bool_)
    mask[2:8, 2:8] = True
    return Instruction(
        [
            Operation(MaskArray(mask), Translate((20, 8), "deformation"), handle=(5, 5)),
            Operation(Box(10, 20, 16, 26), Rotate((30, 30), degrees=20)),
            Operation(Polygon(((40, 30), (50, 30), (50, 40))), Scale((45, 35), (1.2, 0.8))),
            Operation(Box(30, 2, 36, 8), Affine(((1, 0, 6), (0, 1, 3)))),
            Operation(Box(52, 2, 56, 8), Rotate((40, 12), to=(50, 16))),
        ],
        "a ball",
        "it rolls",
        Box(0, 0, 60, 45),
        "extend",
    )


def test_instructions() -> None:
    good = to_file(instruction())
    old = {"operations": [{"region": {"box": [10, 20, 16, 26]}, "motion": {"type": "translate", "to": [20, 8]}}]}
    resolve(PIXELS, parse_instruction(json.dumps(good), "good"))

    def once(chance: random.Random) -> None:
        text = mutated_json(chance, good if chance.random() < 0.8 else old)
        resolve(PIXELS, parse_instruction(text, "t.json", Path("/nowhere")))

    fuzz(6000, 1, once)


def test_presets(tmp_path: Path) -> None:
    good = Path("src/dragflow/files/presets/default.toml")
    text = (Path(__file__).parents[2] / good).read_bytes()
    path = tmp_path / "p.toml"

    def once(chance: random.Random) -> None:
        path.write_bytes(mutated_bytes(chance, text))
        load_preset(path)

    fuzz(3000, 2, once)


def test_settings() -> None:
    data = json.loads(dump_config(EditConfig()))
    keys = [".".join(path) for path in places(data)]

    def once(chance: random.Random) -> None:
        key = chance.choice([*keys, "", "a.b", "__class__", "hash", "x" * 400])
        value = chance.choice(
            [json.dumps(chance.choice(ODD)), chance.choice(ODD_BYTES).decode("latin-1"), str(chance.uniform(-1e9, 1e9))]
        )
        text = (
            f"{key}={value}"
            if chance.random() < 0.8
            else mutated_bytes(chance, f"{key}={value}".encode()).decode("latin-1")
        )
        override(EditConfig(), [text])

    fuzz(4000, 3, once)


def test_recipes(tmp_path: Path) -> None:
    weights = WeightsId(ModelOptions(model="nano", lora=("a:0.5",)), "0" * 16)
    recipe = Recipe(instruction(), EditConfig(), EditConfig().hash, weights, "0" * 64, {"python": "3.11"})
    data, path = json.loads(dump_recipe(recipe)), tmp_path / "r.png"

    def once(chance: random.Random) -> None:
        info = PngImagePlugin.PngInfo()
        info.add_itxt(KEY, mutated_json(chance, data), zip=chance.random() < 0.5)
        buffer = io.BytesIO()
        Image.new("RGB", (16, 16)).save(buffer, "PNG", pnginfo=info)
        path.write_bytes(buffer.getvalue() if chance.random() < 0.8 else mutated_bytes(chance, buffer.getvalue()))
        load_recipe(path)

    fuzz(2500, 4, once)


def encoded(mode: str, kind: str) -> bytes:
    """A small picture with a bright square, in a mode and a format."""
    buffer = io.BytesIO()
    image = Image.fromarray(PIXELS).convert(mode)
    image.paste(Image.new(mode, (W, H)), (0, 0))
    image.paste(Image.new(mode, (20, 16), "white" if mode not in ("I;16", "I", "F", "LAB") else None), (8, 8))
    image.save(buffer, kind)
    return buffer.getvalue()


FILES = [
    *(("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("I;16", "PNG"), ("RGB", "JPEG")),
    *(("L", "TIFF"), ("RGB", "TIFF"), ("LAB", "TIFF"), ("F", "TIFF"), ("CMYK", "TIFF"), ("RGB", "WEBP"), ("L", "BMP")),
    *(("P", "GIF"), ("L", "PPM"), ("RGB", "PPM")),
]


def test_masks(tmp_path: Path) -> None:
    files, path = [encoded(*kind) for kind in FILES], tmp_path / "m.png"

    def once(chance: random.Random) -> None:
        path.write_bytes(mutated_bytes(chance, chance.choice(files)))
        load_mask(path)

    fuzz(3000, 5, once)


def test_pictures(tmp_path: Path) -> None:
    files, path = [encoded(*kind) for kind in FILES], tmp_path / "p.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", exif=exif)
    files.append(buffer.getvalue())
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", exif=exif, icc_profile=b"x" * 200)
    files.append(buffer.getvalue())

    def once(chance: random.Random) -> None:
        path.write_bytes(mutated_bytes(chance, chance.choice(files)))
        source = load_image(path)
        encode_png(source, source.pixels)

    fuzz(3000, 6, once)


def test_headers_of_safetensors(tmp_path: Path) -> None:
    shapes = {"a.lora_A.weight": [4, 8], "a.lora_B.weight": [8, 4], "b.alpha": [1]}
    header, end = dict[str, Any](__metadata__={"format": "pt"}), 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    path = tmp_path / "l.safetensors"

    def once(chance: random.Random) -> None:
        text = mutated_json(chance, header).encode("utf-8", "replace")
        data = len(text).to_bytes(8, "little") + text + bytes(end)
        path.write_bytes(data if chance.random() < 0.7 else mutated_bytes(chance, data))
        read_lora(path)

    fuzz(2000, 9, once)


@pytest.fixture(scope="module")
def model(dummy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of its own, loaded once: what libraries do at their first import does not count."""
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    shutil.copytree(dummy_folder, folder)
    load_backbone(ModelOptions(str(folder), device="cpu"))
    return folder


def test_configurations_of_models(model: Path) -> None:
    files = {path: path.read_bytes() for path in sorted(model.rglob("*.json")) if path.stat().st_size < 20_000}

    def once(chance: random.Random) -> None:
        path = chance.choice([*files, model / "transformer" / "config.json"])
        path.write_bytes(mutated_json(chance, json.loads(files[path])).encode("utf-8", "replace"))
        options = ModelOptions(str(model), device="cpu")
        try:
            footprint(options)
            load_backbone(options)
        finally:
            path.write_bytes(files[path])

    fuzz(150, 10, once)


def test_commands(run: Any, tmp_path: Path) -> None:
    picture, task, preset = tmp_path / "p.png", tmp_path / "t.json", tmp_path / "s.toml"
    Image.fromarray(PIXELS).save(picture)
    good, text = to_file(instruction()), f"[area]\nmargin = {asdict(EditConfig())['area']['margin']}\n".encode()

    def once(chance: random.Random) -> None:
        task.write_text(json.dumps(good), encoding="utf-8")
        preset.write_bytes(text)
        what = chance.randrange(4)
        if what == 0:
            task.write_bytes(mutated_json(chance, good).encode("utf-8", "replace"))
            args = ["task", "show", str(task), str(picture)]
        elif what == 1:
            preset.write_bytes(mutated_bytes(chance, text))
            args = [
                "preview",
                str(picture),
                "--task",
                str(task),
                "--preset",
                str(preset),
                "-o",
                str(tmp_path / "o.png"),
            ]
        elif what == 2:
            numbers = ",".join(chance.choice(["1", "-1", "nan", "1e308", "x", "", "9" * 400, "20"]) for _ in range(4))
            option = chance.choice(
                ["--box", "--polygon", "--to", "--about", "--scale", "--degrees", "--matrix", "--at"]
            )
            args = [
                "task",
                "new",
                str(picture),
                "--box",
                "8,8,20,20",
                "--to",
                "30,30",
                option,
                numbers,
                "-o",
                str(task),
            ]
        else:
            odd = chance.choice(ODD)
            args = ["presets", odd if isinstance(odd, str) else json.dumps(odd)]
        said = run(*args)
        (tmp_path / "o.png").unlink(missing_ok=True)
        if said.code:
            assert said.code == 2, (args, said)
            assert said.err.startswith("error: "), said.err
            assert said.err.count("\n") == 1
            raise DragFlowError(said.err)

    fuzz(400, 7, once)


def test_arrays() -> None:
    def once(chance: random.Random) -> None:
        shape = tuple(chance.choice([0, 1, 2, 3, 4, 16, 20]) for _ in range(chance.randint(0, 4)))
        kind = chance.choice(["u1", "i4", "f8", "f2", "c8", "?", "U3", "O", "M8[s]"])
        array = np.zeros(shape, kind)
        source = as_source(array)
        resolve(source.pixels, Instruction(Operation(array[..., 0], Translate((3, 3)))))

    fuzz(1000, 8, once)
