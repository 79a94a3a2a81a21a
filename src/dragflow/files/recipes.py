"""The recipe of a result in the picture's own metadata, and the sidecar with what the run cost."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import TypeAdapter

from dragflow.core.arrays import DeepPixels, Pixels
from dragflow.core.checked import as_path
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import SubjectId, WeightsId
from dragflow.core.motion import Remove
from dragflow.core.result import Provenance, Recipe
from dragflow.core.task import Instruction
from dragflow.files import schema
from dragflow.files.embedded import KEY, text_in
from dragflow.files.encoding import encode
from dragflow.files.instructions import InstructionFile, from_file, to_file
from dragflow.files.pictures import SourceImage, open_bytes, open_checked, upright

VERSION = 2


class RecipeFile(schema.Strict):
    """A recipe as JSON."""

    version: Literal[2]
    instruction: InstructionFile
    config: EditConfig
    config_hash: str
    weights: WeightsId
    source_sha256: str
    versions: dict[str, str]
    subject: SubjectId | None = None
    parent: schema.Sha256 | None = None


def dump_recipe(recipe: Recipe) -> str:
    """The JSON of a recipe."""
    return json.dumps(_plain(recipe), ensure_ascii=False)


def load_recipe(path: Path | str) -> Recipe:
    """The recipe in a result's metadata.

    Raises:
        UserError: not a readable picture, without a recipe, or with one of a version that this dragflow does not know.
    """
    path = as_path(path)
    return _recipe(open_checked(path, deep=True), str(path))


def decode_recipe(data: bytes, name: str) -> tuple[Recipe, tuple[int, int]]:
    """The recipe in the bytes of a result, and the size (h, w) of that, upright.

    Args:
        data: of the file.
        name: which picture it is, for errors.

    Raises:
        UserError: as `load_recipe`.
    """
    image = open_bytes(data, name)
    w, h = upright(image, name).size
    return _recipe(image, f"picture {name}"), (h, w)


def _recipe(image: Image.Image, source: str) -> Recipe:
    text = text_in(image, KEY)
    if text is None:
        raise UserError(f"{source} has no recipe: it was not made by dragflow, or its metadata were stripped")
    name = f"recipe of {source}"
    data = schema.load_json(text, name)
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise UserError(f"{name} is not of version {VERSION}: use the dragflow that made it")
    _sized(data)
    parsed = schema.parse(TypeAdapter(RecipeFile), data, name)
    fields = {key: value for key, value in parsed if key not in ("version", "instruction")}
    return Recipe(instruction=_settled(from_file(parsed.instruction, name, None, settled=True)), **fields)


def _sized(data: dict[str, Any]) -> None:
    """A recipe holds what the model saw; where that is missing it was made when that was always the whole picture."""
    config: Any = data.get("config")
    if isinstance(config, dict) and isinstance(config.setdefault("size", {}), dict):
        config["size"].setdefault("window", "whole")


def _settled(instruction: Instruction) -> Instruction:
    """A recipe holds what was guessed; one without it was made when all were relocations, cut out as painted."""
    operations = [
        replace(
            op,
            motion=op.motion
            if isinstance(op.motion, Remove)
            else replace(op.motion, label=op.motion.label or "relocation"),
            cut=op.cut or "hard",
            behind=False if op.behind is None else op.behind,
        )
        for op in instruction.operations
    ]
    return replace(instruction, operations=tuple(operations))


def encode_result(
    source: SourceImage, pixels: Pixels, recipe: Recipe, *, deep: DeepPixels | None = None, kind: str = "PNG"
) -> bytes:
    """A result (H, W, 3) as a file with its recipe; the same recipe gives the same bytes. See `encode`."""
    return encode(kind, source, pixels, {KEY: dump_recipe(recipe)}, deep)


def dump_sidecar(provenance: Provenance) -> str:
    """The recipe, timings, peak memory and the cost of asking for the intent as JSON."""
    data = _plain(provenance.recipe) | {
        "timings": [asdict(timing) for timing in provenance.timings],
        "seconds": round(sum(timing.seconds for timing in provenance.timings), 3),
        "peak_memory_mib": provenance.peak_memory_mib,
        "intent": None if provenance.intent is None else asdict(provenance.intent),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _plain(recipe: Recipe) -> dict[str, Any]:
    data: dict[str, Any] = {
        "version": VERSION,
        "instruction": to_file(recipe.instruction),
        "config": asdict(recipe.config),
        "config_hash": recipe.config_hash,
        "weights": asdict(recipe.weights),
        "source_sha256": recipe.source_sha256,
        "versions": recipe.versions,
        "subject": None if recipe.subject is None else asdict(recipe.subject),
    }
    return data if recipe.parent is None else data | {"parent": recipe.parent}
