"""What torch was built for against what the machine has."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from dragflow.backbones import torch_build
from dragflow.backbones.torch_build import Accelerator, TorchBuild, accelerators, diagnose

CARD = Accelerator("CUDA", "NVIDIA RTX 4090", (12, 8))
CPU = TorchBuild("2.13.0+cpu", "CPU", works=True)
CUDA = TorchBuild("2.13.0", "CUDA", (12, 8), True, ("sm_80", "sm_90", "compute_90"), (8, 9))


@pytest.mark.parametrize(
    ("found", "build", "fault", "index"),
    [
        ((), CPU, None, None),
        ((CARD,), CUDA, None, None),
        ((CARD,), CPU, "does not use NVIDIA RTX 4090", "/cu128"),
        ((Accelerator("CUDA", "card"),), CPU, "does not use card", "/cu130"),
        ((Accelerator("ROCm", "an AMD GPU"),), CPU, "does not use an AMD GPU", "/rocm"),
        (
            (Accelerator("CUDA", "card", (12, 6)),),
            TorchBuild("2.13.0", "CUDA", (13, 0)),
            "runs CUDA 12.6 at most",
            "/cu126",
        ),
        ((Accelerator("CUDA", "card", (11, 4)),), TorchBuild("2.13.0", "CUDA", (13, 0)), "runs CUDA 11.4", None),
        ((CARD,), TorchBuild("2.13.0", "CUDA", (12, 8)), "--gpus all", None),
        ((CARD,), TorchBuild("2", "CUDA", (12, 8), True, ("sm_80", "sm_90"), (12, 0)), "no code for", "/cu128"),
        ((CARD,), TorchBuild("2", "CUDA", (12, 8), True, ("sm_80", "sm_90"), (6, 1)), "(sm_61)", "/cu126"),
        ((Accelerator("ROCm", "an AMD GPU"),), TorchBuild("2", "ROCm"), "not open to you", "usermod"),
        ((Accelerator("MPS", "an Apple GPU"),), TorchBuild("2", "MPS", works=True), None, None),
    ],
)
def test_a_fault_is_named_with_the_command_that_mends_it(
    found: tuple[Accelerator, ...], build: TorchBuild, fault: str | None, index: str | None
) -> None:
    told = diagnose(found, build)
    assert (told.fault is None) == (fault is None)
    assert (fault or "") in (told.fault or "")
    assert (told.command is None) == (index is None)
    assert (index or "") in (told.command or "")


def test_a_card_is_found_by_its_drivers_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(command: list[str], **_: object) -> SimpleNamespace:
        text = "NVIDIA H100\nNVIDIA H100\n" if len(command) > 1 else "| Driver Version: 570.1  CUDA Version: 12.8 |"
        return SimpleNamespace(stdout=text, returncode=0)

    monkeypatch.setattr(torch_build.shutil, "which", lambda name: name if name == "nvidia-smi" else None)
    monkeypatch.setattr(subprocess, "run", said)
    assert accelerators()[0] == Accelerator("CUDA", "NVIDIA H100", (12, 8))
