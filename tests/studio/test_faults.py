"""What goes wrong around the studio: the work stays, one sentence says it, and the next edit runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studio_pages import Visitor
from studio_servers import free_port, served

pytestmark = pytest.mark.browser

RUNS = "c.running && c.running.share > 0.05"
RESULTS = ".results img"
LONG = 120_000


def test_a_tab_is_closed_and_the_next_visit_gets_what_ran(
    visit: Any, picture: Path, thing: tuple[float, float]
) -> None:
    first = visit()
    first.dragged(picture, thing)
    first.preset("default")
    first.press("Run")
    first.wait(RUNS)
    again = visit(again=first)
    first.page.close()
    other = visit()
    other.dragged(picture, thing, (0, 40))
    other.preset("fast")
    other.press("Run")
    again.page.wait_for_selector(RESULTS, timeout=LONG)
    again.wait("!c.running")
    assert "moves 50 px to the right" in again.page.locator(".results button").get_attribute("title")
    other.page.wait_for_selector(RESULTS, timeout=LONG)
    assert "moves 40 px down" in other.page.locator(".results button").get_attribute("title")
    again.page.wait_for_timeout(1200)  # until it is saved
    again.page.reload()
    again.page.wait_for_selector(RESULTS)
    assert again.page.locator(RESULTS).count() == 1


def test_a_lost_connection_comes_back(visit: Any, picture: Path, thing: tuple[float, float]) -> None:
    visitor = visit()
    visitor.dragged(picture, thing)
    visitor.preset("default")
    visitor.press("Run")
    visitor.wait(RUNS)
    visitor.page.context.set_offline(True)
    visitor.wait("c.running.text.includes('trying again')")
    visitor.page.context.set_offline(False)
    visitor.page.wait_for_selector(RESULTS, timeout=LONG)
    visitor.wait("!c.running")
    assert visitor.page.locator(RESULTS).count() == 1
    visitor.pardon("ERR_INTERNET_DISCONNECTED")


def test_a_server_ends_during_a_run_and_another_one_takes_over(
    visit: Any, picture: Path, thing: tuple[float, float]
) -> None:
    port = free_port()
    with served(port) as at:
        visitor = visit(at=at)
        visitor.dragged(picture, thing)
        mask = visitor.mask()
        visitor.preset("default")
        visitor.press("Run")
        visitor.wait(RUNS)
    visitor.wait("c.running && c.running.text.includes('trying again')")
    with served(port):
        assert visitor.said("run it again") == (
            "the server no longer knows this edit, for example after a restart: your marks are kept, run it again"
        )
        assert np.array_equal(visitor.mask(), mask)
        visitor.preset("fast")
        visitor.press("Run")
        visitor.page.wait_for_selector(RESULTS, timeout=LONG)
        visitor.press("Run")
        visitor.wait(RUNS)
    visitor.press("Stop")
    visitor.wait("!c.running")
    assert visitor.said("stopped") == "stopped"
    visitor.press("Run")
    assert visitor.said("cannot be reached").endswith("your marks are kept, try again when it is back")
    visitor.page.close()
    visitor.pardon("ERR_", "404")


def test_files_that_are_not_pictures_leave_the_work_as_it_is(
    visit: Any, picture: Path, thing: tuple[float, float], tmp_path: Path
) -> None:
    visitor = visit()
    visitor.dragged(picture, thing)
    mask = visitor.mask()
    data = picture.read_bytes()
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    bad = {
        "empty": (b"", "empty: choose another file"),
        "cut": (data[: len(data) // 2], "damaged or truncated (image file is truncated)"),
        "damaged": (bytes(damaged), "damaged or truncated"),
        "text": (b"no picture", "not in a format"),
    }
    for name, (content, sentence) in bad.items():
        (tmp_path / f"{name}.png").write_bytes(content)
        visitor.page.evaluate("document.querySelector('.said').textContent = ''")
        visitor.page.locator("input[type=file]").first.set_input_files(str(tmp_path / f"{name}.png"))
        assert "\n" not in visitor.said(sentence)
        assert np.array_equal(visitor.mask(), mask)
    visitor.pardon("400")
    visitor.preset("fast")
    visitor.press("Run")
    visitor.page.wait_for_selector(RESULTS, timeout=LONG)


def test_nothing_is_run_without_a_region(visit: Any, picture: Path) -> None:
    visitor = visit()
    visitor.open(picture)
    visitor.press("Run")
    assert visitor.said("mark a region") == "mark a region and drag it, then run"


def test_a_picture_that_the_server_forgot_is_sent_again(visit: Any, picture: Path, thing: tuple[float, float]) -> None:
    with served(free_port(), keep_seconds=1) as at:
        visitor = visit(at=at)
        visitor.open(picture)
        first = visitor.page.evaluate("window.dragflow.server.id")
        visitor.page.wait_for_timeout(2500)
        visitor.page.mouse.click(*visitor.at(*thing))
        visitor.wait("c.document.region")
        assert visitor.page.evaluate("window.dragflow.server.id") != first
        assert visitor.page.request.get(f"{at}/v1/pictures/{first}").status == 404
        visitor.pardon("404")
        visitor.page.close()


def test_a_token_is_asked_for_once(browser: Any, picture: Path, thing: tuple[float, float]) -> None:
    token = "only friends know it"
    with served(free_port(), token=token) as at:
        context = browser.new_context(viewport={"width": 390, "height": 844})
        page = context.new_page()
        page.goto(f"{at}/?__theme=dark")
        page.get_by_label("The token of this server").fill("wrong")
        page.get_by_role("button", name="Open").click()
        assert page.get_by_role("alert").inner_text() == "That is not the token."
        page.get_by_label("The token of this server").fill(token)
        page.get_by_role("button", name="Open").click()
        page.wait_for_selector(".studio.ready")
        assert page.url == f"{at}/?__theme=dark"
        page.goto(f"{at}/login")
        page.wait_for_selector(".studio.ready")
        assert page.url == f"{at}/"
        assert page.evaluate("document.cookie") == ""
        visitor = Visitor(page, at)
        visitor.dragged(picture, thing)
        visitor.preset("fast")
        visitor.press("Run")
        page.wait_for_selector(RESULTS, timeout=LONG)
        assert visitor.complaints == []
        context.clear_cookies()
        visitor.press("Run")
        assert visitor.said("token") == "the server asks for its token: reload the page to enter it"
        context.close()
