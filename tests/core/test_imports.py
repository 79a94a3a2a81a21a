"""Nothing heavy is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "cv2", "matplotlib")


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import dragflow", (*HEAVY, "PIL", "numpy", "pydantic")),
        ("import dragflow.cli.app", ("torch", "diffusers", "transformers", "matplotlib", "rich.progress")),
        ("import dragflow.service", HEAVY[:3]),
        ("import dragflow.files.instructions, dragflow.pixels.preview, dragflow.files.recipes", HEAVY[:3]),
    ],
)
def test_an_import_loads_no_heavy_library(statement: str, absent: tuple[str, ...]) -> None:
    code = f"{statement}; import sys; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_had() -> None:
    import dragflow

    assert all(getattr(dragflow, name) is not None for name in dragflow.__all__)
