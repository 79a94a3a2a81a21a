"""Things chosen by name: our own first, then those of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dragflow.core.errors import UserError
from dragflow.core.plugins import Plugins

Install = Callable[[str, str, dict[str, str]], Path]
THINGS = Plugins("thing", "dragflow.tests", {"module": "math", "number": "math:pi"})


def test_own_names_are_modules_or_their_attributes() -> None:
    import math

    assert THINGS.names == ("module", "number")
    assert THINGS.load("module") is math
    assert THINGS.load("number") == math.pi


def test_installed_packages_add_names_and_take_none_of_ours(install: Install) -> None:
    install("pi = 3\nanswer = 42\n", "dragflow.tests", {"zeta": "answer", "alpha": "", "number": "pi"})
    assert THINGS.names == ("module", "number", "alpha", "zeta")
    assert THINGS.load("zeta") == 42
    assert THINGS.load("alpha").pi == 3
    assert THINGS.load("number") != 3


def test_another_groups_names_are_not_ours(install: Install) -> None:
    install("answer = 42\n", "dragflow.others", {"zeta": "answer"})
    assert THINGS.names == ("module", "number")


def test_an_unknown_name_is_refused_with_all_that_are_known(install: Install) -> None:
    install("answer = 42\n", "dragflow.tests", {"zeta": "answer"})
    with pytest.raises(UserError, match=r"thing 'modul' is not known: choose one of module, number, zeta"):
        THINGS.load("modul")


@pytest.mark.parametrize("code", ["import no_such_module\n", "1 / 0\n", ""])
def test_a_package_that_cannot_be_loaded_is_named(code: str, install: Install) -> None:
    folder = install(code, "dragflow.tests", {"zeta": "answer"})
    with pytest.raises(UserError, match=f"thing 'zeta' of the installed package {folder.name} cannot be loaded"):
        THINGS.load("zeta")
