"""The recipe of a result in the picture's own metadata, and the sidecar with what the run cost."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dragflow.core.errors import UserError
from dragflow.core.result import EditResult, Provenance, Recipe
from dragflow.io import schema
from dragflow.io.files import write_text
from dragflow.io.images import SourceImage, open_checked, save_png

KEY = "dragflow"
"""Keyword of the PNG text chunk."""
VERSION = 1


def dump_recipe(recipe: Recipe) -> str:
    """The JSON of a recipe."""
    return json.dumps({"version": VERSION, **_plain(recipe)}, ensure_ascii=False)


def load_recipe(path: Path | str) -> Recipe:
    """The recipe that a result carries.

    Raises:
        UserError: no readable picture, no recipe in it, or one of a version that this dragflow does not know.
    """
    path = Path(path)
    image = open_checked(path)
    text = getattr(image, "text", {}).get(KEY)
    if text is None:
        raise UserError(f"{path} carries no recipe: it was not made by dragflow, or its metadata were stripped")
    data = schema.load_json(text, f"recipe of {path}")
    if not isinstance(data, dict) or data.pop("version", None) != VERSION:
        raise UserError(f"recipe of {path} is not of version {VERSION}: use the dragflow that made it")
    data["instruction"] = json.dumps(data.get("instruction"))
    return schema.parse(TypeAdapter(Recipe), data, f"recipe of {path}")


def save_result(path: Path, source: SourceImage, result: EditResult) -> None:
    """Write a result as PNG with its recipe; the same recipe gives the same bytes."""
    save_png(path, source, result.image, {KEY: dump_recipe(result.provenance.recipe)})


def save_sidecar(path: Path, provenance: Provenance) -> None:
    """Write the recipe, timings, peak memory and what asking for the intent cost as JSON."""
    data = {
        "version": VERSION,
        **_plain(provenance.recipe),
        "timings": [asdict(timing) for timing in provenance.timings],
        "seconds": round(sum(timing.seconds for timing in provenance.timings), 3),
        "peak_memory_mib": provenance.peak_memory_mib,
        "intent": None if provenance.intent is None else asdict(provenance.intent),
    }
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _plain(recipe: Recipe) -> dict[str, Any]:
    return asdict(recipe) | {"instruction": json.loads(recipe.instruction)}
