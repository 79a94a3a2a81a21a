"""What the editor asks of a subject adapter: features of a subject, encoded once and used by every model call."""

from __future__ import annotations

from typing import Protocol

from dragflow.core.models import SubjectId
from dragflow.method.backbone import Image, Subject


class SubjectAdapter(Protocol):
    """A loaded adapter for one backbone."""

    @property
    def record(self) -> SubjectId:
        """Which weights these are."""
        ...

    def encode(self, image: Image) -> Subject:
        """The subject of the subject in a picture of any size and aspect; once for each subject."""
        ...
