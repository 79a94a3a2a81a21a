"""Opening a data set by name or folder, and checking all of its samples."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from dragflow.bench.data.folders import open_folder
from dragflow.bench.data.points import DEFAULT_RULE, RegionRule
from dragflow.bench.data.world import World
from dragflow.bench.sample import DataSet, Problem
from dragflow.core.errors import UserError
from dragflow.world.cases import STILL_KINDS

_WORLDS = {"world": None, **{f"world-{kind}": kind for kind in STILL_KINDS}}
"""Names of the built-in scenes, and of what drag each has: None for drags of all kinds."""
_MOST_SCENES = 100_000


@dataclass(frozen=True)
class Checked:
    """What a data set contains, and what is wrong with it."""

    name: str
    loaded: int
    """Samples without a problem."""
    categories: dict[str, int]
    """How many of those each category has."""
    truths: int
    """How many have a true picture."""
    inferred: int
    """How many have regions that were inferred from points."""
    problems: tuple[Problem, ...]

    def text(self) -> str:
        """For people, on several lines."""
        lines = [
            f"{self.name}: {self.loaded + len(self.problems)} samples, {len(self.problems)} with a problem",
            f"true picture: {self.truths}, regions inferred from points: {self.inferred}",
            *(f"  {name or '(no category)'}: {count}" for name, count in self.categories.items()),
            *(f"problem in {problem.sample}: {problem.text}" for problem in self.problems),
        ]
        return "\n".join(lines)


PAINTED = "painted"
"""What the header of a run has for a rule where no region is inferred."""


def rule_name(spec: str, regions: RegionRule | None) -> str:
    """What the header of a run has for the rule that `open_data` follows."""
    return PAINTED if _is_world(spec) else regions or DEFAULT_RULE


def rule_named(spec: str, name: str) -> RegionRule | None:
    """The rule in the header of a run; None for the default, which what this version does not know counts as."""
    known = () if _is_world(spec) else get_args(RegionRule)
    return next((rule for rule in known if rule == name), None)


def open_data(spec: str, regions: RegionRule | None = None) -> DataSet:
    """The data set that a folder holds, or `world:COUNT` (`world:COUNT@FIRST`) of the built-in scenes.

    `world-copy:` and `world-remove:` have copies and removals in such scenes.

    Args:
        spec: the folder, or the built-in scenes.
        regions: the rule by which samples that have points only get regions; None for the default.

    Raises:
        UserError: the folder does not exist or holds no sample, the count is malformed, or the rule has no use.
    """
    if _is_world(spec):
        if regions is not None:
            raise UserError(f"`regions` is {regions!r}: the regions of {spec} are painted, leave it out")
        return _world(spec)
    if not spec:
        raise UserError("no data set is named: give a folder, or world:COUNT of the built-in scenes")
    return open_folder(Path(spec), regions or DEFAULT_RULE)


def check(data: DataSet) -> Checked:
    """Load every sample once; a broken one is reported and does not stop the others."""
    categories: Counter[str] = Counter()
    truths = inferred = 0
    problems: list[Problem] = []
    for name in data.ids:
        try:
            sample = data.load(name)
            sample.task  # noqa: B018  # checks the instruction against the picture
        except UserError as error:
            problems.append(Problem(name, str(error)))
            continue
        categories[sample.category] += 1
        truths += sample.truth is not None
        inferred += bool(sample.inferred)
    return Checked(data.name, categories.total(), dict(categories), truths, inferred, tuple(problems))


def _is_world(spec: str) -> bool:
    return spec.partition(":")[0] in _WORLDS and ":" in spec


def _world(spec: str) -> World:
    name, _, scenes = spec.partition(":")
    given = re.fullmatch(r"([0-9]{1,9})(?:@([0-9]{1,9}))?", scenes)
    if given is None:
        raise UserError(
            f"{spec!r} is not understood: write world:COUNT or world:COUNT@FIRST in whole numbers, as in world:50@1000"
        )
    count, first = int(given[1]), int(given[2] or 0)
    if not 1 <= count <= _MOST_SCENES:
        raise UserError(f"{spec!r} asks for {count} scenes: the count must be 1 to {_MOST_SCENES}")
    return World(first, count, _WORLDS[name])
