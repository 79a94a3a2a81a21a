"""dragflow as a stranger gets it: a wheel in a fresh environment, a fresh home, no checkout.

With a wheel or an sdist in $DRAGFLOW_RELEASE, as `make release` sets it, that is tried, with all that it needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder to work in."""

    environment: Path
    folder: Path

    @property
    def programs(self) -> Path:
        """Where its commands are."""
        return self.environment / ("Scripts" if os.name == "nt" else "bin")

    @property
    def variables(self) -> dict[str, str]:
        """The variables of a process there: nothing of the checkout, of the user, or of the network."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG", "DRAGFLOW"))}
        home = str(self.folder / "home")
        return {**kept, "HOME": home, "USERPROFILE": home, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs / program), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False, timeout=600
        )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout, built as `pip` builds it; or what is released."""
    if given := os.environ.get("DRAGFLOW_RELEASE"):
        return Path(given)
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("no package index can be reached, from which pip takes hatchling to build the wheel")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed; what it needs comes from the environment of the tests, since torch is large."""
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder / "environment")
    made = Installed(folder / "environment", folder / "work")
    (folder / "work" / "home").mkdir(parents=True)
    python = made.programs / ("python.exe" if os.name == "nt" else "python")
    whole = "DRAGFLOW_RELEASE" in os.environ
    what = [f"{wheel}[studio,quant]"] if whole else ["--no-deps", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *what], check=True)
    if whole:
        return made
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    (own / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")  # whose own .pth files are not read
    return made
