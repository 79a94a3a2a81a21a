// The canvas: mount(element, host) puts it into a page. It knows neither the server nor the toolkit around it.

import { Bitmap } from "./bitmap.js";
import { Document, acts } from "./document.js";
import { Judging } from "./judge.js";
import { keyPressed } from "./keys.js";
import { STILL } from "./motion.js";
import { Painter } from "./painter.js";
import { Panel } from "./panel.js";
import { Pointers } from "./pointers.js";
import { Requests } from "./requests.js";
import { View } from "./view.js";

/** @typedef {import("./host.js").Host} Host */
/** @typedef {import("./host.js").Point} Point */
/** @typedef {import("./mark.js").MarkTool} MarkTool */
/** @typedef {MarkTool | "move" | "area" | "protect"} Tool */

export class Canvas {
  /** @param {HTMLElement} element @param {Host} host */
  constructor(element, host) {
    this.host = host;
    this.root = element;
    this.root.classList.add("dragflow");
    this.surface = document.createElement("canvas");
    this.surface.tabIndex = 0;
    this.surface.setAttribute("role", "application");
    this.surface.setAttribute("aria-label", "Picture: mark a region and drag it. Press ? for keyboard shortcuts.");
    this.panel = new Panel(this);
    this.root.replaceChildren(this.panel.tools, this.surface, this.panel.status, this.panel.fields);
    this.painter = new Painter(this);
    this.requests = new Requests(this);
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
    /** @type {import("./ghost.js").GhostPainter | null} */
    this.ghost = null;
    /** @type {import("./host.js").Settled[] | null} what the program understood of the marked regions, with their ghost */
    this.settled = null;
    /** @type {ImageBitmap | null} the program's preview of the state as it is */
    this.preview = null;
    /** @type {Judging | null} */
    this.judging = null;
    /** @type {{text: string, share: number} | null} */
    this.running = null;
    /** @type {Point | null} where the keyboard points */
    this.cursor = null;
    this.frame = 0;
    this.pointers = new Pointers(this);
    this.surface.addEventListener("keydown", (event) => keyPressed(this, event));
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.surface);
    this.panel.update();
  }

  /** Open a picture. @param {ImageBitmap} picture @param {Document} [restored] its marks, where there are any */
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
    this.resume();
  }

  /** Whether the tool paints what lies over all regions, and does not mark one. */
  get overall() {
    return this.tool === "area" || this.tool === "protect";
  }

  /** The mask that tools paint: that of the active region, the editable area, or what is protected. */
  get painted() {
    const { state, region } = this.document;
    const mask = this.tool === "area" ? state.area : this.tool === "protect" ? state.protect : region?.mask;
    return mask ?? new Bitmap(this.document.width, this.document.height);
  }

  /** @param {Bitmap} mask */
  paint(mask) {
    if (this.overall) this.document.change(this.tool === "area" ? { area: mask } : { protect: mask });
    else this.document.paint(mask);
    this.maskChanged();
  }

  /** Select the object at a point. @param {Point} point @param {boolean} adding to what is painted already */
  async select(point, adding) {
    try {
      const found = Bitmap.from(await this.host.select(point), this.document.width, this.document.height);
      if (adding && this.document.region) found.add(this.document.region.mask, 1);
      if (adding || !this.document.region || acts(this.document.region)) this.grab(found, adding);
      else this.paint(found);
    } catch (error) {
      this.host.said(error instanceof Error ? error.message : String(error));
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
    this.resume(); // what is undone is seen
    if (this.document.undo()) this.maskChanged();
    else this.host.beyond?.undo();
  }

  redo() {
    this.resume();
    if (this.document.redo()) this.maskChanged();
    else this.host.beyond?.redo();
  }

  /** Put the active region back to where it was. */
  revert() {
    const { region } = this.document;
    if (region && acts(region)) this.move({ motion: STILL, label: region.label === "removal" ? null : region.label });
  }

  /** After any change of a mask: the ghost is of other regions. */
  maskChanged() {
    this.ghost?.destroy();
    this.ghost = null;
    this.settled = null;
    this.requests.ghostSoon();
    this.moved();
  }

  /** After any change: what the program showed is out of date. */
  moved() {
    this.preview = null;
    this.requests.previewSoon();
    this.panel.update();
    this.host.changed({ words: this.document.words, document: this.document });
    this.redraw();
  }

  /** What an edit is asked for with. */
  instruction() {
    return this.requests.instruction();
  }

  /** Show how far an edit is, over the picture. @param {{text: string, share: number} | null} running @param {ImageBitmap} [shown] */
  progress(running, shown) {
    this.running = running;
    if (shown) this.preview = shown;
    this.redraw();
  }

  /**
   * Show a result beside what it was made from, until `resume`.
   * @param {ImageBitmap} before @param {ImageBitmap} after @param {import("./judge.js").Way} [way]
   * @param {import("./judge.js").Sheet} [sheet] what is shown side by side, where it is not these two
   */
  compare(before, after, way = "slider", sheet) {
    this.judging = new Judging(before, after, way, sheet);
    this.panel.update();
    this.redraw();
  }

  /** Show what is marked again, not a comparison. */
  resume() {
    this.judging = null;
    this.panel.update();
    this.redraw();
  }

  resized() {
    const ratio = window.devicePixelRatio || 1;
    this.surface.width = Math.max(1, Math.round(this.surface.clientWidth * ratio));
    this.surface.height = Math.max(1, Math.round(this.surface.clientHeight * ratio));
    // Under a hand that drags or paints the picture stays, though the fields below it need more room.
    if (this.view?.whole && !this.pointers.busy) this.view.fit(this.surface.clientWidth, this.surface.clientHeight);
    this.redraw();
  }

  redraw() {
    this.frame ||= requestAnimationFrame((now) => {
      this.frame = 0;
      this.painter.draw(now);
      if (this.judging?.way === "blink") this.redraw();
    });
  }

  destroy() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    this.requests.cancel();
    this.ghost?.destroy();
    this.root.replaceChildren();
  }
}

/** Put a canvas into an element of a page. @param {HTMLElement} element @param {Host} host */
export function mount(element, host) {
  return new Canvas(element, host);
}
