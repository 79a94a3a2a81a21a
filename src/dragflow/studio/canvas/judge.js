// Before and after: a slider between them, one and the other in turn, their difference, or all variants side by side.

/** @typedef {"slider" | "blink" | "difference" | "side by side"} Way */

/**
 * Pictures to be looked at side by side.
 * @typedef {{image: ImageBitmap, text: string}[]} Sheet
 */

/** @type {Record<Way, string>} */
const WORDS = {
  slider: "Before on the left, after on the right.",
  blink: "Before and after in turn.",
  difference: "Only what differs is bright.",
  "side by side": "Click on a picture to compare it.",
};
const BLINK = 700;
/** Share of a cell that stays free, and height of its text in pixels of the screen. */
const [GAP, TEXT] = [0.02, 14];

export class Judging {
  /** @param {ImageBitmap} before @param {ImageBitmap} after @param {Way} way @param {Sheet} [sheet] where it is not these two */
  constructor(before, after, way, sheet) {
    this.before = before;
    this.after = after;
    this.way = way;
    this.sheet = sheet ?? [{ image: before, text: "before" }, { image: after, text: "after" }];
    /** Share of the width that shows the picture before. */
    this.share = 0.5;
  }

  /** How it is shown, in words. */
  get words() {
    return `${WORDS[this.way]} Escape resumes marking.`;
  }

  /** Draw in pixels of the picture. @param {CanvasRenderingContext2D} context @param {number} now in milliseconds @param {number} line width of a pixel of the screen */
  draw(context, now, line) {
    if (this.way === "side by side") this.drawSheet(context, line);
    else if (this.way === "blink") context.drawImage(Math.floor(now / BLINK) % 2 ? this.before : this.after, 0, 0);
    else {
      context.drawImage(this.after, 0, 0);
      if (this.way === "slider") this.drawSlider(context, line);
      else this.drawDifference(context);
    }
  }

  /** @param {CanvasRenderingContext2D} context */
  drawDifference(context) {
    context.save();
    context.globalCompositeOperation = "difference";
    context.drawImage(this.before, 0, 0);
    context.restore();
  }

  /** @param {CanvasRenderingContext2D} context @param {number} line */
  drawSlider(context, line) {
    const { width, height } = this.after;
    const x = this.share * width;
    context.save();
    context.beginPath();
    context.rect(0, 0, x, height);
    context.clip();
    context.drawImage(this.before, 0, 0);
    context.restore();
    // A dark rim: it is to be seen on a white picture, too.
    for (const [colour, rim] of /** @type {[string, number][]} */ ([["rgb(0 0 0 / 65%)", line], ["white", 0]])) {
      context.fillStyle = colour;
      context.fillRect(x - line - rim, 0, 2 * (line + rim), height);
      context.beginPath();
      context.arc(x, height / 2, 9 * line + rim, 0, 2 * Math.PI);
      context.fill();
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} line */
  drawSheet(context, line) {
    context.fillStyle = "rgb(40 42 48)";
    context.fillRect(0, 0, this.after.width, this.after.height);
    context.font = `${TEXT * line}px system-ui, sans-serif`;
    this.sheet.forEach(({ image, text }, i) => {
      const { left, top, width, height } = this.cell(i);
      context.drawImage(image, left, top, width, height);
      context.fillStyle = "rgb(0 0 0 / 65%)";
      context.fillRect(left, top, context.measureText(text).width + TEXT * line, 1.6 * TEXT * line);
      context.fillStyle = "white";
      context.fillText(text, left + 0.5 * TEXT * line, top + 1.15 * TEXT * line);
    });
  }

  /** Where one of the sheet is, in pixels of the picture: all are as large as they can be in its box. @param {number} index */
  cell(index) {
    const [count, { width, height }] = [this.sheet.length, this.after];
    let columns = 1;
    const share = (/** @type {number} */ n) => 1 / Math.max(n, Math.ceil(count / n));
    for (let n = 2; n <= count; n++) if (share(n) > share(columns)) columns = n;
    const rows = Math.ceil(count / columns);
    const scale = share(columns) * (1 - GAP);
    const [x, y] = [(index % columns) + 0.5, Math.floor(index / columns) + 0.5];
    return {
      left: (x * width) / columns - (scale * width) / 2,
      top: (y * height) / rows - (scale * height) / 2,
      width: scale * width,
      height: scale * height,
    };
  }

  /** Which of the sheet is at a point; -1 for none. @param {import("./host.js").Point} point */
  at({ x, y }) {
    return this.sheet.findIndex((_, i) => {
      const { left, top, width, height } = this.cell(i);
      return x >= left && y >= top && x < left + width && y < top + height;
    });
  }
}
