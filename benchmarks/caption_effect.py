"""What a caption changes in the embedded model's velocity, how right that is, and how much of it a picture could tell.

    python benchmarks/caption_effect.py [FOLDER] [--scenes 24]

FOLDER is an exported model of the embedded size. On scenes outside of the training range, by time: the mean square of
the difference d that a caption makes; the share of it that stays when the noise is another, which is the most that
anything that knows the picture alone could say instead of the caption; the error of v without a caption, with its own
and with another scene's; and the weight of d with which the error is least (guidance has the weight g).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dragflow import backbones
from dragflow.train.adapter import AdapterConfig, Scenes, Teacher

FIRST_SCENE = 2**42
TIMES = (0.3, 0.6, 0.85)
NANO = Path(backbones.__file__).parent / "nano"


@torch.no_grad()
def main() -> None:
    """Print one row for every time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=NANO)
    parser.add_argument("--scenes", type=int, default=24)
    args = parser.parse_args()
    teacher = Teacher(AdapterConfig().flow, args.folder, "cpu")
    scenes = teacher.scenes(range(FIRST_SCENE, FIRST_SCENE + args.scenes))
    print("| t | changed by the caption | share that stays | error without | with its own | another's | best weight |")
    print("|---|---|---|---|---|---|---|")
    for t in TIMES:
        cells = (f"{x:.2f}" if i in (1, 5) else f"{x:.4f}" for i, x in enumerate(row(teacher, scenes, t)))
        print(f"| {t} | {' | '.join(cells)} |", flush=True)


def row(teacher: Teacher, scenes: Scenes, t: float) -> tuple[float, ...]:
    """The figures of one time."""
    others = replace(scenes, captions=scenes.captions[1:] + scenes.captions[:1])
    times = torch.full((len(scenes.z),), t)
    noise, other = (torch.randn(scenes.z.shape, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    v, again, wrong = (
        teacher.velocities(used, times, of, None) for used, of in ((scenes, noise), (scenes, other), (others, noise))
    )
    d, missing = v.captioned - v.empty, v.true - v.empty
    stays = mean(d * (again.captioned - again.empty)) / mean(d * d)
    errors = (mean((x - v.true) ** 2) for x in (v.empty, v.captioned, wrong.captioned))
    return mean(d * d), stays, *errors, mean(d * missing) / mean(d * d)


def mean(x: Tensor) -> float:
    """Over everything."""
    return float(x.mean())


if __name__ == "__main__":
    main()
