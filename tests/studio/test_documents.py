"""What is marked: regions are known by ids, undo takes little memory, and what earlier versions stored opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studio_pages import decoded

pytestmark = pytest.mark.browser

MIB = 2**20
FORMER = """async (masks) => {
  const work = await (await import('/studio-files/page/store.js')).restore();
  const region = (mask, name, dx, behind) => ({ name, colour: [230, 60, 60], mask, anchor: null, label: 'relocation',
    cut: 'snap', behind, given: null, motion: { dx, dy: 0, degrees: 0, sx: 1, sy: 1 } });
  work.made.regions = [region(masks[0], 'Boat', 40, 'Tree'), region(masks[1], 'Tree', 0, null)];
  work.made.active = 0;
  const result = { picture: work.picture, name: 'eagle', made: work.made, choices: { preset: 'fast' },
    settled: { preset: 'fast', settings: ['optimise.refining=1'] }, before: work.picture, after: work.picture,
    words: 'It moves.', seed: 7, seconds: 1, from: 'x 0', source: null };
  const request = (act) => new Promise((resolve, reject) => { const r = act(); r.onsuccess = () => resolve(r.result);
    r.onerror = r.onblocked = () => reject(r.error); });
  await request(() => indexedDB.deleteDatabase('dragflow'));
  const opening = indexedDB.open('dragflow', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore('work');
  const database = await new Promise((resolve) => (opening.onsuccess = () => resolve(opening.result)));
  const table = database.transaction('work', 'readwrite').objectStore('work');
  await request(() => table.put({ ...work, results: [result], going: null }, 'last'));
  database.close();
}"""
"""Stores what is open as version 1 did: files inside of the work, the order of regions by their names."""


def boxes(visitor: Any, *corners: tuple[float, float, float, float]) -> None:
    """Mark rectangles, each as a region of its own."""
    visitor.tool("Box")
    for number, (left, top, right, bottom) in enumerate(corners):
        if number:
            visitor.press("Start another region")
        visitor.drag((left, top), (right, bottom))


def test_regions_of_one_name_are_told_apart(visit: Any, picture: Path) -> None:
    visitor = visit()
    visitor.open(picture)
    boxes(visitor, (20, 20, 60, 60), (120, 20, 160, 60), (20, 120, 60, 160))
    for number in (1, 2):
        visitor.value(f"(c.document.change({{ active: {number} }}, false), c.move({{ name: 'Front' }}))")
    visitor.value(
        "(c.document.change({ active: 0 }, false), c.move({ motion: { dx: 90, dy: 0, degrees: 0, sx: 1, sy: 1 } }))"
    )
    order = visitor.page.get_by_label("Order")
    assert order.locator("option").all_inner_texts()[-2:] == ["behind Front", "behind Front"]
    fronts = []
    for index in (3, 4):
        order.select_option(index=index)
        assert visitor.words() == "Region 1 moves 90 px to the right, behind Front."
        fronts.append(decoded(visitor.instruction()["operations"][0]["behind"]["png"])[..., 0] > 127)
    assert [tuple(int(axis.min()) for axis in front.nonzero()) for front in fronts] == [(20, 120), (120, 20)]
    visitor.value("(c.document.change({ active: 2 }, false), c.move({ name: 'Post' }))")
    assert visitor.words() == "Region 1 moves 90 px to the right, behind Post."
    visitor.value("(c.document.remove(1), c.maskChanged())")
    assert visitor.words() == "Region 1 moves 90 px to the right, behind Post."
    visitor.value("(c.document.remove(1), c.maskChanged())")
    assert visitor.words() == "Region 1 moves 90 px to the right."


def test_a_new_region_has_a_name_of_its_own(visit: Any, picture: Path) -> None:
    visitor = visit()
    visitor.open(picture)
    boxes(visitor, (20, 20, 60, 60), (120, 20, 160, 60))
    visitor.value("(c.document.remove(0), c.maskChanged())")
    boxes(visitor, (20, 120, 60, 160))
    visitor.press("Start another region")
    visitor.drag((180, 180), (220, 220))
    assert visitor.value("c.document.state.regions.map((one) => one.name)") == ["Region 2", "Region 3"]
    assert visitor.value("new Set(c.document.state.regions.map((one) => one.id)).size") == 2


def test_what_an_earlier_version_stored_is_opened(visit: Any, picture: Path) -> None:
    visitor = visit()
    visitor.open(picture)
    boxes(visitor, (20, 20, 60, 60), (120, 20, 160, 60))
    masks = visitor.value("Promise.all(c.document.state.regions.map((one) => one.mask.png()))")
    visitor.page.wait_for_timeout(1500)
    visitor.page.evaluate(FORMER, masks)
    visitor.page.reload()
    visitor.page.wait_for_selector(".studio.open")
    visitor.wait("c.document.state.regions.length === 2")
    assert visitor.words() == "Boat moves 40 px to the right, behind Tree."
    (operation,) = visitor.instruction()["operations"]
    assert np.array_equal(decoded(operation["behind"]["png"]), decoded(masks[1]))
    visitor.page.locator(".results button").click()
    visitor.press("Restore the result's edit")
    visitor.page.wait_for_function("() => window.dragflow.overrides?.settings[0] === 'optimise.refining=1'")
    visitor.page.wait_for_timeout(1500)
    visitor.page.reload()  # stored as today, opened once more
    visitor.page.wait_for_selector(".results img")
    visitor.wait("c.document.state.regions.length === 2")
    assert visitor.words() == "Boat moves 40 px to the right, behind Tree."


HISTORY = """async ([width, height, count, noisy]) => {
  const { Document } = await import('/studio-files/canvas/document.js');
  const { Bitmap } = await import('/studio-files/canvas/bitmap.js');
  const made = new Document(width, height);
  const sums = [];
  const sum = ({ data }) => data.reduce((total, value, i) => (total + value * (i % 65521)) % 2147483647, 0);
  for (let n = 0; n < count; n++) {
    const mask = new Bitmap(width, height);
    let state = n + 1;
    const random = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16 & 1;
    if (noisy) mask.plain.forEach((_, i, pixels) => (pixels[i] = random()));
    else mask.stroke([{ x: 100, y: 100 }, { x: 100 + n * 20, y: height / 2 }], 60, 1);
    made.paint(mask);
    sums.push(sum(mask));
  }
  const [bytes, steps] = [made.history.bytes(made.state), made.history.past.length];
  let same = true;
  let undone = 0;
  while (made.undo() && made.region) same &&= sum(made.region.mask) === sums[count - 2 - undone++];
  const after = made.history.bytes(made.state);
  while (made.redo()) undone--;
  return { bytes, steps, after, same: same && sum(made.region.mask) === sums[count - 1] };
}"""
"""Paints masks one after the other, undoes all of them, and does all again."""


def test_undo_holds_at_most_32_mib_and_a_stroke_takes_little(visit: Any) -> None:
    page = visit().page
    twelve = (4000, 3000)
    painted = page.evaluate(HISTORY, [*twelve, 64, False])
    assert painted["same"]
    assert painted["steps"] == 60
    assert painted["bytes"] < 4 * MIB  # whole masks were 720 MB
    assert painted["after"] < 4 * MIB
    noise = page.evaluate(HISTORY, [*twelve, 26, True])
    assert noise["same"]
    assert 28 * MIB < noise["bytes"] <= 32 * MIB
    assert noise["steps"] == 32 * MIB // (4000 * 3000 // 8)
    assert noise["after"] <= 32 * MIB


def test_masks_are_unpacked_as_they_were(visit: Any) -> None:
    assert visit().page.evaluate(
        """async () => {
          const { packed, unpacked } = await import('/studio-files/canvas/packed.js');
          const runs = (i) => +(i % 97 < 40);
          const noise = (i) => +(Math.sin(i * i) > 0);
          const kinds = [() => 0, () => 1, (i) => i & 1, runs, noise, (i) => +!i];
          return [0, 1, 7, 8, 31, 33, 1000, 4099].every((length) => kinds.every((kind) => {
            const data = Uint8Array.from({ length }, (_, i) => kind(i));
            const small = packed(data);
            const back = unpacked(small, length);
            return small.byteLength <= 4 * Math.ceil(length / 32) && back.every((value, i) => value === data[i]);
          }));
        }"""
    )


def test_regions_are_copied_removed_swapped_and_what_is_protected_stays(visit: Any, scene: Any, picture: Path) -> None:
    visitor = visit()
    visitor.open(picture)
    visitor.tool("Box")
    ys, xs = scene.mask.nonzero()
    visitor.drag((xs.min() - 2, ys.min() - 2), (xs.max() + 2, ys.max() + 2))
    does = visitor.page.get_by_label("Action")
    does.select_option("remove")
    assert visitor.words() == "Region 1 is removed."
    visitor.wait("c.preview && c.ghost && !c.ghost.ghost.coarse && !c.ghost.ghost.regions[0].cutout")
    assert visitor.instruction()["operations"][0]["motion"] == {"type": "remove"}
    visitor.page.keyboard.press("Escape")
    assert does.input_value() == "move"

    does.select_option("copy")
    visitor.tool("Move")
    middle = (xs.mean(), ys.mean())
    visitor.drag(middle, (middle[0] + 40, middle[1]))
    assert visitor.words() == "Region 1 stays, and a copy moves 40 px to the right."
    visitor.press("Copy again")
    visitor.drag(middle, (middle[0], middle[1] + 30))
    visitor.wait("c.preview")
    asked = visitor.instruction()["operations"]
    assert [operation["motion"]["label"] for operation in asked] == ["copy", "copy"]
    visitor.tool("Protect")
    visitor.drag((xs.max() + 20, ys.min()), (xs.max() + 20, ys.max()))
    visitor.wait("c.preview")
    assert visitor.instruction()["protect"]["type"] == "png"
    kept = "c.document.constructor.restored"
    assert visitor.value(f"c.document.saved().then({kept}).then((made) => made.state.protect.bounds !== null)")

    visitor.value(
        "(c.document.remove(1), c.document.change({ active: -1 }), c.document.paint(c.document.state.protect))"
    )
    visitor.value("c.maskChanged()")
    visitor.press("Swap")
    one, two = visitor.instruction()["operations"]
    assert (one["motion"]["to"], two["motion"]["to"]) == (two["handle"], one["handle"])
    assert {one["motion"]["label"], two["motion"]["label"]} == {"relocation"}
