// Before and after: a slider between them, one and the other in turn, or their difference.

/** @typedef {"slider" | "blink" | "difference"} Way */

const BLINK = 700;

export class Judging {
  /** @param {ImageBitmap} before @param {ImageBitmap} after @param {Way} way */
  constructor(before, after, way) {
    this.before = before;
    this.after = after;
    this.way = way;
    /** Share of the width that shows the picture before. */
    this.share = 0.5;
  }

  /** Draw in pixels of the picture. @param {CanvasRenderingContext2D} context @param {number} now in milliseconds @param {number} line width of a pixel of the screen */
  draw(context, now, line) {
    const { width, height } = this.after;
    if (this.way === "blink") {
      context.drawImage(Math.floor(now / BLINK) % 2 ? this.before : this.after, 0, 0);
      return;
    }
    context.drawImage(this.after, 0, 0);
    if (this.way === "difference") {
      context.save();
      context.globalCompositeOperation = "difference";
      context.drawImage(this.before, 0, 0);
      context.restore();
      return;
    }
    const x = this.share * width;
    context.save();
    context.beginPath();
    context.rect(0, 0, x, height);
    context.clip();
    context.drawImage(this.before, 0, 0);
    context.restore();
    context.fillStyle = "white";
    context.fillRect(x - line, 0, 2 * line, height);
    context.beginPath();
    context.arc(x, height / 2, 9 * line, 0, 2 * Math.PI);
    context.fill();
  }
}
