"""Motion supervision and point tracking on single points (DragGAN; DragDiffusion, arXiv 2306.14435, Eq. 3 and 4).

The paper's baseline (Sec. 3.2): in the features of a diffusion transformer single points say little, regions much.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.core.motion import apply, motion_matrix
from dragflow.method.backbone import Features
from dragflow.method.supervision.region import RegionMotion
from dragflow.ops.geometry import grid_points, sample_points

_STEP = 0.25
"""Feature cells that a handle is pulled in one iteration, which is 4 pixels if a cell has 16."""


class PointSupervision:
    """Supervision by the handle of every operation alone; holds where each handle is now."""

    def __init__(self, references: Features, operations: Sequence[RegionMotion], patch: int, search: int) -> None:
        """Start with every handle where it is in the source.

        Args:
            references: F0, the source's features, one for each tap.
            operations: only their handles and motions are used, not their regions.
            patch: r1, in steps of a quarter of a cell.
            search: r2, in the same steps.
        """
        size = (operations[0].mask.shape[0], operations[0].mask.shape[1])
        grid = (references[0].shape[-2], references[0].shape[-1])
        ends = [(op.handle, apply(motion_matrix(op.motion, op.handle), op.handle)) for op in operations]
        pairs = torch.tensor(ends, dtype=torch.float32, device=references[0].device)
        self.handles = grid_points(pairs[:, 0], size, grid)
        self._targets = grid_points(pairs[:, 1], size, grid)
        self._patch, self._search = _square(patch, pairs), _square(search, pairs)
        self._originals = tuple(sample_points(reference.float(), self.handles).detach() for reference in references)
        self._pulled = False

    def loss(self, features: Features, progress: float) -> Tensor:
        """sum_i mean over the patch around h_i of |F(q + d_i) - stop_grad F(q)|, d_i one step towards t_i.

        A handle within a step of its target is left alone. `progress` is not used: points move step by step.
        """
        features = tuple(feature.float() for feature in features)
        # Before the first pull the handles are where they were given; after each the content may have moved anywhere
        # near, so it is located first.
        if self._pulled:
            self.handles = self._track(tuple(feature.detach() for feature in features))
        self._pulled = True
        remaining = self._targets - self.handles
        distance = (remaining * remaining).sum(dim=-1, keepdim=True).sqrt()
        far = (distance > _STEP).float()
        patch = self.handles[:, None] + self._patch
        ahead = patch + (_STEP * remaining / distance.clamp_min(1e-6))[:, None]
        total = features[0].new_zeros(())
        for feature in features:
            # The gradient acts only one step ahead, where the content of the patch is to appear. Were the patch itself
            # not detached, the loss could be lowered by changing the patch into what is ahead of it.
            pulled = sample_points(feature, ahead) - sample_points(feature.detach(), patch)
            total = total + (far * pulled.abs().mean(dim=(-2, -1))[:, None]).sum() / len(features)
        return total

    def _track(self, features: Features) -> Float[Tensor, "n 2"]:
        """The place near each handle whose features are closest to the handle's in the source (Eq. 4)."""
        # Compared with the source and not with the step before: small errors of tracking do not add up.
        around = self.handles[:, None] + self._search
        pairs = zip(features, self._originals, strict=True)
        differences = [(sample_points(feature, around) - own[:, None]).abs().mean(dim=-1) for feature, own in pairs]
        best = torch.stack(differences).mean(dim=0).argmin(dim=-1)
        return around[torch.arange(len(best), device=best.device), best]


def _square(radius: int, like: Tensor) -> Float[Tensor, "k 2"]:
    """Offsets of the square of this radius, in steps, row by row."""
    steps = _STEP * torch.arange(-radius, radius + 1).to(like)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)
