"""LPIPS with AlexNet, version 0.1 (Zhang et al. 2018), on the public weights of its trunk and its heads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.devices import pick_device
from dragflow.core.errors import UserError

Picture = Float[Tensor, "1 3 H W"]

TRUNK, HEADS = "alexnet-owt-7be5be79.pth", "alex.pth"
"""The files as they are published: torchvision's AlexNet, and the heads of LPIPS v0.1."""
VARIABLE = "DRAGFLOW_LPIPS"
HOW = (
    f"put torchvision's public checkpoint {TRUNK} and lpips/weights/v0.1/{HEADS} from the package lpips "
    f"(`pip download --no-deps lpips`) into one folder, and give it as `lpips` or in ${VARIABLE}"
)

_SIDE = 224  # DragFlow App. E: both pictures are resized to it
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPS = 1e-10


@dataclass(frozen=True)
class _Convolution:
    """One layer of AlexNet's trunk; each is followed by a ReLU, whose output is compared."""

    index: int
    """In torchvision's `features`."""
    shape: tuple[int, int, int, int]
    """Of the kernel: out, in, height, width."""
    stride: int
    padding: int
    pooled: bool
    """Whether a 3 x 3 maximum of stride 2 comes before it."""


_TRUNK = (
    _Convolution(0, (64, 3, 11, 11), 4, 2, False),
    _Convolution(3, (192, 64, 5, 5), 1, 2, True),
    _Convolution(6, (384, 192, 3, 3), 1, 1, True),
    _Convolution(8, (256, 384, 3, 3), 1, 1, False),
    _Convolution(10, (256, 256, 3, 3), 1, 1, False),
)


@dataclass(frozen=True, eq=False)
class Lpips:
    """The distance: 0 for equal pictures, and larger the less similar they look."""

    kernels: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    heads: tuple[Tensor, ...]
    """(1, C, 1, 1) for each layer."""
    name: str = "LPIPS (AlexNet, v0.1)"

    @torch.no_grad()
    def __call__(self, x: Picture, y: Picture) -> float:
        """Distance of two pictures of one size, in [-1, 1]; both are resized to 224 x 224, bilinear."""
        pair = torch.cat([x, y]).to(self.heads[0])
        pair = F.interpolate(pair, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
        total = 0.0
        for features, head in zip(self._features(pair), self.heads, strict=True):
            unit = features / (features.square().sum(dim=1, keepdim=True).sqrt() + _EPS)
            total += float(F.conv2d((unit[:1] - unit[1:]).square(), head).mean())
        return total

    def _features(self, x: Float[Tensor, "2 3 h w"]) -> Iterator[Float[Tensor, "2 c gh gw"]]:
        x = (x - x.new_tensor(_SHIFT).view(1, 3, 1, 1)) / x.new_tensor(_SCALE).view(1, 3, 1, 1)
        for layer, kernel, bias in zip(_TRUNK, self.kernels, self.biases, strict=True):
            if layer.pooled:
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(F.conv2d(x, kernel, bias, layer.stride, layer.padding))
            yield x


def find_weights(path: Path | None = None) -> tuple[Path, ...]:
    """The files that hold the weights: trunk and heads, or one with both.

    Args:
        path: such a file, or a folder with the published files. Default: $DRAGFLOW_LPIPS, else torch hub's folder of
            checkpoints. The heads may also be those of an installed package `lpips`.

    Raises:
        UserError: the path does not exist, or one of the two files is missing.
    """
    given = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if given is not None and given.is_file():
        return (given,)
    if given is not None and not given.is_dir():
        raise UserError(f"LPIPS weights {given} do not exist: {HOW}")
    folder = given or Path(torch.hub.get_dir()) / "checkpoints"
    trunk = [folder / TRUNK]
    heads = [folder / HEADS, *_packaged_heads()]
    chosen = [next((file for file in files if file.is_file()), None) for files in (trunk, heads)]
    if missing := [name for name, file in zip((TRUNK, HEADS), chosen, strict=True) if file is None]:
        place = given or "torch hub's folder of checkpoints"
        raise UserError(f"LPIPS has no weights: no {' and no '.join(missing)} in {place}: {HOW}")
    return tuple(file for file in chosen if file is not None)


def load_lpips(files: Sequence[Path], device: str | None = None) -> Lpips:
    """Load the distance from the files that `find_weights` gave.

    Raises:
        UserError: a file cannot be read, or a tensor is missing or of another shape.
    """
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= _read(file)
    names = ", ".join(str(file) for file in files)
    target = pick_device(device)

    def take(key: str, shape: tuple[int, ...]) -> Tensor:
        return _take(tensors, key, shape, names).to(target, torch.float32)

    return Lpips(
        tuple(take(f"features.{layer.index}.weight", layer.shape) for layer in _TRUNK),
        tuple(take(f"features.{layer.index}.bias", layer.shape[:1]) for layer in _TRUNK),
        tuple(take(f"lin{i}.model.1.weight", (1, layer.shape[0], 1, 1)) for i, layer in enumerate(_TRUNK)),
    )


def _packaged_heads() -> list[Path]:
    """The heads inside an installed `lpips`, which is not imported: that would need torchvision."""
    spec = find_spec("lpips")
    places = spec.submodule_search_locations if spec is not None else None
    return [Path(place) / "weights" / "v0.1" / HEADS for place in places or ()]


def _read(file: Path) -> Mapping[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        # The published heads were saved on a GPU.
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file, or one that is not a pickle, raises almost anything
        raise UserError(f"LPIPS weights {file} cannot be read ({type(error).__name__}: {error}): {HOW}") from error
    if not isinstance(tensors, Mapping):
        raise UserError(f"LPIPS weights {file} hold a {type(tensors).__name__}, not tensors by name: {HOW}")
    return tensors


def _take(tensors: Mapping[str, Tensor], key: str, shape: tuple[int, ...], names: str) -> Tensor:
    tensor = tensors.get(key)
    if tensor is None:
        raise UserError(f"LPIPS weights {names} have no tensor {key}: {HOW}")
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
        given = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise UserError(f"LPIPS weights {names}: {key} is {given}, it must be {shape}: {HOW}")
    return tensor
