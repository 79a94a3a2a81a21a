"""Instructions, recipes and projects of every release are read, and mean what they meant."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from dragflow import Project, load_instruction, load_recipe
from dragflow.files.pictures import load_image
from dragflow.service.jobs import repeat

HERE = Path(__file__).parent
RELEASES = sorted(path.parent for path in HERE.glob("*/expected.json"))


def keep() -> Any:
    spec = spec_from_file_location("keep", HERE / "keep.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_what_a_release_wrote_is_read(release: Path) -> None:
    kept, expected = keep(), json.loads((release / "expected.json").read_text())
    source = load_image(release / "source.png")
    assert {path.name for path in release.iterdir()} == {*expected, "source.png", "expected.json"}
    for name, meant in expected.items():
        if name.endswith(".dragflow"):
            assert plain(kept.project_meaning(Project.load(release / name))) == meant, name
            continue
        if name.endswith(".json"):
            assert plain(kept.meaning(load_instruction(release / name))) == meant, name
            continue
        recipe = load_recipe(release / name)
        assert plain(kept.recipe_meaning(recipe)) == meant, name
        if recipe.parent is None:
            assert repeat(source, recipe).model.fingerprint == recipe.weights.fingerprint


def test_the_first_release_is_kept() -> None:
    assert "0.1.0" in [path.name for path in RELEASES]
