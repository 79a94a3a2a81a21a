"""The diffusion transformer from its files, quantised as the options say: torchao, layerwise fp8, or a GGUF file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from dragflow.backbones.checkpoints.header import GGUF
from dragflow.backbones.checkpoints.names import Naming, plan
from dragflow.backbones.checkpoints.network import fitting, opened, read_diffusers, shapes_of
from dragflow.backbones.checkpoints.recognise import split
from dragflow.backbones.configs import Config, empty_network
from dragflow.backbones.gguf_file import read_header
from dragflow.backbones.parts import Source, read_part
from dragflow.backbones.swap import blocks_of
from dragflow.backbones.tensors import reason
from dragflow.core.errors import DragFlowError, UserError
from dragflow.core.extras import extra


def load_transformer(cls: Any, source: Source, config: Config, naming: Naming, dtype: torch.dtype) -> Any:
    """The diffusion transformer, quantised as the options say; on the CPU.

    Args:
        cls: of diffusers.
        source: the model.
        config: of the transformer.
        naming: what the model's authors call its tensors.
        dtype: what it computes in.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
        CapabilityError: the library of the quantisation is missing.
    """
    quantize, checkpoint = source.options.quantize, source.checkpoints.get("transformer")
    if source.options.gguf is not None:
        return _from_gguf(cls, Path(source.options.gguf), config, naming, dtype)
    if checkpoint is not None and checkpoint.file.suffix.lower() in GGUF:
        return _from_gguf(cls, checkpoint.file, config, naming, dtype)
    if checkpoint is not None:
        with opened(checkpoint) as contents:
            return quantised(read_diffusers(cls, config, contents, naming, dtype), quantize, dtype)
    settings = {"quantization_config": _torchao(_TORCHAO[quantize])} if quantize in _TORCHAO else {}
    transformer = read_part(cls, str(source.folder), "transformer", subfolder="transformer", dtype=dtype, **settings)
    return quantised(transformer, None if settings else quantize, dtype)


def quantised(transformer: Any, quantize: str | None, dtype: torch.dtype) -> Any:
    """A transformer whose weights are not quantised yet, quantised in place."""
    if quantize in _TORCHAO:
        with extra("quant", "this quantisation"):
            from torchao import quantization
        quantization.quantize_(transformer, getattr(quantization, _TORCHAO[quantize])())
    if quantize == "nf4":
        _pack_nf4(transformer)
    if quantize == "layerwise-fp8":
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    return transformer


_TORCHAO = {"int8": "Int8WeightOnlyConfig", "fp8": "Float8WeightOnlyConfig"}
"""Weight-only: through these gradients reach the latent, through dynamic activations none do."""


_BLOCK, _SCALES = 64, 256
"""Weights that share a scale in nf4, and the most scales that share one of theirs."""


def _pack_nf4(transformer: Any) -> None:
    """Linear layers of the blocks in 4 bits; of others, which are small, the values stay."""
    with extra("quant", "this quantisation"):
        from torchao.quantization import to_nf4
    for block in blocks_of(transformer):
        for layer in block.modules():
            if not isinstance(layer, torch.nn.Linear):
                continue
            blocks, rest = divmod(layer.weight.numel(), _BLOCK)
            if rest == 0:
                packed = to_nf4(layer.weight.detach(), _BLOCK, math.gcd(blocks, _SCALES))
                layer.weight = torch.nn.Parameter(packed, requires_grad=False)


def _torchao(config: str) -> Any:
    with extra("quant", "this quantisation"):
        from torchao import quantization
    from diffusers import TorchAoConfig

    return TorchAoConfig(getattr(quantization, config)())


def _from_gguf(cls: Any, path: Path, config: Config, naming: Naming, dtype: torch.dtype) -> Any:
    """A transformer whose linear layers stay packed; what else is packed in the file the library cannot run so."""
    if not path.is_file():
        raise UserError(f"quantised transformer {path} does not exist: check the path")
    with extra("quant", "a GGUF file"):
        import gguf  # noqa: F401
    from diffusers import GGUFQuantizationConfig
    from diffusers.models.model_loading_utils import load_gguf_checkpoint
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    where = f"quantised transformer {path}"
    try:
        entries, prefix = read_header(path), ""
        if len(groups := split(path, entries)) == 1:
            ((prefix, entries),) = groups.items()
        fitting(cls, where, [config], entries, naming)
        shapes = {name: entry.shape for name, entry in entries.items()}
        network = empty_network(cls, config)
        rows, tensors = plan(shapes, shapes_of(network), naming), load_gguf_checkpoint(str(path))
        found = {name: each.of(tensors[prefix + each.source]) for name, each in rows.items()}
        linear = {f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, torch.nn.Linear)}
        found = {name: x if name in linear else dequantize_gguf_tensor(x) for name, x in found.items()}
        with TemporaryDirectory() as folder:  # the library reads configurations from files alone
            (Path(folder) / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
            return cls.from_single_file(
                found,
                quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
                config=folder,
                dtype=dtype,
            )
    except (DragFlowError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # gguf and diffusers believe what the file says, and fail in any way
        raise UserError(
            f"{where} is not a GGUF file, or not of this model ({reason(error)}): choose another"
        ) from error
