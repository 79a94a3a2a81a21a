"""Cache and settings lie where the user's system keeps them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dragflow.files.cache import cache_folder, config_folder


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is Linux's")
def test_the_cache_lies_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("intent") == tmp_path / "dragflow" / "intent"
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache_folder() == Path.home() / ".cache" / "dragflow"


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is Linux's")
def test_what_was_settled_lies_beside_the_users_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_folder("sweeps") == tmp_path / "dragflow" / "sweeps"
