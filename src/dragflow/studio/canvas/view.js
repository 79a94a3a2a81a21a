// Where the picture is on the screen: zoom and pan.

import { Levels } from "./levels.js";

/** @typedef {import("./host.js").Point} Point */

const [LEAST, MOST] = [0.02, 32];
/** From this zoom on, pixels are shown as squares. */
const SQUARES = 3;
const MARGIN = 16;

export class View {
  /** @param {ImageBitmap} picture */
  constructor(picture) {
    this.width = picture.width;
    this.height = picture.height;
    this.levels = new Levels(picture);
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    /** Whether all of the picture is shown, so that it stays so when the canvas changes its size. */
    this.whole = true;
  }

  /** Show all of the picture in a box of `width` x `height`. @param {number} width @param {number} height */
  fit(width, height) {
    const room = Math.min((width - 2 * MARGIN) / this.width, (height - 2 * MARGIN) / this.height);
    this.scale = Math.min(MOST, Math.max(LEAST, room));
    this.left = (width - this.width * this.scale) / 2;
    this.top = (height - this.height * this.scale) / 2;
    this.whole = true;
  }

  /** Zoom so that what is at a place of the screen stays there. @param {number} scale @param {number} x @param {number} y */
  zoom(scale, x, y) {
    const next = Math.min(MOST, Math.max(LEAST, scale));
    this.left = x - ((x - this.left) * next) / this.scale;
    this.top = y - ((y - this.top) * next) / this.scale;
    this.scale = next;
    this.whole = false;
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.whole = false;
    this.left += dx;
    this.top += dy;
  }

  /** The point of the picture at a place of the screen. @param {number} x @param {number} y @returns {Point} */
  toPicture(x, y) {
    return { x: (x - this.left) / this.scale - 0.5, y: (y - this.top) / this.scale - 0.5 };
  }

  /** @param {Point} p @returns {Point} */
  toScreen(p) {
    return { x: (p.x + 0.5) * this.scale + this.left, y: (p.y + 0.5) * this.scale + this.top };
  }

  /** Let what is drawn be in pixels of the picture. @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context @param {number} ratio */
  enter(context, ratio) {
    context.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.left * ratio, this.top * ratio);
    context.imageSmoothingEnabled = this.scale * ratio < SQUARES;
    context.imageSmoothingQuality = "medium";
  }
}
