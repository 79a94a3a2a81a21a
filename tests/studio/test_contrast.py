"""Everything on the page can be told from what is behind it: text by 4.5:1, controls by 3:1 (WCAG AA)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from studio_pages import Visitor

pytestmark = pytest.mark.browser

MEASURED = """() => {
  const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const parsed = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => value * a + under[i] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const style = getComputedStyle(element);
    return over(parsed(style.backgroundColor), behind(element.parentElement));
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, two) => {
    const [low, high] = [luminance(one), luminance(two)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && element.getClientRects().length && !element.disabled && !element.closest('.sr-only, [inert]');
  const faded = (element) => (element ? Number(getComputedStyle(element).opacity) * faded(element.parentElement) : 1);
  const name = (element) => `${element.localName}.${element.className}: `
    + `${(element.ariaLabel || element.textContent || element.placeholder || '').trim().slice(0, 40)}`;
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!shown(element) || !(words || element.value) || element.closest('svg, script, style')) continue;
    if (['checkbox', 'radio', 'file', 'range'].includes(element.type)) continue;
    const ground = behind(element);
    const [r, g, b, a] = parsed(getComputedStyle(element).color);
    found.push(['text', contrast(over([r, g, b, a * faded(element)], ground), ground), name(element)]);
  }
  // What bounds a control is its border or its own colour, or those of a box right around it.
  const edge = (element) => {
    const style = getComputedStyle(element);
    const outside = behind(element.parentElement);
    const sides = ['Top', 'Bottom'].filter((side) => parseFloat(style[`border${side}Width`]) > 0);
    const borders = sides.map((side) => contrast(over(parsed(style[`border${side}Color`]), outside), outside));
    return Math.max(1, contrast(behind(element), outside), ...borders);
  };
  for (const element of document.querySelectorAll('button, input, select, textarea, .dragflow canvas')) {
    if (!shown(element) || ['range', 'file'].includes(element.type) || element.closest('.results')) continue;
    let best = 1;
    for (let box = element, up = 0; box && up < 4; box = box.parentElement, up++) best = Math.max(best, edge(box));
    // A button without a border is told by its words, or by its icon.
    if (element.localName === 'button' && best < 3) {
      const icon = element.querySelector('svg');
      if (!icon || element.textContent.trim()) continue;
      best = contrast(parsed(getComputedStyle(icon).color).slice(0, 3), behind(icon));
    }
    found.push(['control', best, name(element)]);
  }
  for (const region of document.querySelectorAll('.regions [role=option]')) {
    const colour = parsed(getComputedStyle(region).borderLeftColor).slice(0, 3);
    found.push(['control', contrast(colour, behind(region.parentElement)), name(region)]);
  }
  return found;
}"""
"""What is seen of the page, each with its kind and its contrast."""


SETTLED = """() => document.getAnimations().every(
  (one) => one.playState !== 'running' || one.effect.getComputedTiming().endTime === Infinity)"""
"""Whether nothing fades in any more: what is half transparent is not measured."""


def assert_told_apart(visitor: Visitor, where: str) -> None:
    """Everything that is seen now."""
    visitor.page.wait_for_function(SETTLED)
    found = visitor.page.evaluate(MEASURED)
    assert sum(kind == "text" for kind, _, _ in found) > 20
    assert sum(kind == "control" for kind, _, _ in found) > 8
    faint = {f"{where}, {kind}: {ratio:.2f} {name}" for kind, ratio, name in found if ratio < least(kind)}
    assert not faint, "\n".join(sorted(faint))


def knob_contrast(visitor: Visitor) -> float:
    """That of the most distinct pixel of the slider's knob; no style of it can be asked for."""
    shown = visitor.page.locator("input[type=range]").first.screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shown)).convert("RGB")) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
    ground, knob = linear[0, -1], linear[:, : linear.shape[0] + 8]
    return float(max((knob.max() + 0.05) / (ground + 0.05), (ground + 0.05) / (knob.min() + 0.05)))


def least(kind: str) -> float:
    return 4.5 if kind == "text" else 3.0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_controls_are_told_from_what_is_behind_them(
    browser: Any, address: str, picture: Path, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    visitor = Visitor(context.new_page(), address)
    page = visitor.page
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    assert_told_apart(visitor, "at first")
    assert knob_contrast(visitor) >= 3
    visitor.press("Run")
    visitor.said("open a picture first")
    visitor.open(picture)
    visitor.tool("Box")
    for number in range(6):
        if number:
            visitor.press("Start another region")
        visitor.drag((10 + 40 * number, 20), (40 + 40 * number, 60))
    page.get_by_text("Export", exact=True).click()
    page.get_by_text("ReD Bench sample", exact=True).click()
    visitor.value("window.dragflow.say('something is wrong')")
    visitor.value("window.dragflow.recipes.show('It asks for a model.', [['Dismiss', async () => undefined]])")
    page.get_by_label("Sample: task").wait_for()
    page.wait_for_timeout(500)
    assert_told_apart(visitor, "marked")
    page.get_by_label("Preset").click()
    page.get_by_role("option", name="fast").wait_for()
    assert_told_apart(visitor, "choosing")
    page.keyboard.press("Escape")
    page.locator(".tools").get_by_role("button", name="?").click()
    assert_told_apart(visitor, "keys")
    context.close()
    assert visitor.complaints == []
