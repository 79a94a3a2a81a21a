"""The manager of memory: notes what it is asked for."""

import torch

CALLS: list[str] = []
cancelled_after: int | None = None
"""Questions whether the run is cancelled until it is; None: never."""


class InterruptProcessingException(Exception):
    """What a cancelled run raises."""


def get_torch_device() -> torch.device:
    return torch.device("cpu")


def unload_all_models() -> None:
    CALLS.append("unload")


def soft_empty_cache() -> None:
    CALLS.append("empty")


def throw_exception_if_processing_interrupted() -> None:
    global cancelled_after
    if cancelled_after is not None:
        cancelled_after -= 1
        if cancelled_after < 0:
            cancelled_after = None
            raise InterruptProcessingException
