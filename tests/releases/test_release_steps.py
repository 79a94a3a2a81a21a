"""The changelog's section and the checksums of a release."""

from __future__ import annotations

import hashlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def release() -> Any:
    spec = spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 0.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("# Log\n\n## [0.2.0] - unreleased\n\n- New.\n\n## [0.1.0] - 2026-01-01\n")
    return tmp_path


def test_the_section_of_the_version_is_dated_once(release: Any, root: Path) -> None:
    for day in ("2026-05-01", "2026-05-02"):
        assert release.notes(root, day) == "## [0.2.0] - 2026-05-01\n\n- New.\n"
    assert "## [0.2.0] - 2026-05-01\n" in (root / "CHANGELOG.md").read_text()


def test_a_version_without_a_section_or_a_citation_is_refused(release: Any, root: Path) -> None:
    (root / "CHANGELOG.md").write_text("# Log\n")
    with pytest.raises(SystemExit, match="no section"):
        release.notes(root, "2026-05-01")
    (root / "CITATION.cff").write_text("version: 0.1.0\n")
    with pytest.raises(SystemExit, match="not of version"):
        release.notes(root, "2026-05-01")


def test_checksums_are_of_every_file_but_their_own(release: Any, tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"a")
    (tmp_path / "SHA256SUMS").write_text("old")
    assert release.checksums(tmp_path) == f"{hashlib.sha256(b'a').hexdigest()}  a.whl\n"


def test_the_project_is_ready_for_its_release(release: Any, tmp_path: Path) -> None:
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    assert release.notes(tmp_path, "2026-05-01").startswith("## [")
