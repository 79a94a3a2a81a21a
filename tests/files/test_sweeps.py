"""The file of a sweep: what is written is read, and what somebody spoiled is told by file, key and rule."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from dragflow.core.errors import UserError
from dragflow.files.sweeps import Found, Row, Sweep, any_sweeps, dump_sweep, read_sweep, sweep_path, write_sweep

ROWS = (
    Row("own", 3, 1, 12.5, 15.25, 14.0, 13.0, 100.0),
    Row("a.0.out", 2, 2, 0.0, 16.0, 15.0, 14.0, 100.0, (-12.5, -20.0, 0.25), (0.75, -0.1, 1.5)),
    Row("broken", 0, 4),
)
FOUND = Found(
    chosen=("a.0.out",),
    own=("b.1.norm", 'quoted "name"'),
    reason="a.0.out gains: back\\slash, umläut, \x7f and\ttab",
    data="world:4@5000",
    preset="default",
    settings=('kv.sites=["a.0"]',),
    versions={"python": "3.11", "opencv-python-headless": "5"},
    rows=ROWS,
    confirmed=ROWS[:2],
)
SWEEP = Sweep(1, "folder/model", "0123456789abcdef", FOUND, replace(FOUND, settings=(), confirmed=()))


def test_what_is_written_is_read(swept_folder: Path) -> None:
    assert not any_sweeps()
    assert read_sweep(SWEEP.fingerprint) is None
    for sweep in (SWEEP, replace(SWEEP, taps=None), replace(SWEEP, sites=None)):
        assert write_sweep(sweep) == swept_folder / "0123456789abcdef.toml"
        assert read_sweep(SWEEP.fingerprint) == sweep
    assert any_sweeps()
    assert read_sweep("another") is None


def test_it_is_plain_toml() -> None:
    data = tomllib.loads(dump_sweep(SWEEP))
    assert data["taps"]["chosen"] == ["a.0.out"]
    assert data["taps"]["rows"][1]["area_gain"] == [0.75, -0.1, 1.5]
    assert [row["name"] for row in data["sites"]["rows"]] == ["own", "a.0.out", "broken"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('chosen = ["a.0.out"]', "chosen = []", "taps.chosen: "),
        ('chosen = ["a.0.out"]', "chosen = 3", "taps.chosen: "),
        ('chosen = ["a.0.out"]', 'chosen = ["a.0.out"]\nchosem = 1', "taps.chosem is not a known key"),
        ("scenes = 3", 'scenes = "three"', "taps.rows.0.scenes"),
        ("version = 1", "version = 2", "version: "),
        ('fingerprint = "0123456789abcdef"', 'fingerprint = "0"', "fingerprint: input should be that of its name"),
        ('model = "folder/model"', "model = ", "is not TOML"),
    ],
)
def test_a_damaged_one_is_told_by_file_key_and_rule(before: str, after: str, words: str, swept_folder: Path) -> None:
    path = write_sweep(SWEEP)
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        read_sweep(SWEEP.fingerprint)
    told = str(refused.value)
    assert words in told
    assert "0123456789abcdef.toml" in told
    assert "delete 0123456789abcdef.toml and sweep the model again" in told
    assert sweep_path(SWEEP.fingerprint) == path
