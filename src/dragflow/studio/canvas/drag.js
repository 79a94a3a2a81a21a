// Handles of a region: drag it to move it, its corners to scale it, a side to stretch it, the knob to turn it.

import { anchorOf, regionMatrix } from "./document.js";
import { applied, inverse } from "./motion.js";

/** @typedef {import("./host.js").Point} Point */
/** @typedef {import("./motion.js").Motion} Motion */
/** @typedef {import("./document.js").Region} Region */
/** @typedef {import("./view.js").View} View */
/** @typedef {"move" | "turn" | "anchor" | "corner" | "side-x" | "side-y"} Grip */
/** @typedef {{grip: Grip, at: Point}} Handle at: before the motion, in points of the picture */

/** Pixels of the screen. */
const [REACH, KNOB] = [12, 28];

/** @param {Region} region @param {View} view @returns {Handle[]} */
export function handlesOf(region, view) {
  const box = region.mask.bounds;
  if (!box) return [];
  const { left, top, right, bottom } = box;
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
  return [
    { grip: "turn", at: { x, y: top - KNOB / view.scale / Math.max(Math.abs(region.motion.sy), 0.05) } },
    { grip: "anchor", at: anchorOf(region) },
    ...corners.map(([cx, cy]) => /** @type {Handle} */ ({ grip: "corner", at: { x: cx, y: cy } })),
    { grip: "side-x", at: { x: left, y } },
    { grip: "side-x", at: { x: right, y } },
    { grip: "side-y", at: { x, y: top } },
    { grip: "side-y", at: { x, y: bottom } },
  ];
}

/** The handle at a place of the screen, or the region itself; null for neither. @param {Region} region @param {View} view @param {number} x @param {number} y @param {number} [reach] @returns {Handle | null} */
export function gripAt(region, view, x, y, reach = REACH) {
  const matrix = regionMatrix(region);
  let [best, nearest] = [/** @type {Handle | null} */ (null), reach];
  for (const handle of handlesOf(region, view)) {
    const there = view.toScreen(applied(matrix, handle.at));
    const far = Math.hypot(there.x - x, there.y - y);
    // While the anchor is in the middle, where people take hold of a region, it must be asked for.
    const offered = handle.grip !== "anchor" || region.anchor !== null;
    if (offered && far < nearest) [best, nearest] = [handle, far];
  }
  if (best) return best;
  const from = applied(inverse(matrix), view.toPicture(x, y));
  return region.mask.at(from.x, from.y) ? { grip: "move", at: from } : null;
}

/** One drag of a handle, from where it began. */
export class Dragging {
  /** @param {Region} region @param {Handle} handle @param {Point} start */
  constructor(region, handle, start) {
    this.handle = handle;
    this.start = start;
    this.before = region;
    this.anchor = anchorOf(region);
    this.middle = applied(regionMatrix(region), this.anchor);
  }

  /** What the region is when the pointer is at a point. @param {Point} to @param {boolean} exact one direction, or steps of 15 degrees @returns {Partial<Region>} */
  to(to, exact) {
    const { motion } = this.before;
    const [dx, dy] = [to.x - this.start.x, to.y - this.start.y];
    switch (this.handle.grip) {
      case "move":
        return { motion: { ...motion, ...this.moved(dx, dy, exact) } };
      case "anchor":
        return this.reanchored(to);
      case "turn": {
        const degrees = motion.degrees + this.turned(to);
        return { motion: { ...motion, degrees: exact ? Math.round(degrees / 15) * 15 : wrapped(degrees) } };
      }
      default:
        return this.scaled(to, exact);
    }
  }

  /** @param {number} dx @param {number} dy @param {boolean} exact */
  moved(dx, dy, exact) {
    const along = Math.abs(dx) > Math.abs(dy);
    const { motion } = this.before;
    return { dx: motion.dx + (exact && !along ? 0 : dx), dy: motion.dy + (exact && along ? 0 : dy) };
  }

  /** Another anchor, with the region where it is. @param {Point} to @returns {Partial<Region>} */
  reanchored(to) {
    const matrix = regionMatrix(this.before);
    const anchor = applied(inverse(matrix), to);
    return { anchor, motion: { ...this.before.motion, dx: to.x - anchor.x, dy: to.y - anchor.y } };
  }

  /** @param {Point} to */
  turned(to) {
    const angle = (/** @type {Point} */ p) => Math.atan2(p.y - this.middle.y, p.x - this.middle.x);
    return ((angle(to) - angle(this.start)) * 180) / Math.PI;
  }

  /** Scaled about the anchor; a side is stretched, which makes the region a part. @param {Point} to @param {boolean} exact @returns {Partial<Region>} */
  scaled(to, exact) {
    const { motion } = this.before;
    const angle = (-motion.degrees * Math.PI) / 180;
    const [x, y] = [to.x - this.middle.x, to.y - this.middle.y];
    const local = { x: x * Math.cos(angle) - y * Math.sin(angle), y: x * Math.sin(angle) + y * Math.cos(angle) };
    const from = { x: this.handle.at.x - this.anchor.x, y: this.handle.at.y - this.anchor.y };
    const factor = (/** @type {number} */ now, /** @type {number} */ before) =>
      Math.abs(before) < 1 ? 1 : Math.max(0.05, Math.min(20, now / before));
    const [sx, sy] = [factor(local.x, from.x), factor(local.y, from.y)];
    if (this.handle.grip === "side-x") return { motion: { ...motion, sx }, label: "deformation" };
    if (this.handle.grip === "side-y") return { motion: { ...motion, sy }, label: "deformation" };
    if (exact) return { motion: { ...motion, sx, sy } };
    const both = Math.max(0.05, Math.hypot(local.x, local.y) / Math.max(Math.hypot(from.x, from.y), 1));
    return { motion: { ...motion, sx: both, sy: both } };
  }
}

/** @param {CanvasRenderingContext2D} context in pixels of the screen @param {Region} region @param {View} view */
export function drawHandles(context, region, view) {
  const matrix = regionMatrix(region);
  const place = (/** @type {Point} */ p) => view.toScreen(applied(matrix, p));
  const handles = handlesOf(region, view);
  const corners = handles.filter((handle) => handle.grip === "corner").map((handle) => place(handle.at));
  context.save();
  context.beginPath();
  corners.forEach((p, i) => (i ? context.lineTo(p.x, p.y) : context.moveTo(p.x, p.y)));
  context.closePath();
  // A light rim: the outline is to be seen on any picture.
  for (const [colour, width] of /** @type {[string, number][]} */ ([["rgb(255 255 255 / 80%)", 3.5], [`rgb(${region.colour.join(" ")})`, 1.5]])) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }
  for (const handle of handles) {
    const { x, y } = place(handle.at);
    context.beginPath();
    if (handle.grip === "anchor") {
      context.moveTo(x - 7, y);
      context.lineTo(x + 7, y);
      context.moveTo(x, y - 7);
      context.lineTo(x, y + 7);
      context.stroke();
      continue;
    }
    if (handle.grip === "corner") context.rect(x - 5, y - 5, 10, 10);
    else context.arc(x, y, handle.grip === "turn" ? 7 : 4.5, 0, 2 * Math.PI);
    context.fillStyle = "white";
    context.fill();
    context.stroke();
  }
  context.restore();
}

/** @param {number} degrees */
function wrapped(degrees) {
  return ((((degrees + 180) % 360) + 360) % 360) - 180;
}
