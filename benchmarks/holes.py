"""The fill of holes in photographs and paintings, beside classical fills: PSNR and SSIM in the hole, paired.

    python benchmarks/holes.py --samples ../shared/samples --sheets sheets

Pictures are scikit-image's and every sample's under a folder, holes are drawn at random: ellipses, boxes and blobs of 3
to 12 % of the picture. Constants were chosen on the pictures of the development half; the test half is every second
one. The membrane is the exact solution of Laplace's equation. "Slopes apart" is how far the power of the slopes in the
hole is from that of the truth, in powers of two: a blur is far below. OpenCV's `xphoto` is in opencv-contrib alone: run
this with it installed, or those rows are left out.
"""

from __future__ import annotations

import math
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.sparse.csgraph
import scipy.sparse.linalg
import skimage
from PIL import Image

from dragflow.bench.metrics.truth import psnr, ssim
from dragflow.bench.statistics import estimate
from dragflow.core.arrays import Mask, Pixels
from dragflow.pixels import masks
from dragflow.pixels.fill.texture import textured
from dragflow.pixels.plate import background_plate

PICTURES = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)
"""scikit-image's photographs that are part of the package."""
SAMPLES = ("original_image.png", "original.jpg", "input.png")
SHARES = (0.03, 0.12)
XPHOTO: Any = getattr(cv2, "xphoto", None)
Fill = Callable[[Pixels, Mask], Pixels]


@dataclass(frozen=True)
class Hole:
    """A picture, and what is cut out of it."""

    name: str
    test: bool
    """Whether the picture is of the half on which nothing was chosen."""
    image: Pixels
    mask: Mask


def main() -> None:
    """Draw, fill, measure, print one table for each half."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="a folder with samples, at any depth")
    parser.add_argument("--holes", type=int, default=4, help="holes of each picture")
    parser.add_argument("--side", type=int, default=512, help="longer side of a picture at most")
    parser.add_argument("--half", choices=["development", "test", "both"], default="both")
    parser.add_argument("--fills", nargs="+", choices=list(fills()), help="all that can be had by default")
    parser.add_argument("--sheets", type=Path, help="a folder for pictures of what was filled")
    args = parser.parse_args()
    if XPHOTO is None:
        print("OpenCV's xphoto is not installed (opencv-contrib-python-headless): its rows are left out.\n")
    chosen = {name: fill for name, fill in fills().items() if name in (args.fills or fills()) or name == "membrane"}
    drawn = [hole for hole in holes(args.samples, args.holes, args.side) if args.half in ("both", _half(hole))]
    scores = {name: np.array([_score(fill, hole) for hole in drawn]) for name, fill in chosen.items()}
    for half in ("development", "test"):
        of_half = np.array([_half(hole) == half for hole in drawn], dtype=bool)
        if of_half.any():
            print(
                f"{half}: {of_half.sum()} holes in {len({id(h.image) for h in drawn if _half(h) == half})} pictures\n"
            )
            print(table({name: found[of_half] for name, found in scores.items()}))
    if args.sheets:
        _draw(args.sheets, drawn, chosen)


def _half(hole: Hole) -> str:
    return "test" if hole.test else "development"


def _score(fill: Fill, hole: Hole) -> tuple[float, float, float, float]:
    begun = time.process_time()
    filled = fill(hole.image, hole.mask)
    seconds = time.process_time() - begun
    filled = np.where(hole.mask[..., None], filled, hole.image)
    apart = abs(math.log2(_slopes(filled, hole.mask) / _slopes(hole.image, hole.mask)))
    return psnr(filled, hole.image, hole.mask), ssim(filled, hole.image, hole.mask), seconds, apart


def _slopes(image: Pixels, mask: Mask) -> float:
    """Mean square of the slopes in a hole, away from its rim: how sharp it looks."""
    slopes = np.stack([cv2.Sobel(image.astype(np.float32), cv2.CV_32F, *way) for way in ((1, 0), (0, 1))])
    inside = ~masks.dilate(~mask, 2)
    return float((slopes**2).sum(axis=(0, -1))[inside].mean()) + 1


def _textured(image: Pixels, hole: Mask) -> Pixels:
    plate = background_plate(image, hole)
    shown = textured(image.astype(np.float32), hole, plate.astype(np.float32))
    return np.rint(np.clip(shown, 0, 255)).astype(np.uint8)


def table(scores: dict[str, np.ndarray]) -> str:
    """Means, gains over the membrane with 95 % intervals, and the worst percent, as Markdown."""
    columns = ("fill", "PSNR", "SSIM", "PSNR over the membrane", "SSIM over it", "worst 1 %", "slopes apart", "s")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, found in scores.items():
        gain = found - scores["membrane"]
        over = [estimate(gain[:, column]) for column in (0, 1)]
        lines.append(
            f"| {name} | {found[:, 0].mean():.2f} | {found[:, 1].mean():.3f} "
            f"| {over[0].value:+.2f} ({over[0].low:+.2f} to {over[0].high:+.2f}) "
            f"| {over[1].value:+.3f} ({over[1].low:+.3f} to {over[1].high:+.3f}) "
            f"| {np.quantile(gain[:, 0], 0.01):+.2f} | {found[:, 3].mean():.1f} | {found[:, 2].mean():.2f} |"
        )
    return "\n".join(lines) + "\n"


def fills() -> dict[str, Fill]:
    """Every fill by its name."""
    found: dict[str, Fill] = {
        "membrane": membrane,
        "plate": background_plate,
        "plate, texture": _textured,
        "plate, coarse": partial(background_plate, coarse=True),
        "Telea": partial(_inpainted, flag=cv2.INPAINT_TELEA),
        "Navier-Stokes": partial(_inpainted, flag=cv2.INPAINT_NS),
    }
    if XPHOTO is not None:
        for name in ("SHIFTMAP", "FSR_FAST", "FSR_BEST"):
            found[name] = partial(_xphoto, flag=getattr(XPHOTO, f"INPAINT_{name}"))
    return found


def _inpainted(image: Pixels, hole: Mask, flag: int) -> Pixels:
    return np.asarray(cv2.inpaint(image, hole.astype(np.uint8), 3, flag), dtype=np.uint8)


def _xphoto(image: Pixels, hole: Mask, flag: int) -> Pixels:
    known = np.where(hole, 0, 255).astype(np.uint8)
    lab = flag == XPHOTO.INPAINT_SHIFTMAP  # it compares colours in CIELAB, as its documentation asks
    source = cv2.cvtColor(image, cv2.COLOR_RGB2LAB) if lab else image
    result = np.zeros_like(source)
    XPHOTO.inpaint(np.where(hole[..., None], 0, source).astype(np.uint8), known, result, flag)
    return np.asarray(cv2.cvtColor(result, cv2.COLOR_LAB2RGB) if lab else result, dtype=np.uint8)


def membrane(image: Pixels, hole: Mask) -> Pixels:
    """The exact solution of Laplace's equation; the border of the picture is free."""
    h, w = hole.shape
    number = np.arange(h * w).reshape(h, w)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    one, other = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    links = scipy.sparse.coo_matrix((np.ones(len(one)), (one, other)), shape=(h * w, h * w))
    laplace = scipy.sparse.csr_array(scipy.sparse.csgraph.laplacian(links + links.T))[hole.ravel()]
    values = image.reshape(h * w, 3).astype(np.float64)
    known = ~hole.ravel()
    solved = scipy.sparse.linalg.spsolve(laplace[:, ~known].tocsc(), -(laplace[:, known] @ values[known]))
    values[~known] = np.asarray(solved)
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8).reshape(image.shape)


