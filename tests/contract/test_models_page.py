"""The table of `docs/models.md`: every class of a pipeline has its row, with what its small model says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from family_cases import CASES, VARIANTS, FamilyCase
from file_cases import FILES

from dragflow.backbones.family import FAMILIES, Family
from dragflow.backbones.pipeline import PipelineBackbone

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").partition("## What works with which model")[2]
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")]
ROWS = {row[0].strip("`"): row for row in TABLE if row[0].startswith("`") and row[0].endswith("Pipeline`")}


def test_every_class_has_its_row_and_a_small_model() -> None:
    assert set(ROWS) == set(FAMILIES.own) == {case.layout.pipeline for case in (*CASES, *VARIANTS)}


def test_the_classes_that_are_read_from_files_are_those_that_are_tested() -> None:
    told = {name for name, row in ROWS.items() if row[8] == "yes"}
    assert told == {case.case.layout.pipeline for case in FILES.values()}


def test_a_row_says_what_the_model_says(family: FamilyCase, backbone: PipelineBackbone) -> None:
    row, spec = ROWS[family.layout.pipeline], backbone.spec
    assert row[5] == (str(spec.references) if spec.references else "-")
    assert spec.guidance in row[6]
    declared: Family = FAMILIES.load(family.layout.pipeline)
    assert f"`{declared.preset}`" in row[7]
    assert f"`{spec.preset}`" in row[7]
    assert (row[9] == "-") == (spec.subject_heads is None)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w/.:]+)`", TEXT))))
def test_every_test_that_is_named_is_there(named: str) -> None:
    file, _, test = named.partition("::")
    assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8")
