// Tools that mark: each takes the path of a pointer and gives the mask that it leaves.

import { Bitmap } from "./bitmap.js";

/** @typedef {import("./host.js").Point} Point */

/** @typedef {"select" | "brush" | "eraser" | "lasso" | "polygon" | "rectangle"} MarkTool */

/** @type {readonly MarkTool[]} */
export const MARK_TOOLS = ["select", "brush", "eraser", "lasso", "polygon", "rectangle"];

/** What a pointer draws before it is let go. */
export class Marking {
  /** @param {MarkTool} tool @param {number} radius of brush and eraser, in pixels of the picture @param {Point} start */
  constructor(tool, radius, start) {
    this.tool = tool;
    this.radius = radius;
    /** @type {Point[]} */
    this.points = [start];
  }

  /** @param {Point} point */
  to(point) {
    if (this.tool === "rectangle") this.points = [this.points[0], point];
    else if (this.tool !== "polygon") this.points.push(point);
  }

  /** A corner of a polygon. @param {Point} point */
  corner(point) {
    this.points.push(point);
  }

  /** The outline as a closed line; null for strokes. @returns {Point[] | null} */
  get outline() {
    if (this.tool === "lasso" || this.tool === "polygon") return this.points;
    if (this.tool !== "rectangle" || this.points.length < 2) return null;
    const [a, b] = this.points;
    return [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];
  }

  /** The mask with what was drawn. @param {Bitmap} before @param {boolean} taking whether outlines erase */
  applied(before, taking) {
    const after = before.copy();
    if (this.tool === "brush" || this.tool === "eraser") {
      after.stroke(this.points, this.radius, this.tool === "brush" && !taking ? 1 : 0);
    } else if (this.outline) {
      after.polygon(this.outline, taking ? 0 : 1);
    }
    return after;
  }

  /**
   * Show it while it is drawn. @param {CanvasRenderingContext2D} context in pixels of the picture
   * @param {number} line width of a pixel of the screen
   */
  draw(context, line) {
    context.save();
    context.translate(0.5, 0.5);
    context.beginPath();
    this.points.forEach((p, i) => (i ? context.lineTo(p.x, p.y) : context.moveTo(p.x, p.y)));
    if (this.tool === "brush" || this.tool === "eraser") {
      context.lineWidth = 2 * this.radius;
      context.lineCap = context.lineJoin = "round";
      context.strokeStyle = this.tool === "brush" ? "rgb(230 60 60 / 45%)" : "rgb(255 255 255 / 45%)";
      if (this.points.length === 1) context.lineTo(this.points[0].x + 0.01, this.points[0].y);
      context.stroke();
    } else {
      context.beginPath();
      (this.outline ?? this.points).forEach((p, i) => (i ? context.lineTo(p.x, p.y) : context.moveTo(p.x, p.y)));
      if (this.tool !== "polygon") context.closePath();
      context.lineWidth = 1.5 * line;
      context.setLineDash([5 * line, 4 * line]);
      context.strokeStyle = "white";
      context.stroke();
      context.lineDashOffset = 5 * line;
      context.strokeStyle = "black";
      context.stroke();
    }
    context.restore();
  }
}
