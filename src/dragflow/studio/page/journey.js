// The pictures of a visit, one made from the other: undo and redo beyond what was made of the one that is shown.

import { Document } from "../canvas/document.js";
import { fromBase64 } from "./server.js";

/** @typedef {import("../canvas/document.js").State} State */
/** @typedef {import("./results.js").Result} Result */
/** @typedef {{picture: Blob, name: string, made: any, document: Document | null}} Chapter a picture and what was made of it; the document is null after a reload */

const MOST = 20;

export class Journey {
  /** @param {import("./studio.js").Studio} studio */
  constructor(studio) {
    this.studio = studio;
    /** @type {Chapter[]} */
    this.past = [];
    /** @type {Chapter[]} */
    this.future = [];
    /** @type {State | null} what was made when undo came back to it: redo goes on from there only */
    this.left = null;
    this.turning = false;
  }

  get undoable() {
    return this.past.length > 0;
  }

  get redoable() {
    if (!this.future.length) return false;
    const { state } = this.studio.canvas.document;
    return state.regions === this.left?.regions && state.area === this.left?.area;
  }

  /** Another picture is begun with: undo comes back to the one that was shown. @param {Chapter | null} here */
  leave(here) {
    if (!here || this.turning) return;
    this.past = [...this.past, here].slice(-MOST);
    this.future = [];
  }

  undo() {
    if (this.undoable) void this.turn(this.past, this.future);
  }

  redo() {
    if (this.redoable) void this.turn(this.future, this.past);
  }

  /** @param {Chapter[]} from @param {Chapter[]} to */
  async turn(from, to) {
    if (this.turning || this.studio.run) return;
    this.turning = true;
    const next = from[from.length - 1];
    try {
      const here = await this.here();
      const document = next.document ?? (await Document.restored(next.made, fromBase64));
      if (!(await this.studio.openPicture(next.picture, next.name, document))) return;
      from.pop();
      if (here) to.push(here);
      this.left = document.state;
    } finally {
      this.turning = false;
      this.studio.canvas.panel.update();
    }
  }

  /** The picture, the marks and the settings that a result was made with. @param {Result} result */
  async restore({ picture, name, made, choices, settled, seed }) {
    const document = await Document.restored(made, fromBase64);
    await this.studio.begin(picture, name, document);
    this.studio.settled = settled;
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
