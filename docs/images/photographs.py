"""The pictures of the page about photographs: two of scikit-image in the public domain, and a sheet of their edits.

Run it in this folder. `python photographs.py` writes rocket.png (SpaceX) and cat.png (Stefan van der Walt); after the
page's other commands `python photographs.py sheet` writes photographs.jpg.
"""

from __future__ import annotations

import sys

from PIL import Image
from skimage import data

_HEIGHT = 300
_ROWS = ("rocket", "cat")
_COLUMNS = ("", "-preview", "-edited")


def main() -> None:
    """Write the photographs, or the sheet."""
    if sys.argv[1:] == ["sheet"]:
        sheet().save("photographs.jpg", quality=88, optimize=True)
        return
    Image.fromarray(data.rocket()).save("rocket.png")
    Image.fromarray(data.chelsea()).save("cat.png")


def sheet() -> Image.Image:
    """Photograph, preview and edit, in a row for each photograph."""
    rows = [[Image.open(f"{row}{column}.png").convert("RGB") for column in _COLUMNS] for row in _ROWS]
    sized = [[one.resize((round(one.width * _HEIGHT / one.height), _HEIGHT)) for one in row] for row in rows]
    whole = Image.new("RGB", (sum(one.width for one in sized[0]), _HEIGHT * len(rows)))
    for y, row in enumerate(sized):
        for x, one in enumerate(row):
            whole.paste(one, (x * one.width, y * _HEIGHT))
    return whole


if __name__ == "__main__":
    main()
