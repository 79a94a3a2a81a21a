"""Every library that the package imports is declared; what an extra brings is imported only where it is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import dragflow
from dragflow.core.errors import CapabilityError
from dragflow.core.extras import extra

PACKAGE = Path(dragflow.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHER_NAMES = {"PIL": "pillow", "cv2": "opencv-python-headless", "skimage": "scikit-image", "yaml": "pyyaml"}
"""Modules whose distributions have other names."""


def declared(*requirements: str) -> set[str]:
    return {re.split(r"[\[<>=]", requirement)[0].replace("_", "-") for requirement in requirements}


def imports(node: ast.AST, nested: bool = False) -> Iterator[tuple[str, bool]]:
    """Every module that is imported, and whether inside of a function; not those of annotations alone."""
    for child in ast.iter_child_nodes(node):
        inside = nested or isinstance(child, ast.FunctionDef)
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield str(child.module), inside
            yield from ((f"{child.module}.{alias.name}", inside) for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (found for other in child.orelse for found in imports(other, inside))
        else:
            yield from imports(child, inside)


def distribution(module: str) -> str:
    top = module.split(".")[0]
    return OTHER_NAMES.get(top, top.replace("_", "-"))


MODULES = {
    ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)): tuple(
        imports(ast.parse(path.read_text(encoding="utf-8")))
    )
    for path in PACKAGE.rglob("*.py")
}
FOREIGN = {
    (name, distribution(module), nested)
    for name, found in MODULES.items()
    for module, nested in found
    if module.split(".")[0] not in (PACKAGE.name, *sys.stdlib_module_names)
}
EXTRAS = PROJECT["optional-dependencies"]


def test_every_import_is_declared() -> None:
    known = declared(*PROJECT["dependencies"])
    optional = declared(
        *(
            one
            for name in ("bench", "heic", "quant", "ray", "train", "intent", "http", "studio")
            for one in EXTRAS[name]
        )
    )
    assert {library for _, library, _ in FOREIGN} <= known | optional


def test_what_an_extra_brings_is_imported_where_it_is_used() -> None:
    """At the top of a module only where that module is itself imported inside of a function."""
    known = declared(*PROJECT["dependencies"])
    late = {name for name, library, nested in FOREIGN if not nested and library not in known}
    early = {module for name, found in MODULES.items() for module, nested in found if not nested and name not in late}
    assert late & early == set()


def test_a_missing_library_is_one_sentence_that_says_what_to_install() -> None:
    with pytest.raises(CapabilityError) as error, extra("bench", "a plot"):
        import a_plotting_library_that_nobody_has  # noqa: F401  # pyright: ignore[reportMissingImports]
    assert str(error.value) == "a plot needs a_plotting_library_that_nobody_has: pip install 'dragflow[bench]'"
