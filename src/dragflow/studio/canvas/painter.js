// What is seen on a canvas: the picture, what moves over it, marks, and what is said over all of it.

import { Backdrop } from "./backdrop.js";
import { acts, regionMatrix } from "./document.js";
import { drawHandles } from "./drag.js";
import { masksOf } from "./history.js";

/** @typedef {import("./bitmap.js").Bitmap} Bitmap */
/** @typedef {import("./host.js").Point} Point */
/** @typedef {import("./view.js").View} View */

/** Unlike those of regions. @type {[number, number, number][]} */
const [AREA, PROTECTED] = [[255, 210, 60], [40, 225, 235]];

export class Painter {
  /** @param {import("./canvas.js").Canvas} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.surface.getContext("2d"));
    this.backdrop = new Backdrop();
    /** @type {Map<Bitmap, {tint: OffscreenCanvas, alpha: number}>} of the masks that are shown: each is as large as the picture */
    this.tints = new Map();
  }

  /** @param {number} now */
  draw(now) {
    const { context, canvas } = this;
    const { surface, view, picture, judging, running } = canvas;
    const ratio = surface.width / Math.max(1, surface.clientWidth);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, surface.width, surface.height);
    if (!view || !picture) return;
    const ghost = judging || canvas.preview || !canvas.document.moves ? null : canvas.ghost;
    this.backdrop.draw(context, view, ratio, ghost);
    view.enter(context, ratio);
    const line = 1 / view.scale;
    if (judging) judging.draw(context, now, line);
    else if (canvas.preview) context.drawImage(canvas.preview, 0, 0);
    else ghost?.drawMoving(context, canvas.document.marked.map(regionMatrix));
    if (!judging && !running) this.drawMarks(line);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { region } = canvas.document;
    const handled = canvas.tool === "move" || canvas.tool === "select";
    if (handled && region && !judging && !running) drawHandles(context, region, view);
    if (canvas.pointers.hover) this.drawBrush(view, canvas.pointers.hover);
    if (canvas.cursor) this.drawCursor(view, canvas.cursor);
    if (running) this.drawProgress(running);
  }

  /** Tints where regions are, and what is being drawn. @param {number} line */
  drawMarks(line) {
    const { context, canvas } = this;
    const { area, protect, regions, active } = canvas.document.state;
    if (area) context.drawImage(this.tinted(area, AREA, 60), 0, 0);
    if (protect) context.drawImage(this.tinted(protect, PROTECTED, 110), 0, 0);
    regions.forEach((region, i) => {
      if (!acts(region)) context.drawImage(this.tinted(region.mask, region.colour, i === active ? 110 : 60), 0, 0);
    });
    const shown = new Set(masksOf(canvas.document.state));
    for (const mask of this.tints.keys()) if (!shown.has(mask)) this.tints.delete(mask);
    canvas.marking?.draw(context, line);
  }

  /** @param {Bitmap} mask @param {[number, number, number]} colour @param {number} alpha */
  tinted(mask, colour, alpha) {
    const known = this.tints.get(mask);
    if (known?.alpha === alpha) return known.tint;
    const tint = mask.tinted(colour, alpha);
    this.tints.set(mask, { tint, alpha });
    return tint;
  }

  /** @param {View} view @param {Point} at */
  drawBrush(view, at) {
    const { context, canvas } = this;
    if (!["brush", "eraser", "area", "protect"].includes(canvas.tool)) return;
    const { x, y } = view.toScreen(at);
    for (const [colour, more] of /** @type {[string, number][]} */ ([["black", 0.5], ["white", -0.5]])) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(x, y, Math.max(1, canvas.radius * view.scale + more), 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** @param {View} view @param {Point} at where the keyboard points */
  drawCursor(view, at) {
    const { context } = this;
    const { x, y } = view.toScreen(at);
    for (const [colour, width] of /** @type {[string, number][]} */ ([["white", 3], ["black", 1]])) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x - 10, y);
      context.lineTo(x + 10, y);
      context.moveTo(x, y - 10);
      context.lineTo(x, y + 10);
      context.stroke();
    }
  }

  /** How far an edit is. @param {{text: string, share: number}} running */
  drawProgress({ text, share }) {
    const { context, canvas } = this;
    const [width, bottom] = [canvas.surface.clientWidth, canvas.surface.clientHeight];
    context.fillStyle = "rgb(0 0 0 / 65%)";
    context.fillRect(0, bottom - 28, width, 28);
    context.fillStyle = "rgb(60 140 240)";
    context.fillRect(0, bottom - 4, width * share, 4);
    context.fillStyle = "white";
    context.font = "13px system-ui, sans-serif";
    context.fillText(text, 12, bottom - 11);
  }
}
