// The pictures of a visit, one made from the other: undo and redo beyond what was made of the one that is shown.

import { Document } from "../canvas/document.js";

/** @typedef {import("../canvas/document.js").State} State */
/** @typedef {import("./results.js").Result} Result */
/**
 * A picture and what was made of it. The document, which has its undo steps as well, is null after a reload and where it took
 * too much memory.
 * @typedef {{picture: Blob, name: string, made: any, document: Document | null}} Chapter
 */

export const MOST_PICTURES = 20;
/** Bytes that the masks of these pictures' documents may take together, and their files. */
export const [MOST_MASK_BYTES, MOST_FILE_BYTES] = [64 * 2 ** 20, 256 * 2 ** 20];

export class Journey {
  /** @param {import("./studio.js").Studio} studio */
  constructor(studio) {
    this.studio = studio;
    /** @type {Chapter[]} */
    this.past = [];
    /** @type {Chapter[]} */
    this.future = [];
    /** @type {State | null} what was made when undo came back to it: redo is possible from there only */
    this.left = null;
    this.turning = false;
  }

  get undoable() {
    return this.past.length > 0;
  }

  get redoable() {
    if (!this.future.length) return false;
    const { state } = this.studio.canvas.document;
    return state.regions === this.left?.regions && state.area === this.left?.area && state.protect === this.left?.protect;
  }

  /** Another picture is opened: undo comes back to the one that was shown. @param {Chapter | null} here */
  leave(here) {
    if (!here || this.turning) return;
    this.past.push(here);
    this.future = [];
    this.tidy();
  }

  /** Keep what is not shown within its bounds: what is farthest away loses its undo steps first, then is forgotten. */
  tidy() {
    const all = [...this.past, ...this.future];
    for (const { document } of all) document?.pack();
    for (const chapter of all) if (sum(all, ({ document }) => document?.bytes ?? 0) > MOST_MASK_BYTES) chapter.document = null;
    const far = () => (this.past.length ? this.past : this.future);
    const files = () => sum([...this.past, ...this.future], ({ picture }) => picture.size);
    while (this.past.length > MOST_PICTURES || files() > MOST_FILE_BYTES) far().shift();
  }

  undo() {
    if (this.undoable) void this.turn(this.past, this.future);
  }

  redo() {
    if (this.redoable) void this.turn(this.future, this.past);
  }

  /** @param {Chapter[]} from @param {Chapter[]} to */
  async turn(from, to) {
    if (this.turning || this.studio.edits.run) return;
    this.turning = true;
    const next = from[from.length - 1];
    try {
      const here = await this.here();
      const document = next.document ?? (await Document.restored(next.made));
      if (!(await this.studio.openPicture(next.picture, next.name, document))) return;
      from.pop();
      if (here) to.push(here);
      this.left = document.state;
      this.tidy();
    } finally {
      this.turning = false;
      this.studio.canvas.panel.update();
    }
  }

  /** The picture, the marks and the settings that a result was made with. @param {Result} result */
  async restore({ picture, name, made, choices, overrides, seed }) {
    const document = await Document.restored(made);
    await this.studio.begin(picture, name, document);
    this.studio.override(overrides);
    this.studio.told({ ...choices, seed, variants: 1 });
  }

  /** What is shown now; null before the first picture. @returns {Promise<Chapter | null>} */
  async here() {
    const { shown: picture, name, canvas } = this.studio;
    return picture && { picture, name, made: await canvas.document.saved(), document: canvas.document };
  }

  /** As plain data, for the storage of a browser. */
  saved() {
    return this.past.map((chapter) => ({ ...chapter, document: null }));
  }
}

/** @param {Chapter[]} chapters @param {(chapter: Chapter) => number} bytes */
function sum(chapters, bytes) {
  return chapters.reduce((total, chapter) => total + bytes(chapter), 0);
}
