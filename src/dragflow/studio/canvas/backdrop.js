// What stays behind what is dragged, as it is on the screen: drawn again only when it changes, not in every frame.

/** @typedef {import("./ghost.js").GhostPainter} GhostPainter */
/** @typedef {import("./view.js").View} View */

export class Backdrop {
  constructor() {
    this.canvas = new OffscreenCanvas(1, 1);
    this.context = /** @type {OffscreenCanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    /** @type {unknown[]} what it was drawn from */
    this.from = [];
  }

  /**
   * Draw the picture, and what a ghost leaves of it.
   * @param {CanvasRenderingContext2D} context @param {View} view @param {number} ratio @param {GhostPainter | null} ghost
   */
  draw(context, view, ratio, ghost) {
    const { width, height } = context.canvas;
    const from = [view, ghost, ratio, width, height, view.scale, view.left, view.top];
    if (from.some((value, i) => value !== this.from[i])) {
      this.from = from;
      Object.assign(this.canvas, { width, height });
      view.enter(this.context, ratio);
      view.levels.draw(this.context);
      ghost?.drawStill(this.context);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.canvas, 0, 0);
  }
}
