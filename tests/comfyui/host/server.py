"""The server, which notes the addresses that are added to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


class Routes:
    """Addresses, as those of aiohttp's."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.posts: dict[str, Any] = {}

    def static(self, address: str, folder: Path) -> None:
        self.folders[address] = folder

    def post(self, address: str) -> Callable[[Any], Any]:
        return lambda handler: self.posts.setdefault(address, handler)


class PromptServer:
    """One in a process."""

    class instance:  # noqa: N801
        """That one."""

        routes = Routes()
