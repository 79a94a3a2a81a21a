"""What is installed is pinned, and the hooks have the same versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text: str) -> dict[str, str]:
    return {plain(name): version for name, version in re.findall(r"^[\s-]*([\w.-]+)==(\S+)$", text, re.M)}


def wanted(*extras: str) -> set[str]:
    """Names of what the project and its extras ask for; an extra may name others, as in "dragflow[bench,train]"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names: set[str] = set()
    for requirement in (*project["dependencies"], *(r for e in extras for r in project["optional-dependencies"][e])):
        name, others = re.findall(r"^([\w.-]+)(?:\[([\w,-]+)\])?", requirement)[0]
        names |= wanted(*others.split(",")) if name == "dragflow" else {plain(name)}
    return names


def test_everything_that_make_installs_is_pinned() -> None:
    pins = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert wanted("test", "dev", "docs") <= set(pins)
    assert pins["torch"] == "2.13.0"


def test_the_hooks_see_the_same_libraries() -> None:
    pins = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    hooks = pinned(text)
    assert set(hooks) == wanted("test") | {"pyright"}
    assert hooks == {name: pins[name] for name in hooks}
    assert f"[import-linter=={pins['import-linter']}]" in text
    assert f"rev: v{pins['ruff']}\n" in text
