"""Memory shared with ComfyUI's own models: its manager hands theirs back before dragflow's weights come to the device,
and gets it back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def make_room() -> None:
    """Let ComfyUI take its models off the device."""
    import comfy.model_management as manager

    manager.unload_all_models()
    manager.soft_empty_cache()


def hand_back() -> None:
    """Give memory that is no longer used back to the device, for ComfyUI and others."""
    import comfy.model_management as manager

    manager.soft_empty_cache()


def device() -> str:
    """Where ComfyUI computes."""
    import comfy.model_management as manager

    return str(manager.get_torch_device())


@contextmanager
def gradients() -> Iterator[None]:
    """Leave ComfyUI's inference mode: an edit needs gradients, and weights that are read in that mode allow none."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield
