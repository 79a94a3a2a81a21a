"""What has a name in a folder and is not a file to be read."""

from __future__ import annotations

import os
from pathlib import Path


def not_a_file(path: Path, kind: str) -> Path:
    """Make a folder, a pipe, or a link to a device (`null`, `zero`) there."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(f"/dev/{kind}")
    return path
