"""Whether the torch that is installed can use the accelerator that is there, and the command that mends it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

Kind = Literal["CUDA", "ROCm", "MPS", "CPU"]
Version = tuple[int, int]

_INDEX = "https://download.pytorch.org/whl"
_CUDA_BUILDS: tuple[Version, ...] = ((13, 0), (12, 8), (12, 6))
"""Versions of CUDA that wheels of torch are built for, the newest first; the last one has the oldest cards."""
_ROCM_BUILD = "rocm6.4"
_SECONDS = 20.0


@dataclass(frozen=True)
class Accelerator:
    """What is in the machine, found without torch."""

    kind: Kind
    name: str
    cuda: Version | None = None
    """The newest CUDA that the driver runs; None where that is not known."""


@dataclass(frozen=True)
class TorchBuild:
    """What torch was built for, and whether that works here."""

    version: str
    kind: Kind
    cuda: Version | None = None
    works: bool = False
    """Whether it finds a device."""
    arches: tuple[str, ...] = ()
    """Those that it has code for, as sm_90; none where that is not known."""
    capability: Version | None = None
    """Of the card that is there."""


@dataclass(frozen=True)
class Diagnosis:
    """How torch and the machine go together."""

    text: str
    fault: str | None = None
    """What will not work; None if all does."""
    command: str | None = None
    """What mends it."""


def accelerators() -> tuple[Accelerator, ...]:
    """The accelerators of this machine."""
    found: list[Accelerator] = []
    names = _said_by("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    if names:
        header = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", _said_by("nvidia-smi"))
        found.append(Accelerator("CUDA", names[0].strip(), header and (int(header[1]), int(header[2]))))
    if Path("/sys/module/amdgpu/version").exists() or Path("/sys/class/kfd/kfd").exists():
        found.append(Accelerator("ROCm", "an AMD GPU"))
    if sys.platform == "darwin" and "Apple" in _said_by("sysctl", "-n", "machdep.cpu.brand_string"):
        found.append(Accelerator("MPS", "an Apple GPU"))
    return tuple(found)


def torch_build() -> TorchBuild:
    """The torch that is installed."""
    version = str(torch.__version__)
    if torch.version.hip is not None:
        return TorchBuild(version, "ROCm", works=torch.cuda.is_available())
    if torch.version.cuda is not None:
        major, minor = (int(part) for part in torch.version.cuda.split(".")[:2])
        works = torch.cuda.is_available()
        capability = torch.cuda.get_device_capability() if works else None
        return TorchBuild(version, "CUDA", (major, minor), works, tuple(torch.cuda.get_arch_list()), capability)
    if torch.backends.mps.is_built():
        return TorchBuild(version, "MPS", works=torch.backends.mps.is_available())
    return TorchBuild(version, "CPU", works=True)


def diagnose(found: tuple[Accelerator, ...], build: TorchBuild) -> Diagnosis:
    """Compare the two."""
    built = f"torch {build.version} is built for {_build_name(build)}"
    if not found:
        return Diagnosis(f"{built}; no accelerator is found, so models run on the CPU")
    best = found[0]
    here = f"{built}; {best.name} is here"
    if all(one.kind != build.kind for one in found):
        return Diagnosis(here, f"this torch does not use {best.name}", _install(best.kind, best.cuda))
    best = next(one for one in found if one.kind == build.kind)
    if not build.works:
        return Diagnosis(here, *_why_not(best, build))
    if build.kind == "CUDA" and build.capability is not None and not _has_code(build.arches, build.capability):
        card = f"sm_{build.capability[0]}{build.capability[1]}"
        newer = build.capability > max((_arch(arch) for arch in build.arches), default=(0, 0))
        command = _install("CUDA", best.cuda if newer else _CUDA_BUILDS[-1])
        return Diagnosis(here, f"this torch has no code for {best.name} ({card})", command)
    return Diagnosis(f"{here}, --device mps uses it" if build.kind == "MPS" else f"{here}, and is used")


def _why_not(found: Accelerator, build: TorchBuild) -> tuple[str, str | None]:
    """Why a torch that was built for an accelerator does not find it, and the command."""
    if build.kind == "CUDA" and found.cuda is not None and build.cuda is not None and found.cuda < build.cuda:
        runs = ".".join(map(str, found.cuda))
        return f"the driver of {found.name} runs CUDA {runs} at most", _install("CUDA", found.cuda)
    if build.kind == "ROCm":
        return f"torch finds no device: {found.name} is not open to you", "sudo usermod -a -G render,video $LOGNAME"
    return f"torch does not find {found.name}: check that this program may use it (a container needs --gpus all)", None


def _has_code(arches: tuple[str, ...], capability: Version) -> bool:
    """Whether a build has code that a card runs: of its generation and no newer, or some to be compiled for it."""
    native = [_arch(arch) for arch in arches if arch.startswith("sm_")]
    compiled = [_arch(arch) for arch in arches if arch.startswith("compute_")]
    runs = any(major == capability[0] and minor <= capability[1] for major, minor in native)
    return not arches or runs or any(arch <= capability for arch in compiled)


def _arch(name: str) -> Version:
    """The capability in sm_90, sm_120 or sm_90a."""
    digits = re.sub(r"\D", "", name)
    return int(digits[:-1]), int(digits[-1])


def _install(kind: Kind, cuda: Version | None) -> str | None:
    """The command that installs a torch for an accelerator, into the environment of this program."""
    pip = (
        f"{_quoted(sys.executable)} -m pip install" if find_spec("pip") else f"uv pip install -p {_quoted(sys.prefix)}"
    )
    command = f"{pip} --upgrade --force-reinstall torch"
    if kind == "MPS":  # the index of Python itself has it
        return command if platform.machine() == "arm64" else None
    if kind == "ROCm":
        return f"{command} --index-url {_INDEX}/{_ROCM_BUILD}"
    version = next((one for one in _CUDA_BUILDS if cuda is None or one <= cuda), None)
    return None if version is None else f"{command} --index-url {_INDEX}/cu{version[0]}{version[1]}"


def _build_name(build: TorchBuild) -> str:
    name = "the CPU" if build.kind == "CPU" else build.kind
    return name if build.cuda is None else f"{name} {build.cuda[0]}.{build.cuda[1]}"


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path


def _said_by(program: str, *arguments: str) -> str:
    """What a program of the system says; nothing if it is not there or fails."""
    place = shutil.which(program)
    if place is None:
        return ""
    try:
        done = subprocess.run([place, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
