// Masks: one byte a pixel, 1 where painted. A pixel counts by its centre.

import { packed, unpacked } from "./packed.js";
import { opened, fromBase64, toBase64 } from "./png.js";

/** @typedef {import("./host.js").Point} Point */
/** @typedef {{left: number, top: number, right: number, bottom: number}} Box the last column and row included */

export class Bitmap {
  /** @param {number} width @param {number} height @param {Uint8Array} [data] */
  constructor(width, height, data) {
    this.width = width;
    this.height = height;
    /** @type {Uint8Array | null} null while it is packed */
    this.plain = data ?? new Uint8Array(width * height);
    /** @type {import("./packed.js").Packed | null} */
    this.small = null;
    /** @type {{bounds: Box | null, centroid: Point | null} | null} until something is painted */
    this.measured = null;
  }

  /** The pixels, row by row; a packed mask is unpacked for it. */
  get data() {
    if (this.plain) return this.plain;
    this.plain = unpacked(/** @type {import("./packed.js").Packed} */ (this.small), this.width * this.height);
    this.small = null;
    return this.plain;
  }

  /** Take little memory until the pixels are asked for. */
  pack() {
    if (!this.plain) return;
    this.small = packed(this.plain);
    this.plain = null;
  }

  /** What it takes in memory. */
  get bytes() {
    return (this.plain ?? this.small)?.byteLength ?? 0;
  }

  copy() {
    return new Bitmap(this.width, this.height, this.data.slice());
  }

  /** @param {number} x @param {number} y */
  at(x, y) {
    const [column, row] = [Math.round(x), Math.round(y)];
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return inside && this.data[row * this.width + column] === 1;
  }

  /** The box of what is painted; null where nothing is. */
  get bounds() {
    return this.measures.bounds;
  }

  /** The mean of the painted pixels. */
  get centroid() {
    return this.measures.centroid;
  }

  /** Measured once, as every frame of a drag asks for it. */
  get measures() {
    if (this.measured === null) {
      const bounds = this.box();
      this.measured = { bounds, centroid: bounds && this.mean(bounds) };
    }
    return this.measured;
  }

  /** @returns {Box | null} */
  box() {
    const { width, height, data } = this;
    let [left, top, right, bottom] = [width, -1, -1, -1];
    for (let y = 0; y < height; y++) {
      const row = data.subarray(y * width, (y + 1) * width);
      const first = row.indexOf(1);
      if (first < 0) continue;
      if (top < 0) top = y;
      bottom = y;
      left = Math.min(left, first);
      right = Math.max(right, row.lastIndexOf(1));
    }
    return top < 0 ? null : { left, top, right, bottom };
  }

  /** @param {Box} box @returns {Point} */
  mean(box) {
    const { width, data } = this;
    let [x, y, count] = [0, 0, 0];
    for (let row = box.top; row <= box.bottom; row++) {
      for (let column = box.left; column <= box.right; column++) {
        if (data[row * width + column]) {
          x += column;
          y += row;
          count++;
        }
      }
    }
    return { x: x / count, y: y / count };
  }

  /**
   * Paint every pixel whose centre is within `radius` of a line from one point to the next.
   * @param {Point[]} points @param {number} radius @param {0 | 1} value
   */
  stroke(points, radius, value) {
    for (let i = 0; i < points.length; i++) {
      this.segment(points[Math.max(i - 1, 0)], points[i], radius, value);
    }
  }

