// A picture in several sizes, each half as large as the one before, so that a large one is drawn small fast.

export class Levels {
  /** @param {ImageBitmap | OffscreenCanvas} image */
  constructor(image) {
    this.width = image.width;
    this.height = image.height;
    /** @type {(ImageBitmap | OffscreenCanvas)[]} made when they are first drawn */
    this.all = [image];
  }

  /** The smallest one that has a pixel for each pixel of the screen. @param {number} scale pixels of the screen for one of the picture */
  at(scale) {
    const deepest = Math.floor(Math.log2(Math.max(1, Math.min(this.width, this.height))));
    const level = Math.min(deepest, Math.max(0, Math.floor(-Math.log2(scale))));
    while (this.all.length <= level) this.all.push(halved(this.all[this.all.length - 1]));
    return this.all[level];
  }

  /** In pixels of the whole picture. @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context @param {number} [left] @param {number} [top] */
  draw(context, left = 0, top = 0) {
    context.drawImage(this.at(scaleOf(context)), left, top, this.width, this.height);
  }
}

/** Pixels of a canvas for one pixel of what is drawn. @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context */
export function scaleOf(context) {
  const { a, b, c, d } = context.getTransform();
  return Math.sqrt(Math.abs(a * d - b * c));
}

/** @param {ImageBitmap | OffscreenCanvas} image */
function halved(image) {
  const half = new OffscreenCanvas(Math.ceil(image.width / 2), Math.ceil(image.height / 2));
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (half.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, half.width, half.height);
  return half.transferToImageBitmap(); // a canvas would be copied each time that it is drawn
}
