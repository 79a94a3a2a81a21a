"""Libraries that only some uses need: the extras of this package."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from dragflow.core.errors import CapabilityError


@contextmanager
def extra(name: str, what: str) -> Generator[None]:
    """Around the import of a library that an extra brings.

    Args:
        name: of the extra, as in "bench".
        what: needs the library; the beginning of the sentence that says so.

    Raises:
        CapabilityError: the library is missing; says what to install.
    """
    try:
        yield
    except ImportError as error:
        raise CapabilityError(f"{what} needs {error.name or error}: pip install 'dragflow[{name}]'") from error
