"""What a sweep chose is what a loaded model of any family has, by the fingerprint of its own files."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from family_cases import FamilyCase

from dragflow.backbones.fingerprint import fingerprint
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.files.sweeps import Found, Sweep, write_sweep


def write(folder: Path, taps: tuple[str, ...] | None, sites: tuple[str, ...] | None) -> Path:
    def found(chosen: tuple[str, ...] | None) -> Found | None:
        return None if chosen is None else Found(chosen, chosen, "made up", "world:2", "default", (), {}, ())

    return write_sweep(Sweep(1, "a model", fingerprint(folder), found(taps), found(sites)))


def test_a_loaded_model_has_what_was_chosen(
    family: FamilyCase,
    folder: Path,
    backbone: PipelineBackbone,
    swept_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = backbone.spec
    tap, block = own.tap_names[0], own.blocks[-1]
    path = write(folder, (tap,), (block,))
    assert path.parent == swept_folder
    with caplog.at_level(logging.INFO, logger="dragflow"):
        swept = family.load(folder)
    assert (swept.spec.taps, swept.spec.kv_blocks, swept.spec.swept) == ((tap,), (block,), str(path))
    assert [str(path) in record.getMessage() for record in caplog.records if "taps" in record.getMessage()] == [True]
    assert swept.weights == backbone.weights
    for same in (swept.twin(), swept.renamed(backbone.weights)):
        assert (same.spec.taps, same.spec.kv_blocks) == ((tap,), (block,))
    unswept = family.load(folder, unswept=True)
    assert unswept.spec == own
    assert unswept.weights == backbone.weights
    write(folder, None, (block,))
    assert family.load(folder).spec.taps == own.taps
    write(folder, (tap,), None)
    assert family.load(folder).spec.kv_blocks == own.kv_blocks


def test_other_weights_have_their_own(
    family: FamilyCase, folder: Path, backbone: PipelineBackbone, swept_folder: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    with (other / "transformer" / "config.json").open("a") as config:
        config.write("\n")
    write(other, (backbone.spec.tap_names[0],), None)
    assert family.load(folder).spec == backbone.spec


@pytest.mark.parametrize("key", ["taps", "sites"])
def test_what_the_model_lacks_is_refused(key: str, family: FamilyCase, folder: Path, swept_folder: Path) -> None:
    path = write(folder, ("double.99.out",) if key == "taps" else None, ("double.99",) if key == "sites" else None)
    with pytest.raises(UserError, match=rf"{path.name}: {key}\.chosen: double\.99\S* is not a .* of this model"):
        family.load(folder)
    family.load(folder, unswept=True)


def test_a_damaged_file_is_refused(family: FamilyCase, folder: Path, swept_folder: Path) -> None:
    path = write(folder, ("double.0.out",), None)
    path.write_text("version = 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"{path.name}: .*fingerprint"):
        family.load(folder)


def test_an_option_that_only_chooses_is_no_part_of_the_weights(folder: Path, family: FamilyCase) -> None:
    assert family.load(folder, unswept=True).weights.options == ModelOptions(str(folder), dtype="float32")
