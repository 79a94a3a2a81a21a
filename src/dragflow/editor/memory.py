"""When memory runs out during an edit: the model takes less of it, and the edit is tried once more."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from dragflow.backbones.less_memory import take_less_memory
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.core.errors import CapabilityError
from dragflow.method.backbone import Backbone

_log = logging.getLogger(__name__)
T = TypeVar("T")


def with_less_memory(backbone: Backbone, work: Callable[[], T]) -> T:
    """The result of some work, which is begun again with less memory once, if that runs out; said in the log.

    Raises:
        CapabilityError: it runs out again, or the model cannot take less.
    """
    try:
        return work()
    except torch.OutOfMemoryError:
        pass  # left at once: as long as the error is handled, it keeps what the work has allocated
    done = take_less_memory(backbone) if isinstance(backbone, PipelineBackbone) else ()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if done:
        _log.warning("memory ran out: %s from now on, once more", " and ".join(done))
        try:
            return work()
        except torch.OutOfMemoryError:
            pass
    raise CapabilityError(
        "memory ran out, and this model cannot take less while it is loaded: load it with `memory` auto, quantised by "
        "`quantize`, or make size.max_pixels smaller"
    )
