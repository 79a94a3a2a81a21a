"""Ctrl-C and SIGTERM: the process ends with 130 at once, and leaves no file behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")


def _heed_interrupts() -> None:
    """A shell that starts tests in the background lets their children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    "phase", [pytest.param("invert", marks=pytest.mark.slow), "drag", pytest.param("denoise", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=["Ctrl-C", "SIGTERM"]
)
def test_an_interrupt_leaves_nothing(sent: signal.Signals, phase: str, desk: Any, dummy_folder: Path) -> None:
    before = desk.files()
    command = [
        "edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", dummy_folder, "--preset", "paper",
        "--set", "optimise.moving=400", "--json", "-o", desk.out, "--sidecar", desk.folder / "out.json",
    ]  # fmt: skip
    if phase == "denoise":
        command += ["--set", "optimise.moving=0", "--set", "optimise.refining=0", "--set", "inversion.steps=200"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from dragflow.cli.app import main; main()", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=_heed_interrupts,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        for line in process.stdout:
            event = json.loads(line)
            if event["phase"] == phase and event["event"] == "stepped":
                process.send_signal(sent)
                break
        rest = process.stdout.read()
        complaint = process.stderr.read()
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert '"written"' not in rest
    assert complaint.strip() == "cancelled: nothing was written"
    assert desk.files() == before
