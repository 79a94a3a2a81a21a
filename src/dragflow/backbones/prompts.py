"""Prompts that were encoded lately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_PROMPTS_KEPT = 8

T = TypeVar("T")


class PromptCache(Generic[T]):
    """The last few prompts as the text encoders gave them, so that only a new one costs an encoder."""

    def __init__(self) -> None:
        self._kept: dict[str, T] = {}

    def get(self, prompt: str, encode: Callable[[], T]) -> T:
        """What was kept of a prompt, else what `encode` gives."""
        if prompt not in self._kept:
            encoded = encode()
            while len(self._kept) >= _PROMPTS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[prompt] = encoded
        return self._kept[prompt]
