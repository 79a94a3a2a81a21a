"""The trained parts as one diffusers folder that the pipeline of their layout loads."""

from __future__ import annotations

import json
from pathlib import Path

from dragflow.train import state, text, vae
from dragflow.train.flow import FlowConfig, FlowModel


def export(source: Path, to: Path, config: FlowConfig | None = None, start: Path | None = None) -> Path:
    """Write the averaged weights of source/vae (or the autoencoder of `start`) and source/flow to `to`, in bfloat16."""
    import diffusers

    config = config or FlowConfig()
    scaling = json.loads((source / "flow" / "latents.json").read_text())
    autoencoder = vae.trained(config.vae, source, start)
    autoencoder.register_to_config(scaling_factor=scaling["scale"], shift_factor=scaling["shift"])
    model = FlowModel(config)
    state.load_average(source / "flow" / "state.safetensors", model)
    encoders = model.text.parts
    tokenizers = {
        part.replace("text_encoder", "tokenizer"): text.t5_tokenizer()
        if part == model.layout.t5
        else text.clip_tokenizer()
        for part in encoders
    }
    for part in (autoencoder, model.transformer, *encoders.values()):
        part.bfloat16()
    pipeline = getattr(diffusers, model.layout.pipeline)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**model.layout.shift()),
        vae=autoencoder,
        transformer=model.transformer,
        **encoders,
        **tokenizers,
    )
    pipeline.save_pretrained(to)
    # transformers loads the dtype its config names, diffusers float32: a plain from_pretrained must get one dtype.
    for encoder in encoders:
        _edit(to / encoder / "config.json", "dtype", "float32")
    # A derived value, which diffusers rejects with a warning when it reads the file.
    _edit(to / "vae" / "config.json", "block_out_channels", None)
    return to


def _edit(path: Path, key: str, value: str | None) -> None:
    config = json.loads(path.read_text())
    config.pop(key, None)
    path.write_text(json.dumps(config | ({key: value} if value else {}), indent=2, sort_keys=True) + "\n")
