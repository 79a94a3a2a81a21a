// What undo and redo come back to. Its masks are packed, and bounded in bytes.

/** @typedef {import("./document.js").State} State */
/** @typedef {import("./bitmap.js").Bitmap} Bitmap */

export const MOST_STATES = 60;
/** Bytes that masks of former and undone states may take together; beyond, the oldest states are forgotten. */
export const MOST_BYTES = 32 * 2 ** 20;

export class History {
  constructor() {
    /** @type {State[]} the last one is undone to first */
    this.past = [];
    /** @type {State[]} the last one is redone first */
    this.future = [];
  }

  /** Let undo come back to a state. @param {State} state */
  remember(state) {
    this.past.push(state);
    this.future = [];
  }

  /** The state before this one. @param {State} state */
  back(state) {
    const before = this.past.pop();
    if (before) this.future.push(state);
    return before;
  }

  /** The state that was undone. @param {State} state */
  forth(state) {
    const after = this.future.pop();
    if (after) this.past.push(state);
    return after;
  }

  /** Bytes of the masks that only this history holds. @param {State} shown */
  bytes(shown) {
    return bytesOf(this.masks(shown));
  }

  /** Pack what is not shown, and forget the oldest states where they are too many or too large. @param {State} shown */
  tidy(shown) {
    for (const mask of this.masks(shown)) mask.pack();
    while (this.past.length > MOST_STATES) this.past.shift();
    while (this.bytes(shown) > MOST_BYTES) (this.past.length ? this.past : this.future).shift();
  }

  /** @param {State} shown */
  masks(shown) {
    const found = new Set([...this.past, ...this.future].flatMap(masksOf));
    for (const mask of masksOf(shown)) found.delete(mask);
    return found;
  }
}

/** @param {State} state */
export function masksOf({ regions, area, protect }) {
  return [...regions.map((region) => region.mask), area, protect].filter((mask) => mask !== null);
}

/** @param {Iterable<Bitmap>} masks */
export function bytesOf(masks) {
  let sum = 0;
  for (const mask of masks) sum += mask.bytes;
  return sum;
}
