"""Settings of a model so small that every stage of its training runs in a second."""

from dataclasses import replace

from dragflow.train import flow, text, vae

VAE = vae.VaeConfig(
    encoder_blocks=(0, 0, 1, 1), decoder_blocks=(1, 1, 0, 0), crop=32, batch=2, photographs=0.0, frozen=0.5
)
FLOW = flow.FlowConfig(
    double=1,
    single=2,
    heads=1,
    head_width=32,
    axes=(4, 14, 14),
    text=text.TextConfig(width=32, layers=1, heads=2),
    vae=VAE,
    size=64,
    batch=2,
    warmup=2,
    first=8,
    fresh=2,
    compile=False,
)
TWO_HEADS = replace(FLOW, heads=2)
