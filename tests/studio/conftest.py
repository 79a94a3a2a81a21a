"""A real browser on a real studio with the embedded model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from studio_pages import Visitor, middle
from studio_servers import free_port, join_workers, served

from dragflow.world import drag_case

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = {"desk": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="session")
def scene() -> Any:
    """A drawn scene with an eagle that is moved."""
    return drag_case(309, "translate", 256, "test")


@pytest.fixture
def picture(scene: Any, tmp_path: Path) -> Path:
    """The scene in a file."""
    Image.fromarray(scene.source).save(tmp_path / "eagle.png")
    return tmp_path / "eagle.png"


@pytest.fixture(scope="session")
def thing(scene: Any) -> tuple[float, float]:
    """The middle of the eagle."""
    return middle(scene.mask)


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A studio that runs as long as the tests do."""
    with served(free_port()) as address:
        yield address
    join_workers()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Any]:
    """Opens the studio in a browser of its own; fails at the end if the page said an error or asked another server."""
    visitors: list[Visitor] = []

    def open_page(device: str = "desk", at: str = address, again: Visitor | None = None) -> Visitor:
        width, height = SIZES[device]
        touch = device == "phone"
        if again is None:
            context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch)
        else:
            context = again.page.context
        visitors.append(Visitor(context.new_page(), at))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.page.context.close()
        assert visitor.complaints == []
