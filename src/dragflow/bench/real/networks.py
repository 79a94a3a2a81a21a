"""The networks that the paper measures with; what is not on this machine is left out by name."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from dragflow.bench.metrics.dift import VARIABLE
from dragflow.bench.metrics.suite import NO_FEATURES, Suite, load_suite

_NO_DIFT = (
    "DIFT is not on this machine: name a Stable Diffusion 2.1 in diffusers layout, which the paper matches by, as "
    f"`dift` or in ${VARIABLE}"
)


def load_networks(dift: str | None, lpips: Path | None, device: str | None) -> Suite:
    """The metrics, with LPIPS and with DIFT where there are weights of them.

    Args:
        dift: Stable Diffusion 2.1, a hub id or a folder. Default: $DRAGFLOW_DIFT.
        lpips: as for `lpips.find_weights`.
        device: of DIFT, as torch names it; a GPU if there is one when None.

    Raises:
        UserError: what was named cannot be loaded.
    """
    if dift or os.environ.get(VARIABLE):
        return load_suite(features="dift", model=dift, lpips=lpips, device=device)
    return replace(load_suite(features=NO_FEATURES, lpips=lpips), no_features=_NO_DIFT)
