"""What the editor asks of an identity adapter: features of a subject, encoded once and used by every model call."""

from __future__ import annotations

from typing import Protocol

from dragflow.core.result import IdentityRecord
from dragflow.method.backbone import Identity, Image


class IdentityAdapter(Protocol):
    """A loaded adapter for one backbone."""

    @property
    def record(self) -> IdentityRecord:
        """Which weights these are."""
        ...

    def encode(self, image: Image) -> Identity:
        """The identity of the subject in a picture of any size and aspect; once for each subject."""
        ...
