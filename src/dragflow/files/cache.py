"""The folder for what dragflow can recompute."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path


def cache_folder(*parts: str) -> Path:
    """A folder in the user's cache folder of this system, as `dragflow/intent`; it need not exist.

    On Linux: in $XDG_CACHE_HOME where that is an absolute path, else in ~/.cache.
    """
    return user_cache_path("dragflow", appauthor=False).joinpath(*parts)
