"""Room for a download on the disk of the hub's cache, checked before it begins."""

from __future__ import annotations

import shutil
from pathlib import Path

from dragflow.core.errors import UserError
from dragflow.core.text import file_size


def place_of(model: str) -> Path:
    """The folder of a model in the hub's cache; it need not exist."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")


def check_room(name: str, model: str, size: int) -> None:
    """Refuse a download that the disk cannot hold.

    Args:
        name: what is downloaded, for errors.
        model: its id on the hub.
        size: bytes that are not in the cache yet; those of an interrupted download may be among them.

    Raises:
        UserError: there is less room.
    """
    place = place_of(model)
    begun = sum(path.stat().st_size for path in place.glob("blobs/*.incomplete"))
    disk = next(folder for folder in (place, *place.parents) if folder.is_dir())
    needed, free = max(0, size - begun), shutil.disk_usage(disk).free
    if needed > free:
        raise UserError(
            f"{name} needs {file_size(needed)} more, and the disk of {place.parent} has {file_size(free)} free: make "
            "room there, or set HF_HOME to a folder on another disk"
        )
