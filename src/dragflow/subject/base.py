"""What the editor asks of a subject adapter: to encode a subject once, for every model call."""

from __future__ import annotations

from typing import Protocol

from dragflow.core.models import SubjectId
from dragflow.method.backbone import Image, Subject


class SubjectAdapter(Protocol):
    """A loaded adapter for one backbone."""

    @property
    def record(self) -> SubjectId:
        """The adapter's options and the fingerprint of its weights."""
        ...

    def encode(self, image: Image) -> Subject:
        """The subject in a picture of any size and aspect, which is never squashed."""
        ...
