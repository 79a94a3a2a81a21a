"""ReD Bench of DragFlow (arXiv 2510.02253): painted regions with their tasks, and point pairs."""

from __future__ import annotations

from pathlib import Path

from dragflow.bench.data.parts import Kind, Place, check_inside, read_mask, read_truth
from dragflow.bench.data.points import RegionRule
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.files.red_bench import INSTRUCTION, RedBenchSample, load_red_bench

TRUTH, TARGET_MASK = "target_image.png", "target_mask.png"


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one sample; `rule` is not used, because regions are painted.

    Raises:
        UserError: what is wrong with it.
    """
    loaded = load_red_bench(place.folder)
    begins, targets = _points(loaded, place.folder / INSTRUCTION)
    truth, target_mask = read_target(place.folder, loaded.image.size)
    return Sample(
        id=place.id,
        category=place.category,
        image=loaded.image,
        instruction=loaded.instruction,
        begin_points=begins,
        target_points=targets,
        truth=truth,
        target_mask=target_mask,
    )


KIND = Kind("ReD Bench", INSTRUCTION, lambda files: INSTRUCTION in files, load)


def read_target(folder: Path, size: tuple[int, int]) -> tuple[Pixels | None, Mask | None]:
    """The true picture (H, W, 3) and where the object is in it (H, W); None for a file that does not exist.

    Raises:
        UserError: unreadable, of another size (h, w), or an empty mask.
    """
    truth = read_truth(folder / TRUTH, size) if (folder / TRUTH).exists() else None
    return truth, read_mask(folder / TARGET_MASK, size) if (folder / TARGET_MASK).exists() else None


def _points(loaded: RedBenchSample, path: Path) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """The annotated pairs, or the centroids of the regions where there are none."""
    begins, targets = loaded.begin_points, loaded.target_points
    if len(begins) != len(targets):
        raise UserError(f"{path}: {len(begins)} begin_points and {len(targets)} target_points: they must be pairs")
    for name, points in (("begin_points", begins), ("target_points", targets)):
        check_inside(points, loaded.image.size, f"{path}: point_operations.{name}")
    if begins:
        return begins, targets
    return tuple(begin for begin, _ in loaded.centroids), tuple(target for _, target in loaded.centroids)
