"""Which blocks of a model are tapped and injected into before a sweep has chosen: those of the paper, by depth."""

from __future__ import annotations

_PAPER_BLOCKS = 57
_PAPER_TAPS, _PAPER_KV = (17, 18), (0, 7, 8, 9, 10, 18, 25, 28, 37, 42, 45, 50, 56)
"""Of FLUX.1's 19 double and 38 single blocks, in the order in which they run (paper Sec. 3.4)."""


def at_share(chosen: tuple[int, ...], of: int, have: int) -> list[int]:
    """Blocks of a model that has `have`, for those chosen of a model of `of`: the same share at the same depths.

    It is one block at least, where there is any, and no more than were chosen. The share counts as much as the depth:
    keys and values injected in nearly every block hold the picture still.
    """
    if not have:
        return []
    count = min(max(1, round(len(chosen) * have / of)), len(chosen))
    spread = [chosen[int((i + 0.5) * len(chosen) / count)] for i in range(count)]
    return sorted({round(block * (have - 1) / (of - 1)) for block in spread})


def paper_taps(have: int) -> list[int]:
    """Blocks to tap in a model of `have` blocks of one kind, for which no sweep has chosen better ones."""
    return at_share(_PAPER_TAPS, _PAPER_BLOCKS, have)


def paper_kv(have: int) -> list[int]:
    """Blocks whose keys and values are injected in a model of `have` blocks of one kind; not swept, either."""
    return at_share(_PAPER_KV, _PAPER_BLOCKS, have)
