"""LPIPS against the formula written out again, and its weights in the layout in which they are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dragflow.bench.metrics import lpips
from dragflow.core.errors import UserError

CHANNELS = (64, 192, 384, 256, 256)


def alexnet() -> nn.Sequential:
    """The trunk's published layout; its weights are drawn so that the activations keep their size."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
    ]  # fmt: skip
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias if layer.bias is not None else layer.weight, std=0.1)
    return nn.Sequential(*layers).requires_grad_(False)


def heads() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(CHANNELS)}


def trunk() -> dict[str, Tensor]:
    weights = {f"features.{key}": value for key, value in alexnet().state_dict().items()}
    return weights | {"classifier.1.weight": torch.zeros(2, 2)}


def pictures(size: tuple[int, int] = (224, 224)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x, y = torch.rand(2, 1, 3, *size, generator=generator) * 2 - 1
    return x, y


def written_out(x: Tensor, y: Tensor) -> float:
    """The sum over layers of the mean over places of w (unit(f_x) - unit(f_y))^2, place by place in numpy."""
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    total = 0.0
    outputs: list[list[np.ndarray]] = []
    for image in (x, y):
        scaled = (image[0].permute(1, 2, 0).double().numpy() - shift) / scale
        out = torch.from_numpy(scaled).permute(2, 0, 1)[None].float()
        relus = []
        for layer in alexnet():
            out = layer(out)
            if isinstance(layer, nn.ReLU):
                relus.append(out[0].double().numpy())
        outputs.append(relus)
    for a, b, head in zip(*outputs, heads().values(), strict=True):
        a, b = (f / (np.sqrt((f**2).sum(0)) + 1e-10) for f in (a, b))
        total += np.tensordot(head[0, :, 0, 0].double().numpy(), (a - b) ** 2, 1).mean()
    return float(total)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.save(trunk(), tmp_path / lpips.TRUNK)
    torch.save(heads(), tmp_path / lpips.HEADS)
    return tmp_path


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No weights in the environment, none in torch hub's folder, no package `lpips`."""
    home = tmp_path_factory.mktemp("torch")
    monkeypatch.delenv(lpips.VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setattr(lpips, "find_spec", lambda name: None)
    return home / "hub" / "checkpoints"


def test_it_is_the_formula(folder: Path) -> None:
    distance = lpips.load_lpips(lpips.find_weights(folder), "cpu")
    x, y = pictures()
    assert distance(x, y) == pytest.approx(written_out(x, y), rel=1e-5)
    assert distance(x, x) == 0


def test_other_sizes_are_resized_to_224_bilinearly(folder: Path) -> None:
    distance = lpips.load_lpips(lpips.find_weights(folder), "cpu")
    x, y = pictures((100, 152))
    small = [torch.nn.functional.interpolate(p, (224, 224), mode="bilinear", align_corners=False) for p in (x, y)]
    assert distance(x, y) == pytest.approx(written_out(*small), rel=1e-5)


@pytest.mark.parametrize("name", ["both.safetensors", "both.pth"])
def test_one_file_may_hold_both(folder: Path, name: str) -> None:
    save = save_file if name.endswith(".safetensors") else torch.save
    save(trunk() | heads(), folder / name)
    x, y = pictures()
    one, two = (lpips.load_lpips(lpips.find_weights(path), "cpu") for path in (folder / name, folder))
    assert one(x, y) == two(x, y) > 0


def test_heads_that_were_saved_on_a_gpu_load_without_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the published ones are, in the older format of torch."""
    x, y = pictures()
    expected = lpips.load_lpips(lpips.find_weights(folder), "cpu")(x, y)
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(heads(), folder / lpips.HEADS, _use_new_zipfile_serialization=False)
    assert b"cuda:0" in (folder / lpips.HEADS).read_bytes()
    assert lpips.load_lpips(lpips.find_weights(folder), "cpu")(x, y) == expected


def test_the_environment_names_the_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lpips.VARIABLE, str(folder))
    assert lpips.find_weights() == (folder / lpips.TRUNK, folder / lpips.HEADS)


def test_torch_hub_and_an_installed_package_are_looked_into(
    folder: Path, nowhere: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere.mkdir(parents=True)
    (folder / lpips.TRUNK).rename(nowhere / lpips.TRUNK)
    site = tmp_path_factory.mktemp("site")
    packaged = site / "lpips" / "weights" / "v0.1"
    packaged.mkdir(parents=True)
    (site / "lpips" / "__init__.py").write_text("raise ImportError('it needs torchvision')")
    (folder / lpips.HEADS).rename(packaged / lpips.HEADS)
    monkeypatch.undo()
    monkeypatch.delenv(lpips.VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(nowhere.parents[1]))
    monkeypatch.syspath_prepend(str(site))
    assert lpips.find_weights() == (nowhere / lpips.TRUNK, packaged / lpips.HEADS)


@pytest.mark.parametrize("name", [lpips.TRUNK, lpips.HEADS])
def test_a_missing_file_is_named_with_the_way_to_get_it(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"no {name} in .*pip download --no-deps lpips.*DRAGFLOW_LPIPS"):
        lpips.find_weights(folder)


def test_nothing_at_all_names_both() -> None:
    with pytest.raises(UserError, match=f"no {lpips.TRUNK} and no {lpips.HEADS}"):
        lpips.find_weights()


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.pth do not exist"):
        lpips.find_weights(tmp_path / "gone.pth")


@pytest.mark.parametrize("key", ["features.8.bias", "lin3.model.1.weight"])
def test_a_missing_tensor_is_named(tmp_path: Path, key: str) -> None:
    weights = trunk() | heads()
    del weights[key]
    torch.save(weights, tmp_path / "both.pth")
    with pytest.raises(UserError, match=f"both.pth have no tensor {key}"):
        lpips.load_lpips([tmp_path / "both.pth"])


@pytest.mark.parametrize(("key", "value"), [("features.3.weight", torch.zeros(192, 64, 3, 3)), ("features.3.bias", 7)])
def test_a_tensor_of_another_shape_is_named(tmp_path: Path, key: str, value: object) -> None:
    torch.save(trunk() | heads() | {key: value}, tmp_path / "both.pth")
    with pytest.raises(UserError, match=rf"{key} is .*, it must be \(192,"):
        lpips.load_lpips([tmp_path / "both.pth"])


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing that can be read")
    with pytest.raises(UserError, match=f"{name} cannot be read"):
        lpips.load_lpips([tmp_path / name])


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit",))

    torch.save({"features.0.weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match=r"bomb\.pth cannot be read"):
        lpips.load_lpips([tmp_path / "bomb.pth"])


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="hold a list"):
        lpips.load_lpips([tmp_path / "list.pth"])
