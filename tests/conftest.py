"""Fixtures shared by all tests: the command line, research data beside the checkout, a small FLUX in real layout."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jaxtyping import install_import_hook

from dragflow.core.models import SubjectOptions

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Shapes and types of tensor functions are checked at every call while tests run.
install_import_hook(["dragflow.ops", "dragflow.method.supervision"], "beartype.beartype")

# A shell that starts the tests in the background makes them ignore Ctrl-C, and every program that they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

_SHARED = Path(__file__).parents[2] / "shared"


def _shared(name: str) -> Path:
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f"research data are not distributed with the project: no folder ../shared/{name}")
    return folder


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, run in this process."""
    from dragflow.cli.app import main

    def run(*argv: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(arg) for arg in argv])
        captured = capsys.readouterr()
        return Outcome(int(stopped.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What somebody swept or chose on this machine must not change what models do in tests, nor in programs that tests
    start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        folder = tmp_path_factory.mktemp("user")
        for kept in ("sweeps", "models"):
            patch.setattr(f"dragflow.files.{kept}.config_folder", folder.joinpath)
        patch.delenv("DRAGFLOW_MODEL", raising=False)
        yield


@pytest.fixture
def models_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test alone keeps the user's models."""
    monkeypatch.setattr("dragflow.files.models.config_folder", (tmp_path / "user").joinpath)
    return tmp_path / "user" / "models.toml"


@pytest.fixture
def swept_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test alone for sweeps, and for what they have measured."""
    monkeypatch.setattr("dragflow.files.sweeps.config_folder", (tmp_path / "user").joinpath)
    monkeypatch.setattr("dragflow.bench.sweep.measure.cache_folder", (tmp_path / "cache").joinpath)
    return tmp_path / "user" / "sweeps"


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Vectors recorded from the published method."""
    return _shared("reference")


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """Samples of the field's benchmarks."""
    return _shared("samples")


@pytest.fixture(scope="session")
def cases_dir() -> Path:
    """Inputs that real users bring."""
    return _shared("cases")


@pytest.fixture(scope="session")
def dummy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX.1 pipeline with small random weights, saved in diffusers layout."""
    from dragflow.backbones.dummy import write_dummy

    return write_dummy(tmp_path_factory.mktemp("model") / "flux-dummy")


@pytest.fixture(scope="session")
def kontext_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX.1 Kontext pipeline with small random weights, saved in diffusers layout."""
    from dragflow.backbones.dummy import write_dummy

    return write_dummy(tmp_path_factory.mktemp("model") / "kontext-dummy", pipeline="FluxKontextPipeline")


@pytest.fixture(scope="session")
def fill_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX.1 Fill pipeline with small random weights, saved in diffusers layout."""
    from dragflow.backbones.dummy import write_dummy

    return write_dummy(tmp_path_factory.mktemp("model") / "fill-dummy", pipeline="FluxFillPipeline")


@pytest.fixture(scope="session")
def dummy_bridge(dummy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bridge of that model, with weights as after a training."""
    import torch

    from dragflow.backbones.base import on_diffusers
    from dragflow.backbones.bridge import bridge_of, write_bridge
    from dragflow.backbones.registry import load_backbone
    from dragflow.core.models import ModelOptions
    from dragflow.ops.bridge import MASKS

    own = on_diffusers(load_backbone(ModelOptions(str(dummy_folder))), "a bridge").transformer
    made, path = bridge_of(own, 4 * (16 + MASKS)), tmp_path_factory.mktemp("bridge") / "bridge.safetensors"
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=draw)
    write_bridge(path, made, own)
    return path


@pytest.fixture(scope="session")
def instantcharacter(tmp_path_factory: pytest.TempPathFactory) -> SubjectOptions:
    """InstantCharacter in its real layout for that model, and both encoders, small and random."""
    from dragflow.subject.dummy import write_encoders, write_instantcharacter

    folder = tmp_path_factory.mktemp("instantcharacter")
    write_encoders(folder)
    return SubjectOptions(
        "instantcharacter",
        str(write_instantcharacter(folder / "adapter.bin")),
        str(folder / "siglip"),
        str(folder / "dinov2"),
    )


@pytest.fixture(scope="session")
def ip_adapter(tmp_path_factory: pytest.TempPathFactory) -> SubjectOptions:
    """An IP-adapter in XLabs' layout for that model, and a CLIP, small and random."""
    from dragflow.subject.dummy import write_clip, write_ip_adapter

    folder = tmp_path_factory.mktemp("ip-adapter")
    write_clip(folder / "clip")
    return SubjectOptions(
        "ip-adapter", str(write_ip_adapter(folder / "adapter.safetensors")), clip=str(folder / "clip")
    )


@pytest.fixture(scope="session")
def instantx(tmp_path_factory: pytest.TempPathFactory) -> SubjectOptions:
    """An IP-adapter in InstantX's layout for that model, and a SigLIP, small and random."""
    from dragflow.subject.dummy import write_encoders, write_instantx

    folder = tmp_path_factory.mktemp("instantx")
    write_encoders(folder)
    return SubjectOptions("ip-adapter", str(write_instantx(folder / "adapter.bin")), str(folder / "siglip"))


@pytest.fixture(scope="session")
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of Stable Diffusion 3.5 large with small random weights, saved in diffusers layout."""
    from small_sd3 import write_sd3

    return write_sd3(tmp_path_factory.mktemp("model") / "sd3-large", dual=0)


@pytest.fixture(scope="session")
def sd3_ip_adapter(tmp_path_factory: pytest.TempPathFactory) -> SubjectOptions:
    """An IP-adapter in InstantX's layout for that model, and a SigLIP, small and random."""
    from dragflow.subject.dummy import write_encoders, write_sd3_ip_adapter

    folder = tmp_path_factory.mktemp("sd3-ip-adapter")
    write_encoders(folder)
    return SubjectOptions(
        "ip-adapter", str(write_sd3_ip_adapter(folder / "ip-adapter.safetensors")), str(folder / "siglip")
    )


_FAR = """
import os
from pathlib import Path

from dragflow.core.result import IntentRecord
from dragflow.intent.answer import parse_answer
from dragflow.intent.base import Answer


class Far:
    name, model, remote = "far", "far-1", True

    def propose(self, request):
        folder = Path(os.environ["FAR_FOLDER"])
        with (folder / "asked").open("a") as log:
            log.write("x")
        proposal = parse_answer((folder / "answer.json").read_text(), request)
        return Answer(proposal, IntentRecord(self.name, self.model, 1.5, 1, 100, 20))


def load(options):
    return Far()
"""


@pytest.fixture
def install(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, dict[str, str]], Path]:
    """Install a package of one module for the length of a test: its code, the group of its entry points, and these by
    name, each an attribute of the module or "" for the module itself. Gives its folder.
    """

    def install(code: str, group: str, points: dict[str, str]) -> Path:
        folder = tmp_path_factory.mktemp("far")  # numbered, so that no two tests import one module
        module = folder.name
        (folder / f"{module}.py").write_text(code)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {module}{attribute and ':' + attribute}\n" for name, attribute in points.items()]
        (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(lines))
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return install


@pytest.fixture
def far(install: Callable[[str, str, dict[str, str]], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a provider of intent; it says its folder's `answer.json`, and makes `asked` longer."""
    folder = install(_FAR, "dragflow.intent", {"far": "load", "rules": "load"})
    monkeypatch.setenv("FAR_FOLDER", str(folder))
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium of the system; none is downloaded."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--force-color-profile=srgb"])
        yield browser
        browser.close()
