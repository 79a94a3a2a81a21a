"""The trained parts as one diffusers folder that `FluxPipeline.from_pretrained` loads."""

from __future__ import annotations

import json
from pathlib import Path

from dragflow.train import state, text, vae
from dragflow.train.flow import FlowConfig, FlowModel

BASE_SHIFT, MAX_SHIFT = 0.5, 1.15
"""FLUX.1's, for 256 and 4096 image tokens."""


def export(source: Path, to: Path, config: FlowConfig | None = None, start: Path | None = None) -> Path:
    """Write the averaged weights of source/vae (or the autoencoder of `start`) and source/flow to `to`, in bfloat16."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    config = config or FlowConfig()
    scaling = json.loads((source / "flow" / "latents.json").read_text())
    autoencoder = vae.trained(config.vae, source, start)
    autoencoder.register_to_config(scaling_factor=scaling["scale"], shift_factor=scaling["shift"])
    model = FlowModel(config)
    state.load_average(source / "flow" / "state.safetensors", model)
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0,  # unused while the shift is dynamic; FLUX.1 has it
        use_dynamic_shifting=True,
        base_shift=BASE_SHIFT,
        max_shift=MAX_SHIFT,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    pipeline = FluxPipeline(
        scheduler=scheduler,
        vae=autoencoder,  # pyright: ignore[reportArgumentType] (any autoencoder does)
        text_encoder=model.text.clip,
        tokenizer=text.clip_tokenizer(),  # pyright: ignore[reportArgumentType] (any tokenizer does)
        text_encoder_2=model.text.t5,
        tokenizer_2=text.t5_tokenizer(),
        transformer=model.transformer,
    )
    for part in (autoencoder, model.transformer, model.text.clip, model.text.t5):
        part.bfloat16()
    pipeline.save_pretrained(to)
    # transformers loads the dtype its config names, diffusers float32: a plain from_pretrained must get one dtype.
    for encoder in ("text_encoder", "text_encoder_2"):
        _edit(to / encoder / "config.json", "dtype", "float32")
    # A derived value, which diffusers rejects with a warning when it reads the file.
    _edit(to / "vae" / "config.json", "block_out_channels", None)
    return to


def _edit(path: Path, key: str, value: str | None) -> None:
    config = json.loads(path.read_text())
    config.pop(key, None)
    path.write_text(json.dumps(config | ({key: value} if value else {}), indent=2, sort_keys=True) + "\n")