  /** @param {Point} from @param {Point} to @param {number} radius @param {0 | 1} value */
  segment(from, to, radius, value) {
    this.measured = null;
    const { width, height, data } = this;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy;
    const top = Math.max(0, Math.ceil(Math.min(from.y, to.y) - radius));
    const bottom = Math.min(height - 1, Math.floor(Math.max(from.y, to.y) + radius));
    const left = Math.max(0, Math.ceil(Math.min(from.x, to.x) - radius));
    const right = Math.min(width - 1, Math.floor(Math.max(from.x, to.x) + radius));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const along = length ? ((x - from.x) * dx + (y - from.y) * dy) / length : 0;
        const t = Math.min(1, Math.max(0, along));
        const [ex, ey] = [x - from.x - t * dx, y - from.y - t * dy];
        if (ex * ex + ey * ey <= radius * radius) data[y * width + x] = value;
      }
    }
  }

  /**
   * Paint every pixel whose centre is inside of a closed outline (even-odd rule).
   * @param {Point[]} points @param {0 | 1} value
   */
  polygon(points, value) {
    this.measured = null;
    const { data } = this;
    for (let y = 0; y < this.height; y++) {
      const crossings = [];
      for (let i = 0; i < points.length; i++) {
        const [a, b] = [points[i], points[(i + 1) % points.length]];
        if (a.y <= y !== b.y <= y) crossings.push(a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x));
      }
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const first = Math.max(0, Math.ceil(crossings[i]));
        const last = Math.min(this.width - 1, Math.ceil(crossings[i + 1]) - 1);
        if (first <= last) data.fill(value, y * this.width + first, y * this.width + last + 1);
      }
    }
  }

  /** @param {Bitmap} other @param {0 | 1} value */
  add(other, value) {
    this.measured = null;
    const [{ data }, { data: more }] = [this, other];
    for (let i = 0; i < data.length; i++) if (more[i]) data[i] = value;
  }

  inverted() {
    return new Bitmap(this.width, this.height, this.data.map((value) => 1 - value));
  }

  /** With every pixel within `radius` pixels of a painted one; less instead where the radius is negative. @param {number} radius @returns {Bitmap} */
  grown(radius) {
    if (radius < 0) return this.inverted().grown(-radius).inverted();
    const far = squaredDistances(this);
    return new Bitmap(this.width, this.height, Uint8Array.from(far, (d) => (d <= radius * radius ? 1 : 0)));
  }

  /** Without notches and spikes of less than `radius` pixels. @param {number} radius */
  smoothed(radius) {
    return this.grown(radius).grown(-2 * radius).grown(radius);
  }

  /** With everything that it encloses. */
  filled() {
    const { width, height, data } = this;
    const outside = new Uint8Array(width * height);
    const stack = [];
    for (let x = 0; x < width; x++) stack.push(x, (height - 1) * width + x);
    for (let y = 0; y < height; y++) stack.push(y * width, y * width + width - 1);
    while (stack.length) {
      const i = /** @type {number} */ (stack.pop());
      if (outside[i] || data[i]) continue;
      outside[i] = 1;
      const x = i % width;
      if (x > 0) stack.push(i - 1);
      if (x < width - 1) stack.push(i + 1);
      if (i >= width) stack.push(i - width);
      if (i < (height - 1) * width) stack.push(i + width);
    }
    return new Bitmap(width, height, outside.map((value) => 1 - value));
  }

  /** Whether any pixel is painted in both. @param {Bitmap} other */
  overlaps(other) {
    const [{ data }, { data: more }] = [this, other];
    for (let i = 0; i < data.length; i++) if (data[i] && more[i]) return true;
    return false;
  }

  /** As a picture of one colour, transparent elsewhere. @param {[number, number, number]} colour @param {number} alpha */
  tinted(colour, alpha) {
    return this.drawn(word(colour, alpha), 0);
  }

  /** White on black, as the text of a PNG in base64. */
  async png() {
    const canvas = this.drawn(word([255, 255, 255], 255), word([0, 0, 0], 255));
    return toBase64(await canvas.convertToBlob({ type: "image/png" }));
  }

  /** @param {number} painted colour as a word of RGBA @param {number} elsewhere */
  drawn(painted, elsewhere) {
    const canvas = new OffscreenCanvas(this.width, this.height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const image = context.createImageData(this.width, this.height);
    const [words, { data }] = [new Uint32Array(image.data.buffer), this];
    for (let i = 0; i < words.length; i++) words[i] = data[i] ? painted : elsewhere;
    context.putImageData(image, 0, 0);
    return canvas;
  }

  /** The same from the text of a PNG. @param {string} png @param {number} width @param {number} height */
  static async fromPng(png, width, height) {
    return Bitmap.from(await opened(fromBase64(png)), width, height);
  }

  /** From a picture that is white where it is painted. @param {ImageBitmap} image @param {number} width @param {number} height */
  static from(image, width, height) {
    const canvas = new OffscreenCanvas(width, height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, width, height);
    const words = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
    return new Bitmap(width, height, Uint8Array.from(words, (word) => ((word >>> 8) & 255) > 127 && word >>> 24 > 127 ? 1 : 0));
  }
}

/** Red, green, blue and alpha as the pixels of a canvas hold them. @param {[number, number, number]} colour @param {number} alpha */
function word([red, green, blue], alpha) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Squared distance of every pixel to the nearest painted one, exact (Felzenszwalb and Huttenlocher 2012). @param {Bitmap} mask */
function squaredDistances(mask) {
  const { width, height } = mask;
  const far = (width + height) ** 2;
  const field = Float64Array.from(mask.data, (value) => (value ? 0 : far));
  const line = new Float64Array(Math.max(width, height));
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) line[y] = field[y * width + x];
    const found = lowerEnvelope(line, height);
    for (let y = 0; y < height; y++) field[y * width + x] = found[y];
  }
  for (let y = 0; y < height; y++) {
    const found = lowerEnvelope(field.subarray(y * width, (y + 1) * width), width);
    field.set(found, y * width);
  }
  return field;
}

/** min over j of f[j] + (i - j)^2, for every i. @param {Float64Array} f @param {number} n */
function lowerEnvelope(f, n) {
  const at = new Int32Array(n);
  const from = new Float64Array(n + 1).fill(Infinity);
  let k = 0;
  from[0] = -Infinity;
  const meet = (/** @type {number} */ p, /** @type {number} */ q) => (f[q] + q * q - f[p] - p * p) / (2 * (q - p));
  for (let q = 1; q < n; q++) {
    let s = meet(at[k], q);
    while (s <= from[k]) s = meet(at[--k], q);
    at[++k] = q;
    from[k] = s;
    from[k + 1] = Infinity;
  }
  const result = new Float64Array(n);
  for (let i = 0, j = 0; i < n; i++) {
    while (from[j + 1] < i) j++;
    result[i] = f[at[j]] + (i - at[j]) ** 2;
  }
  return result;
}
