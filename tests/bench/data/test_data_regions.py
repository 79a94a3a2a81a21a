"""RegionDrag's dense pairs: regions and motions that are known beforehand come back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import data_makers as make
from data_makers import SIZE
from dragflow.bench.data.registry import open_data
from dragflow.bench.sample import Sample
from dragflow.core.errors import UserError
from dragflow.core.motion import Affine, Rotate, Translate
from dragflow.pixels.masks import centroid


def load(folder: Path) -> Sample:
    return open_data(str(folder)).load(folder.name)


def pulled(matrix: np.ndarray, region: np.ndarray, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Every target pixel (or each `step`-th) with the source pixel it comes from, as the data set's tool pairs them."""
    moved = cv2.warpAffine(region.astype(np.uint8), matrix, SIZE[::-1], flags=cv2.INTER_NEAREST)
    ys, xs = np.nonzero(moved[::step, ::step])
    targets = np.stack([xs, ys], axis=1) * step
    back = cv2.invertAffineTransform(matrix)
    begins = targets @ back[:, :2].T + back[:, 2] + 1e-6
    return np.clip((begins / step).astype(int) * step, 0, np.array(SIZE[::-1]) - 1), targets


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


ELLIPSE = cv2.ellipse(np.zeros(SIZE, np.uint8), (30, 30), (14, 9), 0, 0, 360, 1, -1) > 0


def test_a_moved_region_comes_back_to_the_pixel(tmp_path: Path) -> None:
    begins, targets = pulled(np.array([[1.0, 0, 20], [0, 1, 5]]), ELLIPSE)
    folder = make.regiondrag(tmp_path / "sample", begins, targets)
    sample = load(folder)
    assert open_data(str(folder)).name == "DragBench-DR/SR"
    (operation,) = sample.task.operations
    assert overlap(operation.mask, ELLIPSE) > 0.98
    x, y = centroid(ELLIPSE)
    assert operation.handle == pytest.approx((x, y))
    assert isinstance(operation.motion, Translate)
    assert operation.motion.to == pytest.approx((x + 20, y + 5))
    assert sample.begin_points[0] == pytest.approx((x, y))
    assert sample.target_points[0] == pytest.approx((x + 20, y + 5))
    assert sample.inferred == f"translation from {len(begins)} dense pairs"


@pytest.mark.parametrize(("factor", "least"), [(0.35, 0.75), (1.0, 0.9), (2.4, 0.9)])
def test_gaps_of_shrunk_and_repeats_of_grown_regions_do_not_matter(tmp_path: Path, factor: float, least: float) -> None:
    begins, targets = pulled(cv2.getRotationMatrix2D((36, 30), -40, factor), ELLIPSE)
    (operation,) = load(make.regiondrag(tmp_path / "sample", begins, targets)).task.operations
    assert overlap(operation.mask, ELLIPSE) > least
    if factor == 1:
        assert isinstance(operation.motion, Rotate)
        assert operation.motion.about == pytest.approx((36, 30), abs=1)
        assert operation.motion.degrees == pytest.approx(40, abs=1)
    else:
        assert isinstance(operation.motion, Affine)
        linear = np.array(operation.motion.matrix)[:, :2]
        assert np.sqrt(np.linalg.det(linear)) == pytest.approx(factor, rel=0.05)


def test_a_coarse_grid_of_pairs_is_one_region(tmp_path: Path) -> None:
    begins, targets = pulled(np.array([[1.0, 0, 20], [0, 1, 8]]), ELLIPSE, step=4)
    (operation,) = load(make.regiondrag(tmp_path / "sample", begins, targets)).task.operations
    assert overlap(operation.mask, ELLIPSE) > 0.6


def test_two_regions_have_two_motions_and_a_still_one_has_none(tmp_path: Path) -> None:
    first, second, still = (np.zeros(SIZE, np.bool_) for _ in range(3))
    first[5:20, 5:20], second[35:55, 10:30], still[5:15, 65:75] = True, True, True
    pairs = [
        pulled(np.array([[1.0, 0, 25], [0, 1, 0]]), first),
        pulled(np.array([[1.0, 0, 0], [0, 1, -10]]), second),
        pulled(np.array([[1.0, 0, 0], [0, 1, 0]]), still),
    ]
    begins, targets = (np.concatenate(each) for each in zip(*pairs, strict=True))
    sample = load(make.regiondrag(tmp_path / "sample", begins, targets))
    ours, theirs = sample.task.operations
    assert overlap(ours.mask, first) == 1
    assert overlap(theirs.mask, second) == 1
    assert isinstance(ours.motion, Translate)
    assert isinstance(theirs.motion, Translate)
    assert sample.begin_points == ((12, 12), (19.5, 44.5))
    assert sample.inferred.startswith("translation, translation from")
    folder = make.regiondrag(tmp_path / "still", *pairs[2])
    with pytest.raises(UserError, match="no region moves"):
        load(folder)


def test_annotated_points_come_from_the_other_meta_file(tmp_path: Path) -> None:
    folder = make.regiondrag(tmp_path / "sample", *pulled(np.array([[1.0, 0, 20], [0, 1, 5]]), ELLIPSE))
    points = make.dragbench(tmp_path / "other") / "meta_data.pkl"
    (folder / "meta_data.pkl").write_bytes(points.read_bytes())
    sample = load(folder)
    assert (sample.begin_points, sample.target_points) == (((20, 30),), ((40, 30),))
    assert isinstance(sample.task.operations[0].motion, Translate)
    (folder / "meta_data.pkl").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"meta_data\.pkl is damaged"):
        load(folder)


def test_what_no_motion_explains_is_moved_by_what_comes_nearest(tmp_path: Path) -> None:
    begins, targets = pulled(np.array([[1.0, 0, 20], [0, 1, 5]]), ELLIPSE)
    mirrored = np.stack([70 - begins[:, 0], begins[:, 1]], axis=1)
    sample = load(make.regiondrag(tmp_path / "mirrored", begins, mirrored))
    (operation,) = sample.task.operations
    assert isinstance(operation.motion, Translate)
    x, y = centroid(ELLIPSE)
    assert operation.motion.to == pytest.approx((70 - x, y))
    bent = np.stack([targets[:, 0], targets[:, 1] + np.abs(targets[:, 0] - 50) * 0.8], axis=1).astype(int)
    sample = load(make.regiondrag(tmp_path / "bent", begins, bent))
    assert isinstance(sample.task.operations[0].motion, Affine)


def test_regions_at_the_border_reach_it(tmp_path: Path) -> None:
    region = np.zeros(SIZE, np.bool_)
    region[:12, :20] = True
    begins, targets = pulled(np.array([[1.0, 0, 30], [0, 1, 20]]), region)
    (operation,) = load(make.regiondrag(tmp_path / "sample", begins, targets)).task.operations
    assert overlap(operation.mask, region) == 1


def test_one_dense_pair_is_enough(tmp_path: Path) -> None:
    sample = load(make.regiondrag(tmp_path / "sample", np.array([[20, 30]]), np.array([[40, 30]])))
    assert sample.task.operations[0].mask.sum() == 1


def test_dense_points_outside_are_refused(tmp_path: Path) -> None:
    folder = make.regiondrag(tmp_path / "sample", np.array([[20, 30]]), np.array([[80, 30]]))
    with pytest.raises(UserError, match=r"meta_data_region\.pkl: points\.1"):
        load(folder)
