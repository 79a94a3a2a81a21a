"""Every metric of the catalogue on one edited picture, with the models that are available."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from dragflow.bench.metrics import accuracy, image_fidelity, mean_distance, truth
from dragflow.bench.metrics.catalogue import CATALOGUE, MATCHED, PERCEPTUAL
from dragflow.bench.metrics.features import FeatureExtractor, Features
from dragflow.bench.metrics.image_fidelity import Picture
from dragflow.bench.metrics.lpips import VARIABLE, find_weights, load_lpips
from dragflow.bench.metrics.pixels import resized
from dragflow.bench.metrics.registry import load_features
from dragflow.bench.runs import Tools
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.core.motion import Rotate, Scale, Translate, apply
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.editor.frames import as_image
from dragflow.pixels import masks

NO_FEATURES = "none"

_EQUAL = 100.0
"""PSNR in dB of equal pictures, in place of infinity."""
_LANDED = 4
"""Pixels within which an object counts as landed."""


class Perceptual(Protocol):
    """A perceptual distance, as `lpips.Lpips`."""

    @property
    def name(self) -> str:
        """The name in tables."""
        ...

    def __call__(self, x: Picture, y: Picture) -> float: ...


@dataclass(frozen=True)
class Suite:
    """The metrics, with the models that they measure with."""

    perceptual: Perceptual | None = None
    features: FeatureExtractor | None = None
    no_perceptual: str = ""
    """Why there is no perceptual distance, and how to get one."""
    no_features: str = ""
    """Why there are no features, and how to get them."""

    def tools(self) -> Tools:
        """What the scores are measured with, and what is absent."""
        absent: dict[str, str] = {}
        if self.perceptual is None:
            absent |= dict.fromkeys(PERCEPTUAL, self.no_perceptual)
        if self.features is None:
            absent |= dict.fromkeys(MATCHED, self.no_features)
        return Tools(
            perceptual=self.perceptual.name if self.perceptual is not None else "",
            features=self.features.name if self.features is not None else "",
            absent=absent,
        )

    def score(self, sample: Sample, image: Pixels) -> dict[str, float]:
        """Every metric that applies, by its key, in the order of the catalogue.

        An edit of another size than its source is resized to it, bicubic.

        Args:
            sample: with the truth, where that is known.
            image: the edited picture (h, w, 3).

        Raises:
            UserError: the instruction does not fit its picture.
        """
        task = sample.task
        edit = resized(image, sample.image.size)
        values = _unchanged(task, edit, same_size=image.shape == task.image.shape)
        values |= {
            f"DAI_{radius}": accuracy.dai(task.image, edit, sample.begin_points, sample.target_points, radius)
            for radius in accuracy.RADII
        }
        values |= _to_truth(sample, edit) | _motion_errors(sample, edit)
        if self.perceptual is not None:
            values |= _fidelity(self.perceptual, task, edit) | _perceptual_to_truth(self.perceptual, sample, edit)
        if self.features is not None:
            values |= _distances(self.features, sample, edit)
        known = {key: value for key, value in values.items() if not math.isnan(value)}
        return {metric.key: known[metric.key] for metric in CATALOGUE if metric.key in known}


def load_suite(
    *, features: str = NO_FEATURES, model: str | None = None, lpips: Path | None = None, device: str | None = None
) -> Suite:
    """Load what the metrics need; without LPIPS or features the others are still measured.

    Args:
        features: as for `load_features`, or `none`.
        model: the model of the features.
        lpips: as for `lpips.find_weights`.
        device: as torch names it; a GPU if there is one when None.

    Raises:
        UserError: features or weights that were asked for cannot be loaded.
    """
    perceptual, no_perceptual = _load_perceptual(lpips, device)
    if features == NO_FEATURES:
        if model is not None:
            raise UserError(f"model {model} is given, but no features to take from it: choose dift, dinov2 or taps")
        if device is not None and perceptual is None:
            raise UserError(f"`device` is {device}, but no model measures anything: choose `features`, or name `lpips`")
        return Suite(perceptual, None, no_perceptual, "no features are chosen: choose dift, dinov2 or taps")
    return Suite(perceptual, load_features(features, model, device), no_perceptual)


def _load_perceptual(path: Path | None, device: str | None) -> tuple[Perceptual | None, str]:
    try:
        files = find_weights(path)
    except UserError as error:
        if path is not None or os.environ.get(VARIABLE):
            raise
        return None, str(error)
    return load_lpips(files, device), ""


def _unchanged(task: DragTask, edit: Pixels, *, same_size: bool) -> dict[str, float]:
    """What should not have changed."""
    rest = ~task.area
    return {
        "PSNR_bg": min(_EQUAL, truth.psnr(edit, task.image, rest)) if rest.any() else math.nan,
        "outside": float(same_size and bool((edit == task.image)[rest].all())),
    }


def _to_truth(sample: Sample, edit: Pixels) -> dict[str, float]:
    if sample.truth is None:
        return {}
    area, target, vacated = sample.task.area, _target(sample), _vacated(sample)
    return {
        "PSNR_area": truth.psnr(edit, sample.truth, area),
        "SSIM_area": truth.ssim(edit, sample.truth, area),
        "PSNR_target": truth.psnr(edit, sample.truth, target),
        "PSNR_vacated": truth.psnr(edit, sample.truth, vacated),
        "SSIM_vacated": truth.ssim(edit, sample.truth, vacated),
    }


def _motion_errors(sample: Sample, edit: Pixels) -> dict[str, float]:
    """Landing where everything is translated; angle or ratio where one region is turned or scaled."""
    known, target = sample.truth, sample.target_mask
    if known is None or target is None or not target.any():
        return {}
    motions = [operation.motion for operation in sample.task.operations]
    if all(isinstance(motion, Translate) for motion in motions):
        error = truth.landing_error(edit, known, target)
        return {"landing": error, "landed": float(error <= _LANDED)}
    if len(motions) == 1 and isinstance(motions[0], Rotate):
        return {"angle": truth.angle_error(edit, known, target, motions[0].about)}
    if len(motions) == 1 and isinstance(motions[0], Scale):
        return {"ratio": truth.ratio_error(edit, known, target, motions[0].about)}
    return {}


def _fidelity(distance: Perceptual, task: DragTask, edit: Pixels) -> dict[str, float]:
    source, edited = _picture(task.image), _picture(edit)
    moved = [(torch.tensor(op.mask), op.matrix()) for op in task.operations if op.lands]
    changed = [torch.tensor(op.mask) for op in task.operations if not op.stays]
    return {
        "IF_bg": image_fidelity.background(distance, source, edited, torch.tensor(task.area)),
        "IF_s2t": image_fidelity.at_target(distance, source, edited, moved) if moved else math.nan,
        "IF_s2s": image_fidelity.at_source(distance, source, edited, changed) if changed else math.nan,
    }


def _perceptual_to_truth(distance: Perceptual, sample: Sample, edit: Pixels) -> dict[str, float]:
    if sample.truth is None:
        return {}
    places = {"LPIPS_area": sample.task.area, "LPIPS_vacated": _vacated(sample)}
    edited, known = _picture(edit), _picture(sample.truth)
    return {
        key: image_fidelity.masked_distance(distance, edited, known, torch.tensor(where))
        for key, where in places.items()
        if where.any()
    }


def _distances(extractor: FeatureExtractor, sample: Sample, edit: Pixels) -> dict[str, float]:
    """The mean distances; MD1 and MD2 of the regions' handles, the others of the annotated points."""
    task, size = sample.task, sample.image.size

    @cache
    def features(prompt: str) -> tuple[Features, Features]:
        return extractor(task.image, prompt), extractor(edit, prompt)

    source, edited = features("")
    prompted = features(task.prompt if extractor.prompted else "")
    moved = [op for op in task.operations if op.lands]
    handles, ends = [op.handle for op in moved], [_end(op) for op in moved]
    begin, target = sample.begin_points, sample.target_points
    return {
        "MD1": mean_distance.mean_distance(source, edited, size, handles, ends, task.area),
        "MD2": mean_distance.disc_distance(source, edited, size, handles, ends),
        "MD": mean_distance.mean_distance(*prompted, size, begin, target),
        "m-MD": mean_distance.mean_distance(*prompted, size, begin, target, task.area),
        "MD_rd": mean_distance.disc_distance(source, edited, size, begin, target),
    }


def _end(operation: ResolvedOperation) -> Point:
    """The target point: the given one (a rotation only points to it), else where the motion takes the handle."""
    motion = operation.motion
    given = motion.to if isinstance(motion, Translate | Rotate) else None
    return given or apply(operation.matrix(), operation.handle)


def _target(sample: Sample) -> Mask:
    """Where the object is in the true picture; the moved regions if that is not known."""
    if sample.target_mask is not None:
        return sample.target_mask
    return _union([masks.landing(op) for op in sample.task.operations])


def _vacated(sample: Sample) -> Mask:
    return _union([op.mask for op in sample.task.operations if not op.stays]) & ~_target(sample)


def _union(parts: Sequence[Mask]) -> Mask:
    return np.logical_or.reduce(parts)


def _picture(pixels: Pixels) -> Picture:
    """Pixels (H, W, 3) as a picture (1, 3, H, W) in [-1, 1]."""
    return as_image(pixels, (pixels.shape[0], pixels.shape[1])) * 2 - 1
