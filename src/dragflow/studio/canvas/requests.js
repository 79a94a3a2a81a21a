// What a canvas asks of its program: the ghost of what is marked, and the preview when the hand rests.

import { GhostPainter } from "./ghost.js";

/** Milliseconds without a change until the program is asked. */
const [GHOST_AFTER, PREVIEW_AFTER] = [60, 250];

export class Requests {
  /** @param {import("./canvas.js").Canvas} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** The numbers of the latest ones: answers to earlier ones are out of date. */
    this.ghosts = this.previews = 0;
    this.resting = 0;
    /** Until the first ghost of the masks as they are is there, or none is. */
    this.settling = Promise.resolve();
  }

  ghostSoon() {
    this.settling = /** @type {Promise<void>} */ (new Promise((done) => void this.askGhost(done)));
  }

  previewSoon() {
    this.previews++;
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => this.askPreview(), PREVIEW_AFTER);
  }

  /** @param {(nothing: void) => void} done when it is known what is drawn */
  async askGhost(done) {
    const { canvas } = this;
    const mine = ++this.ghosts;
    await new Promise((resolve) => setTimeout(resolve, GHOST_AFTER));
    try {
      if (mine !== this.ghosts || !canvas.document.marked.length) return;
      for await (const ghost of canvas.host.layers(await canvas.document.instruction(true))) {
        if (mine !== this.ghosts || !canvas.picture) return;
        canvas.ghost?.destroy();
        canvas.ghost = new GhostPainter(canvas.picture, ghost);
        canvas.settled = ghost.settled;
        done();
        canvas.panel.update();
        canvas.redraw();
      }
    } catch (error) {
      if (mine === this.ghosts) this.failed(error);
    } finally {
      done();
    }
  }

  async askPreview() {
    const { canvas } = this;
    if (canvas.pointers.busy || !canvas.document.moves) return;
    const mine = this.previews;
    try {
      const asked = await this.instruction();
      if (mine !== this.previews) return; // there was another change meanwhile, or another picture
      const preview = await canvas.host.preview(asked);
      if (mine === this.previews) canvas.preview = preview;
      canvas.redraw();
    } catch (error) {
      if (mine === this.previews) this.failed(error);
    }
  }

  /** The instruction with what the ghost settled: what runs is what was seen. */
  async instruction() {
    for (let waited; waited !== this.settling; ) await (waited = this.settling);
    return this.canvas.document.instruction(false, this.canvas.settled);
  }

  /** @param {unknown} error */
  failed(error) {
    this.canvas.host.said(error instanceof Error ? error.message : String(error));
  }

  cancel() {
    clearTimeout(this.resting);
    this.ghosts++;
    this.previews++;
  }
}
