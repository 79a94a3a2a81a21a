"""Pictures of a visit: what is not shown takes a bounded number of bytes, and is written to the storage once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

MIB = 2**20
COUNTED = """() => {
  window.written = [];
  const put = IDBObjectStore.prototype.put;
  IDBObjectStore.prototype.put = function (value, key) {
    const text = JSON.stringify(value, (name, one) => (one instanceof Blob && one !== value ? 'FILE INSIDE' : one));
    window.written.push(value instanceof Blob ? 'file' : text.includes('FILE INSIDE') ? 'work with files' : 'work');
    return put.call(this, value, key);
  };
}"""


def test_a_picture_is_written_once(visit: Any, picture: Path) -> None:
    visitor = visit()
    visitor.open(picture)
    page = visitor.page
    for _ in range(3):
        visitor.value("window.dragflow.openPicture(window.dragflow.upright, 'again')")
    visitor.value("window.dragflow.save()")
    page.evaluate(COUNTED)
    visitor.value("window.dragflow.save()")
    assert page.evaluate("window.written") == ["work"]
    visitor.value("window.dragflow.openPicture(window.dragflow.upright, 'again')")
    visitor.value("window.dragflow.save()")
    assert page.evaluate("window.written.filter((one) => one === 'file').length") == 1
    assert "work with files" not in page.evaluate("window.written")
    page.reload()
    page.wait_for_selector(".studio.open")
    assert visitor.value("window.dragflow.journey.past.length") == 4
    assert visitor.value("window.dragflow.journey.past.every((one) => one.picture instanceof Blob && one.picture.size)")
    page.evaluate(COUNTED)
    visitor.value("window.dragflow.save()")
    assert page.evaluate("window.written") == ["work"]


def test_two_tabs_do_not_take_files_from_each_other(visit: Any, picture: Path) -> None:
    first = visit()
    first.open(picture)
    first.value("window.dragflow.save()")
    second = visit(again=first)
    second.page.wait_for_selector(".studio.open")
    second.value("window.dragflow.openPicture(window.dragflow.upright, 'other')")
    second.value("(window.dragflow.journey.past = [], window.dragflow.save())")
    first.value("window.dragflow.save()")
    first.page.reload()
    first.page.wait_for_selector(".studio.open")
    first.wait("c.picture && c.picture.width === 256")
    assert first.page.locator(".said").first.inner_text() == ""


def test_past_pictures_hold_at_most_64_mib_of_masks_and_256_mib_of_files(visit: Any) -> None:
    held = visit().page.evaluate(
        """(mib) => {
          const { journey } = window.dragflow;
          const chapter = (masks, file) => ({ picture: { size: file }, name: '', made: {},
            document: { packed: false, bytes: masks, pack() { this.packed = true; } } });
          const about = () => [journey.past.length, journey.past.map(({ document }) => document?.packed ?? false)];
          const all = [];
          for (let n = 0; n < 5; n++) journey.leave(chapter(20 * mib, mib));
          all.push(about());
          for (let n = 0; n < 30; n++) journey.leave(chapter(0, mib));
          all.push(journey.past.length);
          for (let n = 0; n < 5; n++) journey.leave(chapter(0, 60 * mib));
          all.push(journey.past.length);
          journey.past = [];
          return all;
        }""",
        MIB,
    )
    assert held == [[5, [False, False, True, True, True]], 20, 4]
