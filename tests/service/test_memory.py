"""A long row of jobs does not make the process grow."""

from __future__ import annotations

import gc

import numpy as np
import psutil
import pytest

from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.service.jobs import EditJob, plan
from dragflow.service.limits import Limits
from dragflow.service.pool import ModelPool
from dragflow.service.run import Service

JOBS = 100


def job(number: int) -> EditJob:
    """A picture of its own, so that nothing is shared with the jobs before."""
    source = from_pixels(np.random.default_rng(number).integers(0, 256, (128, 160, 3), dtype=np.uint8))
    asked = Instruction(Operation(Box(20, 20, 60, 60), Translate((100, 80))), "a cat")
    config = override(load_preset("default"), ["inversion.steps=4", "inversion.skip=1", "optimise.refining=1"])
    return plan(source, asked, config, ModelOptions("dummy", device="cpu"))


@pytest.mark.slow
def test_a_hundred_jobs_take_the_memory_of_ten() -> None:
    service = Service(ModelPool(), Limits(keep_seconds=0.1))
    resident: dict[int, int] = {}
    for number in range(1, JOBS + 1):
        service.submit(job(number)).result()
        if number in (10, JOBS):
            gc.collect()
            resident[number] = psutil.Process().memory_info().rss
    service.close()
    assert resident[JOBS] <= 1.05 * resident[10], resident
