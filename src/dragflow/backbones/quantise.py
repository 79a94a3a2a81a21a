"""The diffusion transformer from its files, quantised as the options say: torchao, layerwise fp8, or a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dragflow.backbones.configs import check_config, check_sizes, defaults_of, empty_network, read_config
from dragflow.backbones.gguf_file import read_header, read_tensors
from dragflow.backbones.parts import Source, read_part
from dragflow.backbones.tensors import reason
from dragflow.core.errors import DragFlowError, UserError
from dragflow.core.extras import extra


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
    with extra("quant", "this quantisation"):
        from torchao import quantization
    from diffusers import TorchAoConfig

    return TorchAoConfig(getattr(quantization, config)())


def _from_gguf(cls: Any, path: Path, source: Source, dtype: torch.dtype) -> Any:
    if not path.is_file():
        raise UserError(f"quantised transformer {path} does not exist: check the path")
    with extra("quant", "a GGUF file"):
        import gguf  # noqa: F401
    from diffusers import GGUFQuantizationConfig

    where, folder = f"quantised transformer {path}", source.folder / "transformer"
    config = read_config(f"model {source.options.name}: its transformer", folder / "config.json")
    try:
        entries = read_header(path)
        check_config(where, config, defaults_of(cls), entries)
        network = empty_network(cls, config)
        check_sizes(where, config, network, entries)
        tensors, account = read_tensors(cls, path, network.state_dict())
        if str(account):
            raise ValueError(account)
        return cls.from_single_file(
            tensors,
            quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
            config=str(source.folder),
            subfolder="transformer",
            dtype=dtype,
        )
    except (DragFlowError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # gguf and diffusers believe what the file says, and fail in any way
        raise UserError(
            f"{where} is not a GGUF file, or not of this model ({reason(error)}): choose another"
        ) from error
