"""The steps of `make release` that are no other program's: the changelog's section, and checksums.

python scripts/release.py notes       # date the section of this version, and write it as dist/NOTES.md
python scripts/release.py checksums   # of everything in dist, as dist/SHA256SUMS
"""

from __future__ import annotations

import datetime
import hashlib
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTES, SUMS = "NOTES.md", "SHA256SUMS"


def notes(root: Path, today: str) -> str:
    """The changelog's section of the version in pyproject.toml, which gets today's date where it has none yet."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    if cited is None or cited[1] != version:
        sys.exit(f"CITATION.cff is not of version {version}: write that there")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    dated = re.sub(rf"^(## \[{re.escape(version)}\] - )unreleased$", rf"\g<1>{today}", text, flags=re.M)
    section = re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n.*?(?=^## \[|\Z)", dated, re.M | re.S)
    if section is None:
        sys.exit(f"CHANGELOG.md has no section '## [{version}] - unreleased': write it first")
    changelog.write_text(dated, encoding="utf-8")
    return section[0].rstrip() + "\n"


def checksums(folder: Path) -> str:
    """A line for each file of a folder, as sha256sum reads them."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


if __name__ == "__main__":
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    if sys.argv[1:] == ["notes"]:
        (dist / NOTES).write_text(notes(ROOT, datetime.date.today().isoformat()), encoding="utf-8")
    elif sys.argv[1:] == ["checksums"]:
        (dist / SUMS).write_text(checksums(dist), encoding="utf-8")
    else:
        sys.exit(__doc__)
