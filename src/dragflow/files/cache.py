"""The folders of this user: for what dragflow can recompute, and for what was settled for it."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path, user_config_path


def cache_folder(*parts: str) -> Path:
    """A folder in the user's cache folder of this system, as `dragflow/intent`; it need not exist.

    On Linux: in $XDG_CACHE_HOME where that is an absolute path, else in ~/.cache.
    """
    return user_cache_path("dragflow", appauthor=False).joinpath(*parts)


def config_folder(*parts: str) -> Path:
    """A folder beside the user's configuration, as `dragflow/sweeps`; it need not exist.

    On Linux: in $XDG_CONFIG_HOME where that is an absolute path, else in ~/.config.
    """
    return user_config_path("dragflow", appauthor=False).joinpath(*parts)
