"""Every metric by its key: which direction is better, how it is written, where it is defined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric, and how to read it."""

    key: str
    """As in score files and table heads."""
    better: Literal["up", "down"]
    digits: int
    unit: str
    source: str
    """What it is, and where it is defined."""


CATALOGUE: tuple[Metric, ...] = (
    Metric("IF_bg", "up", 3, "", "1 - LPIPS of source to edit, both masked out inside the area (DragFlow App. E)"),
    Metric("IF_s2t", "up", 3, "", "1 - LPIPS of the source region, moved, to the edit there (DragFlow App. E)"),
    Metric("IF_s2s", "down", 3, "", "1 - LPIPS of source to edit where the region was (DragFlow App. E)"),
    Metric("MD1", "down", 2, "px", "best match of each centroid in the area, distance to its target (DragFlow App. E)"),
    Metric("MD2", "down", 2, "%", "the same in discs around centroid and target, % of the sides (DragFlow App. E)"),
    Metric("MD", "down", 2, "px", "best match of each annotated point, distance to its target (DragDiffusion)"),
    Metric("m-MD", "down", 2, "px", "the same, match restricted to the mask (DragLoRA)"),
    Metric("MD_rd", "down", 2, "%", "MD2 at the annotated points (RegionDrag)"),
    Metric("DAI_1", "down", 4, "", "squared difference of patches, handle to target, radius 1 (GoodDrag)"),
    Metric("DAI_5", "down", 4, "", "the same, radius 5"),
    Metric("DAI_10", "down", 4, "", "the same, radius 10"),
    Metric("DAI_20", "down", 4, "", "the same, radius 20"),
    Metric("PSNR_bg", "up", 1, "dB", "edit to source outside of the area; 100 where they are equal"),
    Metric("outside", "up", 3, "", "1 when every pixel outside of the area is the source's, else 0"),
    Metric("PSNR_area", "up", 1, "dB", "edit to truth inside the area"),
    Metric("SSIM_area", "up", 3, "", "edit to truth inside the area (Wang et al. 2004)"),
    Metric("LPIPS_area", "down", 3, "", "edit to truth, both masked out outside of the area"),
    Metric("PSNR_target", "up", 1, "dB", "edit to truth where the object should be"),
    Metric("PSNR_vacated", "up", 1, "dB", "edit to truth where the region was and the object no longer is"),
    Metric("SSIM_vacated", "up", 3, "", "edit to truth in the vacated part"),
    Metric("LPIPS_vacated", "down", 3, "", "edit to truth, both masked out outside of the vacated part"),
    Metric("landing", "down", 1, "px", "from where the object should be to where matching finds it; translations"),
    Metric("landed", "up", 2, "", "1 when the landing error is 4 px or less, else 0"),
    Metric("angle", "down", 1, "deg", "by which the object is turned from where it should be; rotations"),
    Metric("ratio", "down", 3, "", "by which the object's size is wrong; scalings"),
)  # fmt: skip

BY_KEY = {metric.key: metric for metric in CATALOGUE}

PERCEPTUAL = ("IF_bg", "IF_s2t", "IF_s2s", "LPIPS_area", "LPIPS_vacated")
"""Metrics that need a perceptual distance."""
MATCHED = ("MD1", "MD2", "MD", "m-MD", "MD_rd")
"""Metrics that need features to match."""
