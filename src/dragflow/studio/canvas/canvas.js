// The canvas: mount(element, host) puts it into a page. It knows neither the server nor the toolkit around it.

import { Backdrop } from "./backdrop.js";
import { Bitmap } from "./bitmap.js";
import { Document, regionMatrix } from "./document.js";
import { drawHandles } from "./drag.js";
import { GhostPainter } from "./ghost.js";
import { Judging } from "./judge.js";
import { keyPressed } from "./keys.js";
import { STILL, isStill } from "./motion.js";
import { Panel } from "./panel.js";
import { Pointers } from "./pointers.js";
import { View } from "./view.js";

/** @typedef {import("./host.js").Host} Host */
/** @typedef {import("./host.js").Point} Point */
/** @typedef {import("./mark.js").MarkTool} MarkTool */
/** @typedef {MarkTool | "move" | "area"} Tool */

/** Milliseconds without a change until the program is asked: for a ghost, and for the preview. */
const [SETTLED, RESTED] = [60, 250];

export class Canvas {
  /** @param {HTMLElement} element @param {Host} host */
  constructor(element, host) {
    this.host = host;
    this.root = element;
    this.root.classList.add("dragflow");
    this.surface = document.createElement("canvas");
    this.surface.tabIndex = 0;
    this.surface.setAttribute("role", "application");
    this.surface.setAttribute("aria-label", "Picture: mark a region, drag it. Press ? for the keys.");
    this.panel = new Panel(this);
    this.root.replaceChildren(this.panel.tools, this.surface, this.panel.status, this.panel.fields);
    this.context = /** @type {CanvasRenderingContext2D} */ (this.surface.getContext("2d"));
    /** @type {ImageBitmap | null} */
    this.picture = null;
    this.document = new Document(1, 1);
    /** @type {View | null} */
    this.view = null;
    /** @type {Tool} */
    this.tool = "select";
    this.radius = 12;
    /** @type {import("./mark.js").Marking | null} */
    this.marking = null;
    /** @type {GhostPainter | null} */
    this.ghost = null;
    /** @type {ImageBitmap | null} the program's preview of the state as it is */
    this.preview = null;
    /** @type {Judging | null} */
    this.judging = null;
    /** @type {{text: string, share: number} | null} */
    this.running = null;
    /** @type {Point | null} where the keyboard points */
    this.cursor = null;
    this.tints = new WeakMap();
    this.backdrop = new Backdrop();
    this.asked = { ghost: 0, preview: 0 };
    this.resting = 0;
    /** @type {import("./host.js").Settled[] | null} what the program understood of the marked regions, with their ghost */
    this.settled = null;
    /** Until the first ghost of the masks as they are is there, or none is. */
    this.settling = Promise.resolve();
    this.frame = 0;
    this.pointers = new Pointers(this);
    this.surface.addEventListener("keydown", (event) => keyPressed(this, event));
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.surface);
    this.panel.update();
  }

  /** Begin with a picture. @param {ImageBitmap} picture @param {Document} [restored] what was made of it before */
  load(picture, restored) {
    this.picture = picture;
    this.view = new View(picture);
    this.document = restored ?? new Document(picture.width, picture.height);
    this.judging = this.running = this.marking = this.cursor = null;
    this.radius = Math.max(2, Math.round(Math.min(picture.width, picture.height) / 40));
    this.view.fit(this.surface.clientWidth, this.surface.clientHeight);
    this.maskChanged();
  }

  /** @param {Tool} tool */
  choose(tool) {
    this.tool = tool;
    this.marking = null;
    this.judging = null;
    this.panel.update();
    this.redraw();
  }

  /** The mask that tools paint: that of the active region, or the editable area. */
  get painted() {
    const mask = this.tool === "area" ? this.document.state.area : this.document.region?.mask;
    return mask ?? new Bitmap(this.document.width, this.document.height);
  }

  /** @param {Bitmap} mask */
  paint(mask) {
    if (this.tool === "area") this.document.change({ area: mask });
    else this.document.paint(mask);
    this.maskChanged();
  }

  /** Select the thing at a point. @param {Point} point @param {boolean} adding to what is painted already */
  async select(point, adding) {
    try {
      const found = Bitmap.from(await this.host.select(point), this.document.width, this.document.height);
      if (adding && this.document.region) found.add(this.document.region.mask, 1);
      if (adding || !this.document.region || !isStill(this.document.region.motion)) this.grab(found, adding);
      else this.paint(found);
    } catch (error) {
      this.host.said(sentence(error));
    }
  }

  /** @param {Bitmap} mask @param {boolean} adding */
  grab(mask, adding) {
    if (adding && this.document.region) this.paint(mask);
    else {
      this.document.add(mask);
      this.maskChanged();
    }
  }

  /** Change the motion of the active region. @param {Partial<import("./document.js").Region>} change @param {boolean} [lasting] */
  move(change, lasting = true) {
    const relabelled = "label" in change && change.label !== this.document.region?.label;
    this.document.changeRegion(change, lasting);
    if (relabelled) this.maskChanged();
    else this.moved();
  }

  undo() {
    this.judging = null; // what is undone is seen
    if (this.document.undo()) this.maskChanged();
    else this.host.beyond?.undo();
  }

  redo() {
    this.judging = null;
    if (this.document.redo()) this.maskChanged();
    else this.host.beyond?.redo();
  }

  /** Put the active region back to where it was. */
  revert() {
    if (this.document.region && !isStill(this.document.region.motion)) this.move({ motion: STILL });
  }

  /** After any change of a mask: the ghost is of other regions. */
  maskChanged() {
    this.ghost?.destroy();
    this.ghost = null;
    this.settled = null;
    this.settling = /** @type {Promise<void>} */ (new Promise((done) => void this.askGhost(done)));
    this.moved();
  }

  /** After any change: what the program showed is not this any more. */
  moved() {
    this.preview = null;
    this.asked.preview++;
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => this.askPreview(), RESTED);
    this.panel.update();
    this.host.changed({ words: this.document.words, document: this.document });
    this.redraw();
  }

  /** @param {(nothing: void) => void} done when it is known what is drawn */
  async askGhost(done) {
    const mine = ++this.asked.ghost;
    await new Promise((resolve) => setTimeout(resolve, SETTLED));
    try {
      if (mine !== this.asked.ghost || !this.document.marked.length) return;
      for await (const ghost of this.host.layers(await this.document.instruction(true))) {
        if (mine !== this.asked.ghost || !this.picture) return;
        this.ghost?.destroy();
        this.ghost = new GhostPainter(this.picture, ghost);
        this.settled = ghost.settled;
        done();
        this.panel.update();
        this.redraw();
      }
    } catch (error) {
      if (mine === this.asked.ghost) this.host.said(sentence(error));
    } finally {
      done();
    }
  }

  /** What is asked for, with what the ghost settled: what runs is what was seen. */
  async instruction() {
    for (let waited; waited !== this.settling; ) await (waited = this.settling);
    return this.document.instruction(false, this.settled);
  }

  async askPreview() {
    if (this.pointers.busy || !this.document.moves) return;
    const mine = this.asked.preview;
    try {
      const asked = await this.instruction();
      if (mine !== this.asked.preview) return; // another change came meanwhile, or another picture
      const preview = await this.host.preview(asked);
      if (mine === this.asked.preview) this.preview = preview;
      this.redraw();
    } catch (error) {
      if (mine === this.asked.preview) this.host.said(sentence(error));
    }
  }

  /** Show how far an edit is, over the picture. @param {{text: string, share: number} | null} running @param {ImageBitmap} [shown] */
  progress(running, shown) {
    this.running = running;
    if (shown) this.preview = shown;
    this.redraw();
  }

  /**
   * Show a result beside what it was made from; null to go on marking.
   * @param {ImageBitmap | null} before @param {ImageBitmap | null} after @param {import("./judge.js").Way} [way]
   * @param {import("./judge.js").Sheet} [sheet] what is shown side by side, where it is not these two
   */
  compare(before, after, way = "slider", sheet) {
    this.judging = before && after ? new Judging(before, after, way, sheet) : null;
    this.panel.update();
    this.redraw();
  }

  resized() {
    const ratio = window.devicePixelRatio || 1;
    this.surface.width = Math.max(1, Math.round(this.surface.clientWidth * ratio));
    this.surface.height = Math.max(1, Math.round(this.surface.clientHeight * ratio));
    if (this.view?.whole) this.view.fit(this.surface.clientWidth, this.surface.clientHeight);
    this.redraw();
  }

  redraw() {
    this.frame ||= requestAnimationFrame((now) => {
      this.frame = 0;
      this.draw(now);
      if (this.judging?.way === "blink") this.redraw();
    });
  }

  /** @param {number} now */
  draw(now) {
    const { context, view, picture } = this;
    const ratio = this.surface.width / Math.max(1, this.surface.clientWidth);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.surface.width, this.surface.height);
    if (!view || !picture) return;
    const ghost = this.judging || this.preview || !this.document.moves ? null : this.ghost;
    this.backdrop.draw(context, view, ratio, ghost);
    view.enter(context, ratio);
    const line = 1 / view.scale;
    if (this.judging) this.judging.draw(context, now, line);
    else if (this.preview) context.drawImage(this.preview, 0, 0);
    else ghost?.drawMoving(context, this.document.marked.map(regionMatrix));
    if (!this.judging && !this.running) this.drawMarks(line);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const region = this.document.region;
    const handled = this.tool === "move" || this.tool === "select";
    if (handled && region && !this.judging && !this.running) drawHandles(context, region, view);
    this.drawOver();
  }

  /** Tints where regions are and where they go, and what is being drawn. @param {number} line */
  drawMarks(line) {
    const { context, document: made } = this;
    const { area, regions, active } = made.state;
    if (area) context.drawImage(this.tinted(area, [255, 210, 60], 60), 0, 0);
    regions.forEach((region, i) => {
      const still = isStill(region.motion);
      if (still) context.drawImage(this.tinted(region.mask, region.colour, i === active ? 110 : 60), 0, 0);
    });
    this.marking?.draw(context, line);
  }

  /** @param {Bitmap} mask @param {[number, number, number]} colour @param {number} alpha */
  tinted(mask, colour, alpha) {
    const known = this.tints.get(mask);
    if (known?.alpha === alpha) return known.canvas;
    const canvas = mask.tinted(colour, alpha);
    this.tints.set(mask, { canvas, alpha });
    return canvas;
  }

  /** In pixels of the screen: the brush, the keyboard's cursor, how far the edit is. */
  drawOver() {
    const { context, view } = this;
    const brush = this.tool === "brush" || this.tool === "eraser" || this.tool === "area";
    if (view && brush && this.pointers.hover) {
      const { x, y } = view.toScreen(this.pointers.hover);
      for (const [colour, more] of /** @type {[string, number][]} */ ([["black", 0.5], ["white", -0.5]])) {
        context.strokeStyle = colour;
        context.beginPath();
        context.arc(x, y, Math.max(1, this.radius * view.scale + more), 0, 2 * Math.PI);
        context.stroke();
      }
    }
    if (view && this.cursor) {
      const { x, y } = view.toScreen(this.cursor);
      context.strokeStyle = "white";
      context.lineWidth = 3;
      for (const colour of ["white", "black"]) {
        context.strokeStyle = colour;
        context.beginPath();
        context.moveTo(x - 10, y);
        context.lineTo(x + 10, y);
        context.moveTo(x, y - 10);
        context.lineTo(x, y + 10);
        context.stroke();
        context.lineWidth = 1;
      }
    }
    if (this.running) this.drawProgress(this.running);
  }

  /** @param {{text: string, share: number}} running */
  drawProgress({ text, share }) {
    const { context, surface } = this;
    const [width, bottom] = [surface.clientWidth, surface.clientHeight];
    context.fillStyle = "rgb(0 0 0 / 60%)";
    context.fillRect(0, bottom - 28, width, 28);
    context.fillStyle = "rgb(60 140 240 / 90%)";
    context.fillRect(0, bottom - 4, width * share, 4);
    context.fillStyle = "white";
    context.font = "13px system-ui, sans-serif";
    context.fillText(text, 12, bottom - 11);
  }

  destroy() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    this.ghost?.destroy();
    this.root.replaceChildren();
  }
}

/** Put a canvas into an element of a page. @param {HTMLElement} element @param {Host} host */
export function mount(element, host) {
  return new Canvas(element, host);
}

/** @param {unknown} error */
function sentence(error) {
  return error instanceof Error ? error.message : String(error);
}
