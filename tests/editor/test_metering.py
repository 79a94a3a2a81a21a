"""Peak memory, on this system and as Windows tells it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import psutil
import pytest
import torch

from dragflow.editor.metering import peak_memory


def test_the_peak_is_what_the_process_has_had_at_least() -> None:
    if torch.cuda.is_available():
        pytest.skip("the accelerator's peak is another one")
    assert peak_memory() >= 0.99 * psutil.Process().memory_info().rss / 2**20


def test_on_windows_the_peak_is_that_of_the_working_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=3e6)))
    assert peak_memory() == 3e6 / 2**20
