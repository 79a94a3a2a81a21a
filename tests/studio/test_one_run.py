"""One edit runs at a time, from the press of Run to its end, also after a reload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
RESULTS = ".results img"
LONG = 120_000


def posts(visitor: Any) -> list[str]:
    """Fills with the edits that the page asks for."""
    found: list[str] = []
    visitor.page.on(
        "request", lambda r: found.append(r.url) if r.method == "POST" and r.url.endswith("/v1/edits") else None
    )
    return found


def test_two_quick_clicks_on_run_begin_one_edit(visit: Any, picture: Path, thing: tuple[float, float]) -> None:
    visitor = visit()
    visitor.dragged(picture, thing)
    visitor.preset("fast")
    asked = posts(visitor)
    visitor.page.get_by_role("button", name="Run", exact=True).evaluate(
        "(button) => { button.click(); button.click(); }"
    )
    visitor.page.wait_for_selector(RESULTS, timeout=LONG)
    visitor.wait("!c.running")
    visitor.page.wait_for_timeout(500)
    assert len(asked) == 1
    assert visitor.page.locator(RESULTS).count() == 1


def test_an_edit_is_stopped_before_the_server_has_named_it(
    visit: Any, picture: Path, thing: tuple[float, float]
) -> None:
    visitor = visit()
    visitor.dragged(picture, thing)
    visitor.preset("default")
    visitor.page.route("**/v1/edits", lambda route: (visitor.page.wait_for_timeout(1000), route.continue_()))
    visitor.press("Run")
    visitor.press("Stop")
    assert visitor.said("stopped") == "stopped"
    visitor.wait("!c.running && !window.dragflow.edits.run && !window.dragflow.edits.going")
    assert visitor.page.locator(RESULTS).count() == 0


def test_a_run_that_is_followed_after_a_reload_is_the_only_one(
    visit: Any, picture: Path, thing: tuple[float, float]
) -> None:
    visitor = visit()
    visitor.dragged(picture, thing)
    visitor.preset("default")
    visitor.press("Run")
    visitor.wait("c.running && c.running.share > 0.05")
    streams: list[str] = []
    visitor.page.on("request", lambda r: streams.append(r.url) if r.url.endswith("/events") else None)
    visitor.page.reload()
    visitor.page.wait_for_function("() => window.dragflow?.edits?.run")
    asked = posts(visitor)
    visitor.value("window.dragflow.edits.begin({ preset: 'fast', seed: 5, variants: 1 })")
    assert visitor.said("an edit is running").endswith("stop it, or wait until it ends")
    visitor.wait("window.dragflow.edits.going")
    visitor.value("window.dragflow.edits.resume(window.dragflow.edits.going)")
    visitor.page.wait_for_selector(RESULTS, timeout=LONG)
    visitor.wait("!c.running")
    assert (asked, len(streams)) == ([], 1)
    assert visitor.page.locator(RESULTS).count() == 1


def test_models_are_listed_loaded_and_unloaded(visit: Any) -> None:
    visitor = visit()
    visitor.page.get_by_text("Models", exact=True).click()
    listed = visitor.page.locator(".studio-models li")
    listed.first.wait_for()
    assert listed.first.inner_text().startswith("nano")
    assert "Apache-2.0" in listed.first.inner_text()
    for button, said in (("Load", "nano is loaded"), ("Unload", "nano is unloaded")):
        visitor.page.get_by_role("button", name=button, exact=True).click()
        visitor.said(said, timeout=120_000)
        visitor.page.wait_for_function(
            "(loaded) => document.querySelector('.studio-models').textContent.includes('(loaded)') === loaded",
            arg=button == "Load",
        )
