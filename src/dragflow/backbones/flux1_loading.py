"""Loading FLUX.1 pipelines from disk: device, dtype, quantisation, and the self-test that gradients flow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dragflow.backbones.fingerprint import fingerprint, with_files
from dragflow.backbones.flux1 import Flux1
from dragflow.backbones.lora import Lora, add_loras, parse_lora
from dragflow.backbones.parts import load_part, part_of, pick_device, pick_dtype, read_part
from dragflow.backbones.registry import LoadOptions
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.result import ModelIdentity

_PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")


def load(options: LoadOptions) -> Flux1:
    """Load a FLUX.1 pipeline, and make sure that gradients reach the latent.

    Raises:
        UserError: a part is missing or of another architecture; an unknown device, dtype or quantisation.
        CapabilityError: the quantisation gives no gradients, or its library is missing.
    """
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    loras = tuple(parse_lora(text) for text in options.lora)
    _check_parts(options)
    from diffusers import FluxPipeline, FluxTransformer2DModel

    with part_of(options.model, "transformer"):
        transformer = _transformer(FluxTransformer2DModel, options, dtype)
    encoders = _encoders(options, torch.device("cpu") if options.offload else device, dtype)
    with part_of(options.model, "tokenizers or scheduler"):
        pipeline = FluxPipeline.from_pretrained(options.folder, transformer=transformer, **encoders)
    add_loras(pipeline, loras)
    transformer.to(device).eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    checkpointing = device.type != "cpu" if options.checkpointing is None else options.checkpointing
    backbone = Flux1(
        transformer,
        pipeline,
        identity=_identity(options, loras, dtype),
        checkpointing=checkpointing,
        offload=options.offload,
    )
    gradient_self_test(backbone, device)
    return backbone


def gradient_self_test(backbone: Flux1, device: torch.device) -> None:
    """One tiny features-and-backward: the gradient must be finite and not zero.

    Raises:
        CapabilityError: it is not; no drag could work on this model.
    """
    side = 2 * backbone.spec.pixel_multiple // backbone.spec.latent_stride
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, backbone.spec.latent_channels, side, side, generator=generator).to(device).requires_grad_(True)
    features = backbone.features(z, 0.8, backbone.condition("", guidance=1.0), taps=backbone.spec.taps)
    try:
        (gradient,) = torch.autograd.grad(torch.stack([f.float().square().mean() for f in features]).sum(), z)
        size = float(gradient.abs().max())
    except RuntimeError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise CapabilityError(
            f"gradients do not reach the latent through this model (largest: {size}): use another quantisation "
            f"({', '.join(_QUANTISATIONS)}, or none)"
        )


def _check_parts(options: LoadOptions) -> None:
    for part in _PARTS:
        if not (options.folder / part).is_dir():
            raise UserError(f"model {options.model} has no {part}/: download or export the whole pipeline")
    config = options.folder / "transformer" / "config.json"
    try:
        name = json.loads(config.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config} is missing or damaged: download or export the model again") from error
    if name != "FluxTransformer2DModel":
        raise UserError(f"model {options.model} has a {name} as its transformer: a FluxTransformer2DModel is needed")


def _encoders(options: LoadOptions, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Autoencoder and text encoders, by their names in the pipeline."""
    import diffusers
    from transformers import CLIPTextModel, T5EncoderModel

    with part_of(options.model, "vae"):
        config = json.loads((options.folder / "vae" / "config.json").read_text(encoding="utf-8"))
        autoencoder = getattr(diffusers, config["_class_name"])
    classes = {"vae": autoencoder, "text_encoder": CLIPTextModel, "text_encoder_2": T5EncoderModel}
    return {
        name: load_part(cls, str(options.folder), name, device, subfolder=name, dtype=dtype)
        for name, cls in classes.items()
    }


def _torchao(config_name: str) -> Callable[[], Any]:
    def build() -> Any:
        try:
            from diffusers import TorchAoConfig
            from torchao import quantization
        except ImportError as error:
            raise CapabilityError("this quantisation needs torchao: pip install 'dragflow[quant]'") from error
        return TorchAoConfig(getattr(quantization, config_name)())

    return build


_QUANTISATIONS: dict[str, Callable[[], Any] | None] = {
    "int8": _torchao("Int8WeightOnlyConfig"),
    "fp8": _torchao("Float8WeightOnlyConfig"),
    "layerwise-fp8": None,
    "gguf:FILE": None,
}


def quantisations() -> tuple[str, ...]:
    """Values of `quantize`; through all of these gradients were seen to reach the latent."""
    return tuple(_QUANTISATIONS)


def _transformer(cls: Any, options: LoadOptions, dtype: torch.dtype) -> Any:
    quantize = options.quantize
    for path in _gguf_files(options):
        return _from_gguf(cls, path, options, dtype)
    if quantize is not None and quantize not in _QUANTISATIONS:
        raise UserError(f"quantisation {quantize!r} is not known: choose one of {', '.join(_QUANTISATIONS)}")
    build = None if quantize is None else _QUANTISATIONS[quantize]
    settings = {} if build is None else {"quantization_config": build()}
    transformer = read_part(cls, str(options.folder), "transformer", subfolder="transformer", dtype=dtype, **settings)
    if quantize == "layerwise-fp8":
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    return transformer


def _gguf_files(options: LoadOptions) -> list[Path]:
    """The file that the transformer comes from, if it is a GGUF file."""
    quantize = options.quantize or ""
    return [Path(quantize.removeprefix("gguf:"))] if quantize.startswith("gguf:") else []


def _from_gguf(cls: Any, path: Path, options: LoadOptions, dtype: torch.dtype) -> Any:
    if not path.is_file():
        raise UserError(f"quantised transformer {path} does not exist: check the path")
    try:
        from diffusers import GGUFQuantizationConfig

        transformer = cls.from_single_file(
            str(path),
            quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
            config=str(options.folder),
            subfolder="transformer",
            dtype=dtype,
        )
    except ImportError as error:
        raise CapabilityError("GGUF files need the gguf library: pip install 'dragflow[quant]'") from error
    except (ValueError, IndexError, KeyError, RuntimeError, OSError) as error:
        raise UserError(
            f"quantised transformer {path} is no GGUF file, or not of this model ({error}): choose another"
        ) from error
    if missing := [name for name, weight in transformer.named_parameters() if weight.is_meta]:
        raise UserError(
            f"quantised transformer {path} has no {missing[0]} ({len(missing)} tensors are missing): choose another"
        )
    return transformer


def _identity(options: LoadOptions, loras: tuple[Lora, ...], dtype: torch.dtype) -> ModelIdentity:
    return ModelIdentity(
        id=options.model,
        revision=options.revision,
        fingerprint=with_files(fingerprint(options.folder), [*_gguf_files(options), *(lora.file for lora in loras)]),
        dtype=str(dtype).removeprefix("torch."),
        quantize=options.quantize,
        lora=options.lora,
    )
