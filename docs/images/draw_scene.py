"""Draws the picture of the documentation (a hill, a house, a ball with its shadow) and the masks of its movable parts.

Run it in this folder: `python draw_scene.py`. It writes scene.png, ball.png and door.png.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = (512, 384)
BALL = (112, 262, 176, 326)
"""left, top, right, bottom"""
DOOR = [(372, 226), (398, 226), (398, 276), (372, 276)]
_FINE = 4
"""Everything is drawn four times as large and scaled down, so that edges are smooth."""


def main() -> None:
    """Write the three pictures."""
    scene = _sky()
    draw = ImageDraw.Draw(scene)
    draw.ellipse(_large((-180, 190, 420, 700)), fill=(122, 168, 92))
    draw.ellipse(_large((150, 210, 820, 760)), fill=(104, 150, 80))
    draw.rectangle(_large((330, 190, 440, 276)), fill=(232, 214, 186))
    draw.polygon(_large((316, 194, 385, 134, 454, 194)), fill=(168, 74, 58))
    draw.rectangle(_large((344, 208, 364, 230)), fill=(96, 128, 158))
    draw.rectangle(_large((410, 208, 430, 230)), fill=(96, 128, 158))
    draw.polygon(_large(tuple(value for point in DOOR for value in point)), fill=(110, 72, 48))
    scene = _shadow(scene, (104, 306, 196, 334))
    scene = _ball(scene)
    scene = _grain(scene.resize(SIZE, Image.Resampling.LANCZOS))
    scene.save("scene.png", optimize=True)
    _mask("ellipse", (BALL[0] - 3, BALL[1] - 3, 205, 342)).save("ball.png", optimize=True)
    _mask("polygon", tuple(value for point in DOOR for value in point)).save("door.png", optimize=True)


def _large(values: tuple[float, ...]) -> list[float]:
    return [value * _FINE for value in values]


def _sky() -> Image.Image:
    rows = np.linspace(0, 1, SIZE[1] * _FINE)[:, None, None]
    top, bottom = np.array([126, 174, 222]), np.array([222, 234, 240])
    return Image.fromarray(
        np.broadcast_to(top + rows * (bottom - top), (len(rows), SIZE[0] * _FINE, 3)).astype("uint8")
    )


def _shadow(scene: Image.Image, box: tuple[float, ...]) -> Image.Image:
    weight = Image.new("L", scene.size)
    ImageDraw.Draw(weight).ellipse(_large(box), fill=130)
    weight = weight.filter(ImageFilter.GaussianBlur(5 * _FINE))
    return Image.composite(Image.new("RGB", scene.size, (34, 56, 30)), scene, weight)


def _ball(scene: Image.Image) -> Image.Image:
    left, top, right, _ = _large(BALL)
    side = int(right - left)
    y, x = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    light = np.clip(1.15 - 0.75 * np.hypot(x + 0.4, y + 0.45), 0.25, 1.15)[..., None]
    stripe = (np.abs(y + 0.25 * x) < 0.28)[..., None]
    colour = np.where(stripe, np.array([244, 240, 226]), np.array([214, 62, 48]))
    inside = Image.fromarray(((np.hypot(x, y) <= 1) * 255).astype("uint8"))
    scene.paste(Image.fromarray(np.clip(light * colour, 0, 255).astype("uint8")), (int(left), int(top)), inside)
    return scene


def _grain(scene: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 0.6, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(np.clip(np.asarray(scene) + noise, 0, 255).astype("uint8"))


def _mask(shape: str, values: tuple[float, ...]) -> Image.Image:
    mask = Image.new("1", SIZE)
    getattr(ImageDraw.Draw(mask), shape)(list(values), fill=1)
    return mask


if __name__ == "__main__":
    main()