def holes(samples: Path | None, count: int, side: int) -> Iterator[Hole]:
    """The same holes for the same pictures, whatever else is asked."""
    folder = Path(skimage.__file__).parent / "data"
    paths = [folder / name for name in PICTURES]
    if samples:
        paths += sorted(path for path in samples.rglob("*") if path.name in SAMPLES)
    for i, path in enumerate(paths):
        picture = Image.open(path).convert("RGB")
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        image, rng = np.asarray(picture), np.random.default_rng([2026, i])
        for k in range(count):
            name = f"{path.parent.name}-{path.stem}-{k}"
            yield Hole(name, i % 2 == 1, image, _hole(rng, *image.shape[:2]))


def _hole(rng: np.random.Generator, h: int, w: int) -> Mask:
    """An ellipse, a box or a blob whose radius varies with the angle, wholly inside of the picture."""
    ys, xs = np.mgrid[:h, :w].astype(np.float32)
    while True:
        kind = str(rng.choice(["ellipse", "box", "blob"]))
        size = rng.uniform(*SHARES) * h * w / (4 if kind == "box" else math.pi)
        stretch, turn = math.exp(rng.uniform(-0.7, 0.7)), rng.uniform(0, math.pi) if kind == "ellipse" else 0.0
        a, b = math.sqrt(size * stretch), math.sqrt(size / stretch)
        dx, dy = xs - rng.uniform(0, w), ys - rng.uniform(0, h)
        x, y = (dx * math.cos(turn) + dy * math.sin(turn)) / a, (dy * math.cos(turn) - dx * math.sin(turn)) / b
        radius = np.ones_like(x)
        for wave in range(2, 6) if kind == "blob" else ():
            bump = np.cos(wave * np.arctan2(y, x) + rng.uniform(0, 2 * math.pi))
            radius += rng.normal(0, 0.22 / math.sqrt(wave)) * bump
        distance = np.maximum(abs(x), abs(y)) if kind == "box" else np.hypot(x, y)
        mask = distance <= np.maximum(radius, 0.25)
        cut = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        if not cut and SHARES[0] <= mask.mean() <= SHARES[1]:
            return mask


def _draw(folder: Path, drawn: list[Hole], chosen: dict[str, Fill]) -> None:
    """One strip for every hole: the picture, the hole in grey, and every fill."""
    folder.mkdir(parents=True, exist_ok=True)
    for hole in drawn:
        shown = [hole.image, np.where(hole.mask[..., None], 128, hole.image).astype(np.uint8)]
        shown += [fill(hole.image, hole.mask) for fill in chosen.values()]
        Image.fromarray(np.hstack(shown)).save(folder / f"{hole.name}.png")


if __name__ == "__main__":
    main()
