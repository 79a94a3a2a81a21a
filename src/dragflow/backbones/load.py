"""What loading a model of any family shares: device and dtype, whole parts, quantisation, offload, the prompts that are
kept, fingerprints, and the self-test that gradients flow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn

from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.method.backbone import Backbone

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PROMPTS_KEPT = 8
_SAMPLE = 1 << 16
_VALUES = 64

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A model that was found: what was asked for, and where it is."""

    options: ModelOptions
    folder: Path
    """In diffusers layout."""
    revision: str | None
    """Commit of the hub snapshot; None for a folder."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Further files with weights: the transformer's, where it comes as GGUF."""
        return () if self.options.gguf is None else (Path(self.options.gguf),)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep progress bars and notes of the model libraries off the terminal for a while."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    levels = [library.get_verbosity() for library in libraries]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level, shown in zip(libraries, levels, bars, strict=True):
            library.set_verbosity(level)
            if shown:
                library.enable_progress_bar()


# -- device and dtype ------------------------------------------------------------------------------------------------


def pick_device(name: str | None) -> torch.device:
    """The device of this name; when None, a GPU if there is one.

    Raises:
        UserError: it is not available.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} is not available here: use cpu, or see `dragflow doctor`") from error
    return device


def pick_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The dtype of this name; when None, bfloat16 on an accelerator and float32 on a CPU.

    Raises:
        UserError: no such name.
    """
    if name is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in _DTYPES:
        raise UserError(f"dtype {name!r} is not known: choose one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


@contextmanager
def on_device(modules: Iterable[Any], device: torch.device, *, offload: bool) -> Iterator[None]:
    """Bring offloaded networks to a device while they are used."""
    if not offload:
        yield
        return
    modules = tuple(modules)
    try:
        for module in modules:
            module.to(device)
        yield
    finally:
        for module in modules:
            module.to("cpu")


# -- parts -----------------------------------------------------------------------------------------------------------


@contextmanager
def part_of(model: str, part: str) -> Iterator[None]:
    """Say which part of a model could not be loaded; weights are read from safetensors only, never from pickles.

    Raises:
        UserError: instead of what the library raised.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(
            f"model {model}: its {part} cannot be loaded ({error}): download or export the model again, as safetensors"
        ) from error


def load_part(cls: Any, model: str, part: str, device: torch.device, **where: Any) -> Any:
    """A network of a model, every weight of it from its file, on a device and ready to be used.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
    """
    return read_part(cls, model, part, **where).to(device).eval().requires_grad_(False)


def read_part(cls: Any, model: str, part: str, **where: Any) -> Any:
    """A network of a model as the library gives it, every weight of it from its file.

    The libraries only warn when weights are missing, and draw them at random or leave them without values.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
    """
    with part_of(model, part):
        network, info = cls.from_pretrained(model, use_safetensors=True, output_loading_info=True, **where)
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"model {model}: its {part} has no {missing[0]} ({len(missing)} tensors are missing): "
            f"a {cls.__name__} is needed"
        )
    return network


# -- quantisation ----------------------------------------------------------------------------------------------------


def load_transformer(cls: Any, source: Source, dtype: torch.dtype) -> Any:
    """The diffusion transformer, quantised as the options say; on the CPU.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
        CapabilityError: the library of the quantisation is missing.
    """
    quantize = source.options.quantize
    if source.options.gguf is not None:
        return _from_gguf(cls, Path(source.options.gguf), source, dtype)
    settings = {"quantization_config": _torchao(_TORCHAO[quantize])} if quantize in _TORCHAO else {}
    transformer = read_part(cls, str(source.folder), "transformer", subfolder="transformer", dtype=dtype, **settings)
    if quantize == "layerwise-fp8":
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    return transformer


_TORCHAO = {"int8": "Int8WeightOnlyConfig", "fp8": "Float8WeightOnlyConfig"}
"""Weight-only: through these gradients reach the latent, through dynamic activations none do."""


def _torchao(config: str) -> Any:
    try:
        from diffusers import TorchAoConfig
        from torchao import quantization
    except ImportError as error:
        raise CapabilityError("this quantisation needs torchao: pip install 'dragflow[quant]'") from error
    return TorchAoConfig(getattr(quantization, config)())


def _from_gguf(cls: Any, path: Path, source: Source, dtype: torch.dtype) -> Any:
    if not path.is_file():
        raise UserError(f"quantised transformer {path} does not exist: check the path")
    try:
        from diffusers import GGUFQuantizationConfig

        transformer = cls.from_single_file(
            str(path),
            quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
            config=str(source.folder),
            subfolder="transformer",
            dtype=dtype,
        )
    except ImportError as error:
        raise CapabilityError("GGUF files need the gguf library: pip install 'dragflow[quant]'") from error
    except (ValueError, IndexError, KeyError, RuntimeError, OSError) as error:
        raise UserError(
            f"quantised transformer {path} is not a GGUF file, or not of this model ({error}): choose another"
        ) from error
    if missing := [name for name, weight in transformer.named_parameters() if weight.is_meta]:
        raise UserError(
            f"quantised transformer {path} has no {missing[0]} ({len(missing)} tensors are missing): choose another"
        )
    return transformer


# -- prompts ---------------------------------------------------------------------------------------------------------


class PromptCache(Generic[T]):
    """The last few prompts as the text encoders gave them, so that only a new one costs an encoder."""

    def __init__(self) -> None:
        self._kept: dict[str, T] = {}

    def get(self, prompt: str, encode: Callable[[], T]) -> T:
        """What was kept of a prompt, else what `encode` gives."""
        if prompt not in self._kept:
            encoded = encode()
            while len(self._kept) >= _PROMPTS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[prompt] = encoded
        return self._kept[prompt]


# -- which weights ---------------------------------------------------------------------------------------------------


def weights_of(source: Source, loras: Iterable[Path], dtype: torch.dtype) -> WeightsId:
    """Which weights a loaded model has; what says only where and how it runs is left out."""
    options = replace(
        source.options,
        model=source.options.name,
        revision=source.revision,
        dtype=dtype_name(dtype),
        device=None,
        offload=False,
        checkpointing=None,
        subject=None,
        fingerprint=None,
    )
    return WeightsId(options, with_files(fingerprint(source.folder), [*source.files, *loras]))


def weights_of_parts(name: str, networks: Iterable[nn.Module], dtype: torch.dtype) -> WeightsId:
    """Which weights networks have that no loader of ours read."""
    return WeightsId(ModelOptions(name, dtype=dtype_name(dtype)), with_networks("", networks))


def dtype_name(dtype: torch.dtype) -> Any:
    """A dtype as options name it."""
    return str(dtype).removeprefix("torch.")


def fingerprint(folder: Path) -> str:
    """Sixteen hex digits over size, head and tail of every configuration and weight file, without reading all of it."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".txt", ".model")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(_sample(path))
    return digest.hexdigest()[:16]


def with_files(weights: str, files: Iterable[Path]) -> str:
    """The fingerprint of weights together with further files; without any the same as before."""
    for path in files:
        weights = hashlib.sha256(weights.encode() + _sample(path)).hexdigest()[:16]
    return weights


def with_networks(weights: str, networks: Iterable[nn.Module]) -> str:
    """The fingerprint of weights together with loaded networks: names, shapes and some values of all their tensors."""
    digest = hashlib.sha256(weights.encode())
    for network in networks:
        for name, x in network.state_dict().items():
            values = x.flatten()[:: max(1, x.numel() // _VALUES)].float().cpu().numpy()
            digest.update(f"{name} {tuple(x.shape)}".encode() + values.tobytes())
    return digest.hexdigest()[:16]


def file_fingerprint(path: Path) -> str:
    """Sixteen hex digits over size, head and tail of one file."""
    return hashlib.sha256(_sample(path)).hexdigest()[:16]


def _sample(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
        file.seek(max(0, size - _SAMPLE))
        return size.to_bytes(8, "big") + head + file.read()


# -- the self-test ---------------------------------------------------------------------------------------------------


def gradient_self_test(backbone: Backbone) -> None:
    """One tiny features-and-backward: the gradient must be finite and not zero.

    Raises:
        CapabilityError: it is not; no drag could work on this model.
    """
    spec = backbone.spec
    side = 2 * spec.pixel_multiple // spec.latent_stride
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, spec.latent_channels, side, side, generator=generator).to(backbone.device).requires_grad_(True)
    features = backbone.features(z, 0.8, backbone.condition("", guidance=1.0), taps=spec.taps)
    try:
        (gradient,) = torch.autograd.grad(torch.stack([f.float().square().mean() for f in features]).sum(), z)
        size = float(gradient.abs().max())
    except RuntimeError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise CapabilityError(
            f"gradients do not reach the latent through this model (largest: {size}): use another quantisation "
            "(int8, fp8, layerwise-fp8, gguf:FILE), or none"
        )
