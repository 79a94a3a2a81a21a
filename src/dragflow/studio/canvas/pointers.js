// Mouse, pen and fingers: one marks or drags, two pan and zoom, the wheel zooms, space or the middle button pans.

import { Dragging, gripAt } from "./drag.js";
import { Marking } from "./mark.js";

/** @typedef {import("./canvas.js").Canvas} Canvas */
/** @typedef {import("./host.js").Point} Point */
/** @typedef {{x: number, y: number}} Place of the screen */

const WHEEL = 0.0016;
const TOUCH = 22;

export class Pointers {
  /** @param {Canvas} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {Map<number, Place>} */
    this.down = new Map();
    /** @type {Dragging | null} */
    this.dragging = null;
    this.panning = false;
    this.space = false;
    this.sliding = false;
    /** @type {Point | null} */
    this.hover = null;
    const { surface } = canvas;
    surface.style.touchAction = "none";
    surface.addEventListener("pointerdown", (event) => this.begin(event));
    surface.addEventListener("pointermove", (event) => this.follow(event));
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      surface.addEventListener(name, (event) => this.end(event, name === "pointercancel"));
    }
    surface.addEventListener("pointerleave", () => this.leave());
    surface.addEventListener("dblclick", () => this.closePolygon());
    surface.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** Whether something is being dragged or drawn. */
  get busy() {
    return this.dragging !== null || (this.canvas.marking !== null && this.down.size > 0);
  }

  /** @param {MouseEvent} event @returns {Place} */
  place(event) {
    const box = this.canvas.surface.getBoundingClientRect();
    const scale = this.canvas.surface.offsetWidth / box.width || 1; // a page may show the canvas larger or smaller
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  /** @param {PointerEvent} event */
  begin(event) {
    const { canvas } = this;
    if (!canvas.view || canvas.running) return;
    const place = this.place(event);
    this.down.set(event.pointerId, place);
    canvas.surface.setPointerCapture(event.pointerId);
    canvas.surface.focus({ preventScroll: true });
    canvas.cursor = null;
    if (this.down.size === 2) {
      this.abandon();
      return;
    }
    const point = canvas.view.toPicture(place.x, place.y);
    this.panning = this.space || event.button === 1;
    if (this.panning || this.down.size > 2) return;
    if (canvas.judging) {
      this.sliding = canvas.judging.way === "slider";
      this.slide(point);
      const picked = canvas.judging.way === "side by side" ? canvas.judging.at(point) : -1;
      if (picked >= 0) canvas.host.picked?.(picked);
    } else if (canvas.tool === "move" || (canvas.tool === "select" && this.onRegion(event, place))) {
      this.grab(event, place, point);
    } else this.mark(event, point);
  }

  /** Whether the pointer is on the active region or its handles. @param {PointerEvent} event @param {Place} place */
  onRegion(event, { x, y }) {
    const { region } = this.canvas.document;
    const { view } = this.canvas;
    return !event.shiftKey && region !== null && view !== null && gripAt(region, view, x, y, reachOf(event)) !== null;
  }

  /** @param {PointerEvent} event @param {Place} place @param {Point} point */
  grab(event, place, point) {
    const { canvas } = this;
    const made = canvas.document;
    let grip = made.region && canvas.view && gripAt(made.region, canvas.view, place.x, place.y, reachOf(event));
    if (!grip && canvas.view) {
      // Another region under the pointer becomes the active one.
      for (let i = made.state.regions.length - 1; i >= 0 && !grip; i--) {
        grip = gripAt(made.state.regions[i], canvas.view, place.x, place.y, 0);
        if (grip) made.change({ active: i }, false);
      }
    }
    if (grip && made.region) {
      if (event.altKey) grip = { grip: "anchor", at: grip.at };
      made.remember();
      this.dragging = new Dragging(made.region, grip, point);
    }
    canvas.panel.update();
    canvas.redraw();
  }

  /** @param {PointerEvent} event @param {Point} point */
  mark(event, point) {
    const { canvas } = this;
    if (canvas.tool === "polygon" && canvas.marking) {
      canvas.marking.corner(point);
    } else if (canvas.tool !== "select") {
      const tool = canvas.overall ? (event.altKey ? "eraser" : "brush") : /** @type {import("./mark.js").MarkTool | "move"} */ (canvas.tool);
      if (tool !== "move") canvas.marking = new Marking(tool, canvas.radius, point);
    }
    canvas.redraw();
  }

  /** @param {PointerEvent} event */
  follow(event) {
    const { canvas } = this;
    if (!canvas.view) return;
    const place = this.place(event);
    const before = this.down.get(event.pointerId);
    const point = canvas.view.toPicture(place.x, place.y);
    this.hover = point;
    if (before && this.down.size === 2) this.pinch(event.pointerId, before, place);
    else if (before && this.panning) canvas.view.pan(place.x - before.x, place.y - before.y);
    else if (this.sliding) this.slide(point);
    else if (this.dragging) canvas.move(this.dragging.to(point, event.shiftKey), false);
    else if (canvas.marking && before) for (const at of this.path(event)) canvas.marking.to(at);
    if (before) this.down.set(event.pointerId, place);
    canvas.redraw();
  }

  /** Where the pointer was since the last event, in points of the picture. @param {PointerEvent} event */
  path(event) {
    const all = event.getCoalescedEvents?.() ?? [];
    return (all.length ? all : [event]).map((one) => {
      const { x, y } = this.place(one);
      return /** @type {import("./view.js").View} */ (this.canvas.view).toPicture(x, y);
    });
  }

  /** @param {PointerEvent} event @param {boolean} lost */
  end(event, lost) {
    const { canvas } = this;
    const place = this.down.get(event.pointerId);
    this.down.delete(event.pointerId);
    if (!place || !canvas.view) return;
    const point = canvas.view.toPicture(place.x, place.y);
    const single = this.down.size === 0 && !this.panning && !lost;
    if (this.dragging) {
      this.dragging = null;
      canvas.moved();
    } else if (canvas.marking && canvas.tool !== "polygon" && single) {
      const drawn = canvas.marking;
      canvas.marking = null;
      canvas.paint(drawn.applied(canvas.painted, event.altKey));
    } else if (canvas.tool === "select" && single && !this.sliding && !canvas.judging) {
      void canvas.select(point, event.shiftKey);
    }
    if (this.down.size === 0) this.panning = this.sliding = false;
    canvas.resized(); // what was put off while the hand was busy
  }

  leave() {
    this.hover = null;
    this.canvas.redraw();
  }

  /** A second finger: what the first one began is not meant. */
  abandon() {
    if (this.dragging) {
      this.dragging = null;
      this.canvas.undo();
    }
    if (this.canvas.tool !== "polygon") this.canvas.marking = null;
    this.panning = true;
  }

  closePolygon() {
    const { canvas } = this;
    const drawn = canvas.marking;
    if (canvas.tool !== "polygon" || !drawn) return;
    canvas.marking = null;
    if (drawn.points.length > 2) canvas.paint(drawn.applied(canvas.painted, false));
    canvas.redraw();
  }

  /** @param {number} id @param {Place} before @param {Place} place */
  pinch(id, before, place) {
    const { view } = this.canvas;
    const other = [...this.down].find(([key]) => key !== id)?.[1];
    if (!view || !other) return;
    const spread = (/** @type {Place} */ p) => Math.max(10, Math.hypot(p.x - other.x, p.y - other.y));
    const [x, y] = [(place.x + other.x) / 2, (place.y + other.y) / 2];
    view.pan(x - (before.x + other.x) / 2, y - (before.y + other.y) / 2);
    view.zoom((view.scale * spread(place)) / spread(before), x, y);
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    const { view } = this.canvas;
    if (!view) return;
    event.preventDefault();
    const { x, y } = this.place(event);
    view.zoom(view.scale * Math.exp(-event.deltaY * WHEEL), x, y);
    this.canvas.redraw();
  }

  /** @param {Point} point */
  slide(point) {
    const { judging } = this.canvas;
    if (!judging || !this.sliding) return;
    judging.share = Math.min(1, Math.max(0, (point.x + 0.5) / judging.after.width));
    this.canvas.redraw();
  }
}

/** Fingers are less exact. @param {PointerEvent} event */
function reachOf(event) {
  return event.pointerType === "touch" ? TOUCH : undefined;
}
