"""Tables of a benchmark: medians, paired differences with bootstrap confidence intervals, and contact sheets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from dragflow.bench.world import Record, case_of, picture_path

RESAMPLES = 4000
SHEET = 8
"""Rows of a contact sheet."""

_TITLES = (
    "setting", "scenes", "landing, px", "within 4 px", "angle, degrees", "size", "area, dB", "target, dB",
    "vacated, dB", "SSIM", "outside", "first, s", "again, s",
)  # fmt: skip
CONTEXTS = ("shadow", "light", "occluder", "joint", "structured")


@dataclass(frozen=True)
class Row:
    """Medians of one setting; NaN where no scene has the measure."""

    setting: str
    scenes: int
    landing: float
    """Pixels, of translations."""
    landed: float
    """Share of translations within 4 pixels."""
    angle: float
    ratio: float
    area: float
    target: float
    vacated: float
    ssim: float
    identical: bool
    first_seconds: float
    again_seconds: float


@dataclass(frozen=True)
class Difference:
    """How much one setting is better than another on the same scenes: mean, and its 95 % confidence interval."""

    scenes: int
    mean: float
    low: float
    high: float


def row(records: Sequence[Record]) -> Row:
    """The row of one setting."""
    moved = [r.landing for r in records if r.kind == "translate"]

    def middle(values: Sequence[float]) -> float:
        known = [v for v in values if not math.isnan(v)]
        return float(np.median(known)) if known else math.nan

    return Row(
        setting=records[0].setting,
        scenes=len(records),
        landing=middle(moved),
        landed=float(np.mean([e <= 4 for e in moved])) if moved else math.nan,
        angle=middle([r.angle for r in records]),
        ratio=middle([r.ratio for r in records]),
        area=middle([r.area for r in records]),
        target=middle([r.target for r in records]),
        vacated=middle([r.vacated for r in records]),
        ssim=middle([r.ssim for r in records]),
        identical=all(r.outside for r in records),
        first_seconds=middle([r.open_seconds + r.edit_seconds for r in records]),
        again_seconds=middle([r.edit_seconds for r in records]),
    )


def difference(
    better: Sequence[Record], base: Sequence[Record], measure: Callable[[Record], float], seed: int = 0
) -> Difference:
    """Paired over scenes that both have; percentiles of the bootstrapped mean."""
    at = {r.scene: measure(r) for r in base}
    pairs = [measure(r) - at[r.scene] for r in better if r.scene in at]
    gains = np.array([gain for gain in pairs if not math.isnan(gain)])
    if len(gains) == 0:
        return Difference(0, math.nan, math.nan, math.nan)
    drawn = np.random.default_rng(seed).integers(0, len(gains), (RESAMPLES, len(gains)))
    low, high = np.percentile(gains[drawn].mean(axis=1), (2.5, 97.5))
    return Difference(len(gains), float(gains.mean()), float(low), float(high))


def in_context(records: Sequence[Record], context: str) -> list[Record]:
    """The records of scenes with one kind of context; "any" = at least one, "plain" = none."""
    if context == "any":
        return [r for r in records if r.context]
    return [r for r in records if (context in r.context or (context == "plain" and not r.context))]


def by_setting(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records grouped, in the order in which settings come."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.setting, []).append(record)
    return found


def markdown(records: Sequence[Record], base: str) -> str:
    """The table of medians, and the differences to `base` on scenes of every context."""
    groups = by_setting(records)
    lines = [f"| {' | '.join(_TITLES)} |", "|---" * len(_TITLES) + "|"]
    lines += [_line(row(found)) for found in groups.values()]
    others = [name for name in groups if name != base]
    if base not in groups or not others:
        return "\n".join(lines)
    lines += ["", f"Gain over `{base}` on the same scenes, with 95 % confidence interval:", ""]
    lines += ["| setting | context | scenes | PSNR in the area, dB | SSIM in the area |", "|---|---|---|---|---|"]
    for name in others:
        for context in ("any", *CONTEXTS, "plain"):
            ours, theirs = in_context(groups[name], context), in_context(groups[base], context)
            gain, likeness = difference(ours, theirs, lambda r: r.area), difference(ours, theirs, lambda r: r.ssim)
            if gain.scenes:
                lines.append(
                    f"| {name} | {context} | {gain.scenes} | {_interval(gain, 2)} | {_interval(likeness, 3)} |"
                )
    return "\n".join(lines)


def summary(records: Sequence[Record], base: str) -> dict[str, object]:
    """What `markdown` shows, as plain data."""
    groups = by_setting(records)
    gains = {
        name: {
            context: {
                measure: asdict(difference(in_context(found, context), in_context(groups[base], context), take))
                for measure, take in (("area", lambda r: r.area), ("ssim", lambda r: r.ssim))
            }
            for context in ("any", *CONTEXTS, "plain")
        }
        for name, found in groups.items()
        if base in groups and name != base
    }
    rows = [{f.name: _plain(getattr(row(found), f.name)) for f in fields(Row)} for found in groups.values()]
    return {"rows": rows, "base": base, "gains": gains}


def contact_sheets(records: Sequence[Record], out: Path) -> list[Path]:
    """For each setting the scenes of best, middle and worst PSNR: source, result and truth; three pictures."""
    paths: list[Path] = []
    for setting, found in by_setting(records).items():
        ranked = sorted(found, key=lambda r: -r.area)
        count = min(SHEET, len(ranked))
        start = (len(ranked) - count) // 2
        chosen = {"best": ranked[:count], "middle": ranked[start : start + count], "worst": ranked[-count:]}
        for name, rows in chosen.items():
            pictures = [np.hstack([*_pictures(record, out)]) for record in rows]
            path = picture_path(out, setting, 0).with_name(f"sheet-{name}.png")
            Image.fromarray(np.vstack(pictures)).save(path)
            paths.append(path)
    return paths


def _pictures(record: Record, out: Path) -> tuple[np.ndarray, ...]:
    case = case_of(record.scene)
    with Image.open(picture_path(out, record.setting, record.scene)) as image:
        return case.source, np.asarray(image.convert("RGB")), case.target


def _line(r: Row) -> str:
    numbers = (
        _number(r.landing, 1), _number(100 * r.landed, 0, " %"), _number(r.angle, 1), _number(100 * r.ratio, 1, " %"),
        _number(r.area, 1), _number(r.target, 1), _number(r.vacated, 1), _number(r.ssim, 3),
        "identical" if r.identical else "CHANGED", _number(r.first_seconds, 1), _number(r.again_seconds, 1),
    )  # fmt: skip
    return f"| {r.setting} | {r.scenes} | {' | '.join(numbers)} |"


def _number(value: float, digits: int, unit: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}{unit}"


def _interval(d: Difference, digits: int) -> str:
    return f"{d.mean:+.{digits}f} ({d.low:+.{digits}f} to {d.high:+.{digits}f})"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
