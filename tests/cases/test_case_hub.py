"""The hub as users meet it: every cause by its name, only the files of a model's parts, and no secret in a sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from dragflow.backbones import hub
from dragflow.core.errors import UserError

PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
SECRET = "hf_secretsecretsecret"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def repository(dummy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a repository: a small pipeline, and what repositories hold beside one."""
    folder = tmp_path_factory.mktemp("hub") / "repository"
    shutil.copytree(dummy_folder, folder)
    surplus = ("README.md", "sample.png", "flux.safetensors", "safety_checker/model.safetensors")
    surplus += ("transformer/model.onnx", "text_encoder/flax_model.msgpack", "vae/diffusion_pytorch_model.bin")
    surplus += ("vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.bin.index.json")
    for name in surplus:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"surplus")
    return folder


@pytest.fixture(scope="module")
def address(repository: Path, cases_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a stand-in for the hub answers."""
    port = free_port()
    script = tmp_path_factory.mktemp("server") / "hub.py"
    script.write_text((cases_dir / "hub" / "hub.py").read_text().replace("8731", str(port)))
    server = subprocess.Popen([sys.executable, str(script), str(repository)])
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Set where the hub is; the cache is empty."""
    for name in ("HF_TOKEN", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))

    def use(endpoint: str, *, offline: bool = False, token: str | None = None, proxy: str | None = None) -> None:
        close_session()
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        if proxy is not None:
            monkeypatch.setenv("HTTP_PROXY", proxy)

    yield use
    close_session()


def said(model: str, **options: str) -> str:
    with pytest.raises(UserError) as refused:
        hub.find(model, **options)  # pyright: ignore[reportArgumentType]
    text = str(refused.value)
    assert len(text) < 600
    assert SECRET not in text
    assert refused.value.__cause__ is None
    return text


@pytest.mark.parametrize(
    ("kind", "token", "words"),
    [
        ("gated", None, "it is gated: accept its licence"),
        ("gated403", SECRET, "it is gated, and the account of your token has no access"),
        ("missing", None, "it is not on the hub, or private"),
        ("badtoken", SECRET, "refuses your token"),
        ("busy", None, "(429)"),
        ("down", None, "trouble (status 503)"),
    ],
)
def test_each_cause_has_its_name(
    kind: str, token: str | None, words: str, address: str, use: Callable[..., None]
) -> None:
    use(address, token=token)
    text = said(f"x/{kind}")
    assert words in text
    assert f"x/{kind}" in text


def test_no_network_no_proxy_and_no_such_address(use: Callable[..., None]) -> None:
    closed = f"127.0.0.1:{free_port()}"
    use(f"http://me:{SECRET}@{closed}")
    assert "127.0.0.1 cannot be reached: check the network" in said("x/y")
    use("http://hub.invalid", proxy=f"http://me:{SECRET}@{closed}")
    assert "through the proxy of HTTP_PROXY" in said("x/y")
    use("ftp://hub.invalid")
    assert "HF_ENDPOINT is not an address" in said("x/y")


def test_a_hub_that_does_not_answer(use: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_PATIENCE", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        use(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "does not answer in time" in said("x/y")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "is full: free space"), (errno.EACCES, "may not be written"), (errno.EROFS, "HF_HOME")],
)
def test_a_disk_that_takes_nothing(
    number: int, words: str, address: str, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(address)

    def full(*args: object, **options: object) -> None:
        raise OSError(number, "said by the system")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    text = said("x/good")
    assert words in text
    assert str(constants.HF_HUB_CACHE) in text


def test_only_the_files_of_the_parts_are_downloaded(address: str, use: Callable[..., None], repository: Path) -> None:
    use(address)
    folder = hub.find("x/good")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "model_index.json" in there
    assert {name.partition("/")[0] for name in there} == {"model_index.json", *PARTS}
    assert not [name for name in there if (repository / name).read_bytes() == b"surplus"]
    assert "vae/diffusion_pytorch_model.safetensors" in there


def test_a_complete_cache_is_used_without_the_hub(address: str, use: Callable[..., None]) -> None:
    use(address)
    folder = hub.find("x/good")
    use("http://127.0.0.1:9", offline=True)
    assert hub.find("x/good") == folder
    use(f"http://127.0.0.1:{free_port()}")
    assert hub.find("x/good") == folder
    assert "127.0.0.1 cannot be reached" in said("x/other")


def test_half_a_cache_names_the_file(address: str, use: Callable[..., None]) -> None:
    use(address)
    folder = hub.find("x/good")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").resolve().unlink()
    use(address, offline=True)
    text = said("x/good")
    assert "only partly in the cache, vae/*.safetensors is missing" in text
    assert "HF_HUB_OFFLINE" in text


@pytest.mark.slow
def test_a_cache_that_diffusers_filled_is_good_offline(address: str, use: Callable[..., None]) -> None:
    """It reads the address as it is imported, so it runs on its own."""
    use(address)
    env = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_CACHE": constants.HF_HUB_CACHE}
    code = "from diffusers import FluxPipeline; print(FluxPipeline.download('x/good'))"
    filled = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    use(address, offline=True)
    assert str(hub.find("x/good")) == filled.splitlines()[-1]


def test_what_else_is_in_a_snapshot_does_not_change_the_weights(dummy_folder: Path, tmp_path: Path) -> None:
    from dragflow.backbones.fingerprint import fingerprint

    folder = tmp_path / "model"
    shutil.copytree(dummy_folder, folder)
    before = fingerprint(folder)
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"another variant")
    (folder / "flux1.safetensors").write_bytes(b"a single file")
    assert fingerprint(folder) == before
    (folder / "vae" / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    assert fingerprint(folder) != before


def test_weights_that_exist_as_fp16_alone_are_loaded(dummy_folder: Path, tmp_path: Path) -> None:
    from dragflow.editor.editor import Editor

    folder = tmp_path / "model"
    shutil.copytree(dummy_folder, folder)
    plain = Editor.load(folder, device="cpu").backbone
    for file in [*folder.rglob("model.safetensors"), *folder.rglob("diffusion_pytorch_model.safetensors")]:
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    other = Editor.load(folder, device="cpu").backbone
    mine, theirs = plain.transformer.state_dict(), other.transformer.state_dict()  # pyright: ignore
    assert all((mine[name] == theirs[name]).all() for name in mine)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a/b/c",
        "a b/c",
        "a/b\x00",
        "x" * 400,
        f"a/{'x' * 400}",
        "C:\\models\\flux",
        "a/b?",
        "/no/such",
    ],
)
def test_what_is_no_name_is_refused_before_the_hub_is_asked(name: str, use: Callable[..., None]) -> None:
    use("http://127.0.0.1:9", offline=True)
    assert "is neither a folder nor a hub id" in said(name)


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    file = tmp_path / "flux.safetensors"
    file.write_bytes(b"weights")
    assert "is a file: name the folder" in said(str(file))
