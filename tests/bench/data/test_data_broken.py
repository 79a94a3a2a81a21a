"""Every file of every format deleted, cut short and garbled: a problem that is listed, and never another exception."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import data_makers as makers
from dragflow.bench.data.registry import check, open_data
from dragflow.bench.data.world import case_of
from dragflow.world import export_cases

Damage = Callable[[bytes, random.Random], bytes]

_TOKENS = (
    b"1e999",
    b"-1",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"1e308",
    b"9" * 400,
    b"true",
    b"\xff\xfe",
    b"0.0001",
)


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def flip(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, mostly near the beginning, where headers are."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 4, 32))):
        changed[chance.randrange(min(len(data), chance.choice((40, 300, len(data)))))] = chance.randrange(256)
    return bytes(changed)


def repeat(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start : start + chance.choice((1, 8, 60))] * chance.choice((2, 9)) + data[start:]


def replace_token(data: bytes, chance: random.Random) -> bytes:
    """Another number or word in place of one; in a file that has none, all of it."""
    places = list(re.finditer(rb'-?[0-9][0-9.]*|"[^"]*"', data))
    if not places:
        return chance.choice(_TOKENS)
    place = chance.choice(places)
    return data[: place.start()] + chance.choice(_TOKENS) + data[place.end() :]


def nest(data: bytes, chance: random.Random) -> bytes:
    return chance.choice((b"[", b'{"a":', b"(")) * 100_000


DAMAGES: tuple[Damage, ...] = (cut, flip, repeat, replace_token, nest)


@pytest.fixture
def every_format(tmp_path: Path) -> Path:
    """One sample of every format."""
    begins = np.array([(x, y) for x in range(10, 30) for y in range(10, 30)])
    makers.regiondrag(tmp_path / "data" / "regiondrag", begins, begins + np.array([15, 5]))
    for make in (makers.drag100, makers.vfd, makers.dragbench, makers.sdedrag, makers.redbench):
        make(tmp_path / "data" / make.__name__)
    export_cases([case_of(0)], tmp_path / "data" / "world")
    return tmp_path / "data"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")


def problems(folder: Path) -> Iterator[str]:
    """The sentences about a data set, each checked to name a place in it and to be short."""
    for problem in check(open_data(str(folder))).problems:
        assert problem.sample.rpartition("/")[2] in problem.text
        assert len(problem.text) < 600
        yield problem.text


@pytest.mark.slow
def test_a_file_that_is_gone_is_named(every_format: Path) -> None:
    samples, count = len(open_data(str(every_format)).ids), 0
    for path in files(every_format):
        hidden = path.rename(path.with_name(f".{path.name}"))
        told = list(problems(every_format))
        assert len(open_data(str(every_format)).ids) in (samples, samples - 1)  # a sample is known by one of its files
        assert all(path.name in text for text in told)
        count += len(told)
        hidden.rename(path)
    assert count >= 15
    assert not list(problems(every_format))


def damaged(folder: Path, rounds: int) -> int:
    """Damage every file in turn, in every way; gives how many times that was a problem."""
    chance = random.Random(0)
    count = 0
    for path in files(folder):
        whole = path.read_bytes()
        for damage in DAMAGES * rounds:
            path.write_bytes(damage(whole, chance))
            count += len(list(problems(path.parent)))
        path.write_bytes(whole)
    return count


@pytest.mark.slow
def test_a_file_that_is_damaged_is_a_problem_or_still_a_sample(every_format: Path) -> None:
    assert damaged(every_format, 2) > 100
    assert not list(problems(every_format))


@pytest.mark.slow
def test_a_real_file_that_is_damaged_is_a_problem_or_still_a_sample(samples_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(samples_dir, tmp_path / "samples")
    assert damaged(folder, 6) > 500


@pytest.mark.parametrize("content", [b"[" + b"[1,2]," * 100_000 + b"[1,2]]", b"1" * 10**6])
def test_what_is_very_long_is_a_short_sentence(content: bytes, tmp_path: Path) -> None:
    folder = makers.drag100(tmp_path / "data" / "a")
    (folder / "points.json").write_bytes(b'{"points": ' + content + b"}")
    assert len(list(problems(folder))) == 1
