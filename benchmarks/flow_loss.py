"""The flow model's loss by time, with the right caption and with another scene's: what it predicts, what it reads.

    python benchmarks/flow_loss.py FOLDER...

Each FOLDER is an exported model of the embedded size, in either layout. Mean squared error of the velocity on scenes
outside of the training range; the same noise for every model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from truths import parser

from dragflow import world
from dragflow.train import flow, latents, state, text
from dragflow.train.layouts import layout_of

FIRST_SCENE = 2**41 + 100
TIMES = (0.15, 0.5, 0.85, 0.95, 0.98, 1.0)


@torch.no_grad()
def main() -> None:
    """Print one row for every model."""
    options = parser(__doc__, scenes=24, first=None)
    options.add_argument("folders", type=Path, nargs="+")
    args = options.parse_args()
    config = flow.FlowConfig()
    scenes = [world.scene(FIRST_SCENE + i, config.size) for i in range(args.scenes)]
    captions = [world.caption(world.facts(scene)) for scene in scenes]
    tokenizers = text.Tokenizers(text.clip_tokenizer(), text.t5_tokenizer())
    right, wrong = tokenizers(captions), tokenizers(captions[1:] + captions[:1])
    pictures = state.to_tensor(np.stack([scene.render() for scene in scenes]))
    titles = " | ".join(f"t = {t:g}" for t in TIMES)
    print(f"| weights | {titles} | wrong caption, t = 1 |\n{'|---' * (len(TIMES) + 2)}|")
    for folder in args.folders:
        coder = latents.exported(folder, config.vae, "cpu")
        model = flow.exported(folder, replace(config, layout=layout_of(folder)))
        z = (coder.vae.encoder(pictures) - coder.scaling.shift) * coder.scaling.scale
        losses = [loss(model, z, t, right) for t in TIMES] + [loss(model, z, 1.0, wrong)]
        print(f"| {folder} | {' | '.join(f'{x:.3f}' for x in losses)} |", flush=True)


def loss(model: flow.FlowModel, z: torch.Tensor, t: float, ids: tuple[torch.Tensor, torch.Tensor]) -> float:
    """Mean squared error of the velocity at one time."""
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(round(100 * t)))
    v = model((1 - t) * z + t * noise, torch.full((z.shape[0],), t), *ids)
    return float((v - (noise - z)).pow(2).mean())


if __name__ == "__main__":
    main()
