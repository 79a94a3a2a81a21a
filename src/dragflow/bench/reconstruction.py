"""How well inversion and sampling without an edit reproduce a picture (paper Table 1), and what a subject adds.

A model that takes guidance as an input is given another one. Any other model gets classifier-free guidance: its
velocity without a prompt is extrapolated along the difference that the prompt makes. The subject stays on for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dragflow.bench.metrics.suite import Perceptual
from dragflow.bench.metrics.truth import psnr, ssim
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig
from dragflow.core.events import silent
from dragflow.editor import frames
from dragflow.method.backbone import Backbone, Conditioning, Latent, Subject
from dragflow.method.filling import kept
from dragflow.method.inversion import Inversion, invert
from dragflow.ops.flow import integrate


@dataclass(frozen=True)
class Setting:
    """How an inverted picture is sampled; all are inverted with the source prompt and the guidance of inversion."""

    guided: bool
    """Use the guidance of sampling; else that of the inversion."""
    edited: bool
    """Use the target prompt; else the source prompt."""
    kv: bool
    """Inject the recorded keys and values."""


SETTINGS = {
    "matched": Setting(guided=False, edited=False, kv=False),
    "background": Setting(guided=False, edited=True, kv=True),
    "guidance": Setting(guided=True, edited=False, kv=False),
    "guidance, K/V": Setting(guided=True, edited=True, kv=True),
}
"""Sampled as it was inverted; the paper's re-sampled background (Sec. 3.3); the mismatch of guidance that the adapter
is meant to bridge (Sec. 3.4); the paper's edit without the drag."""


@dataclass(frozen=True)
class Reconstruction:
    """How close one sampled picture is to its source."""

    sample: str
    setting: str
    psnr: float
    """In dB, to the picture."""
    psnr_latent: float
    """In dB, to the decoded latent of the picture, so that the error of the autoencoder does not count."""
    autoencoder: float
    """In dB, of the decoded latent to the picture."""
    ssim: float
    """To the picture."""
    lpips: float | None
    """To the picture; None without weights."""


def reconstruct(
    backbone: Backbone,
    sample: Sample,
    config: EditConfig,
    subject: Subject | None,
    *,
    settings: dict[str, Setting] = SETTINGS,
    distance: Perceptual | None = None,
) -> Iterator[Reconstruction]:
    """Invert a picture once, and sample it under every setting.

    Args:
        backbone: the model.
        sample: its picture and prompts.
        config: time grid, guidances, working size and K/V sites; nothing is dragged.
        subject: injected in both directions.
        settings: how to sample.
        distance: LPIPS.
    """
    pixels = sample.image.pixels
    size = frames.model_size(backbone.spec, sample.image.size, config.size.max_pixels)
    z = backbone.encode(frames.as_image(pixels, size))
    schedule = backbone.schedule(config.inversion, (z.shape[-2], z.shape[-1]))

    def shown(z: Latent) -> Pixels:
        return frames.as_pixels(backbone.decode(z))

    def condition(prompt: str, guidance: float) -> Conditioning:
        return backbone.condition(prompt, subject=subject, fill=kept(z, backbone.spec), guidance=guidance)

    source = condition(sample.instruction.prompt, config.inversion.guidance)
    recorded = any(setting.kv for setting in settings.values())
    blocks = (config.kv.sites or backbone.spec.kv_blocks) if recorded else None
    solver = config.inversion.solver
    inversion = invert(
        backbone, z, source, schedule, solver=solver, kv_blocks=blocks, show=lambda z: shown(z()), observer=silent
    )
    decoded = shown(z)
    reference = frames.as_pixels(frames.as_image(pixels, size))
    everywhere = np.ones(size, np.bool_)
    for name, setting in settings.items():
        velocity = _velocity(backbone, inversion, sample, config, setting, condition)
        again = shown(integrate(velocity, inversion.z, schedule.used, solver=solver))
        yield Reconstruction(
            sample.id,
            name,
            psnr(again, reference, everywhere),
            psnr(again, decoded, everywhere),
            psnr(decoded, reference, everywhere),
            ssim(again, reference, everywhere),
            None if distance is None else distance(frames.as_image(again, size), frames.as_image(reference, size)),
        )


def _velocity(
    backbone: Backbone,
    inversion: Inversion,
    sample: Sample,
    config: EditConfig,
    setting: Setting,
    condition: Callable[[str, float], Conditioning],
) -> Callable[[Latent, float], Latent]:
    instruction = sample.instruction
    prompt = instruction.target_prompt if setting.edited else instruction.prompt
    guidance = config.denoise.guidance if setting.guided else config.inversion.guidance
    cond, empty = condition(prompt, guidance), condition("", guidance)

    def velocity(z: Latent, t: float) -> Latent:
        kv = inversion.kv.injector(t) if setting.kv and inversion.kv is not None else None
        v = backbone.velocity(z, t, cond, kv=kv)
        if backbone.spec.guidance != "none" or guidance == 1:
            return v
        without = backbone.velocity(z, t, empty, kv=kv)
        return without + guidance * (v - without)

    return velocity
