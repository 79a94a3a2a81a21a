"""Keeping what model libraries print (bars, notes, warnings) off the terminal, unless somebody wants to see it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKATIVE = ("torchao", "torch.utils._pytree", "bitsandbytes")
"""Loggers of libraries that warn as they are imported, which the others do."""


def silence_libraries() -> None:
    """Keep model libraries quiet for the rest of this process, which is ours; does nothing under `dragflow -v`."""
    if _is_verbose():
        return
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep model libraries quiet for a while; does nothing where dragflow's own log is shown in full."""
    if _is_verbose():
        yield
        return
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with _quiet_hub_libraries():
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _quiet_hub_libraries() -> Iterator[None]:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    levels = [library.get_verbosity() for library in libraries]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity(logging.CRITICAL)  # their errors are raised, too
        library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, level, shown in zip(libraries, levels, bars, strict=True):
            library.set_verbosity(level)
            if shown:
                library.enable_progress_bar()


def _is_verbose() -> bool:
    """Whether dragflow's log tells all, as `-v` of the command line makes it."""
    return 0 < logging.getLogger("dragflow").level <= logging.INFO  # its own level: a program's may be about others
