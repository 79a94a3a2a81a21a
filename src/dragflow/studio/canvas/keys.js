// The keyboard: every tool, the view, and the main path without a pointer.

/** @typedef {import("./canvas.js").Canvas} Canvas */
/** @typedef {import("./canvas.js").Tool} Tool */

/** @type {Record<string, Tool>} */
const TOOLS = { s: "select", b: "brush", e: "eraser", l: "lasso", p: "polygon", r: "rectangle", v: "move", a: "area", k: "protect" };

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @type {[string, string][]} */
export const KEYS = [
  ["S, B, E, L, P, R", "select an object, brush, eraser, lasso, polygon, rectangle"],
  ["V", "move, turn and scale the region"],
  ["Alt and drag", "set the point about which the region turns and scales"],
  ["Shift and drag", "along one axis, in steps of 15 degrees, width and height separately"],
  ["A", "paint the editable area (Alt erases)"],
  ["K", "paint what is kept as it is (Alt erases)"],
  ["[ and ]", "smaller and larger brush"],
  ["arrows", "move the region by 1 px, with Shift by 10; in Select, the cursor; in a comparison, its slider"],
  ["Enter", "select what is at the cursor; close the polygon; show the preview"],
  ["Escape", "close the comparison; cancel what is being drawn; put the region back"],
  ["Delete", "remove the region"],
  ["0 and 1", "fit the picture to the view; show its pixels one to one"],
  ["Space", "held down: pan"],
  ["Ctrl-Z, Ctrl-Shift-Z", "undo, redo"],
];

/** @param {Canvas} canvas @param {KeyboardEvent} event */
export function keyPressed(canvas, event) {
  if (event.key === " ") {
    canvas.pointers.space = true;
    window.addEventListener("keyup", () => (canvas.pointers.space = false), { once: true });
    event.preventDefault();
    return;
  }
  const done = event.ctrlKey || event.metaKey ? withControl(canvas, event) : plain(canvas, event);
  if (done) event.preventDefault();
}

/** @param {Canvas} canvas @param {KeyboardEvent} event */
function withControl(canvas, event) {
  const key = event.key.toLowerCase();
  if (key === "z" && !event.shiftKey) canvas.undo();
  else if (key === "y" || (key === "z" && event.shiftKey)) canvas.redo();
  else return false;
  return true;
}

/** @param {Canvas} canvas @param {KeyboardEvent} event */
function plain(canvas, event) {
  const { view, surface } = canvas;
  const tool = TOOLS[event.key.toLowerCase()];
  if (tool && !event.altKey) canvas.choose(tool);
  else if (event.key in ARROWS) arrow(canvas, ARROWS[event.key], event.shiftKey ? 10 : 1);
  else if (event.key === "0") view?.fit(surface.clientWidth, surface.clientHeight);
  else if (event.key === "1") view?.zoom(1 / (window.devicePixelRatio || 1), surface.clientWidth / 2, surface.clientHeight / 2);
  else if (event.key === "[") canvas.radius = Math.max(1, canvas.radius / 1.25);
  else if (event.key === "]") canvas.radius = Math.min(2000, canvas.radius * 1.25);
  else if (event.key === "Enter") enter(canvas);
  else if (event.key === "Escape") escape(canvas);
  else if (event.key === "Delete" && canvas.document.region) {
    canvas.document.remove(canvas.document.state.active);
    canvas.maskChanged();
  } else if (event.key === "?") canvas.panel.help();
  else return false;
  canvas.redraw();
  return true;
}

/** @param {Canvas} canvas @param {[number, number]} direction @param {number} step */
function arrow(canvas, [x, y], step) {
  const { region } = canvas.document;
  if (canvas.judging) {
    canvas.judging.share = Math.min(1, Math.max(0, canvas.judging.share + (x * step) / 100));
    return;
  }
  if (canvas.tool === "select" || !region) {
    const { width, height } = canvas.document;
    const at = canvas.cursor ?? { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    canvas.cursor = {
      x: Math.min(width - 1, Math.max(0, at.x + x * step)),
      y: Math.min(height - 1, Math.max(0, at.y + y * step)),
    };
    return;
  }
  canvas.move({ motion: { ...region.motion, dx: region.motion.dx + x * step, dy: region.motion.dy + y * step } });
}

/** @param {Canvas} canvas */
function enter(canvas) {
  if (canvas.tool === "polygon") canvas.pointers.closePolygon();
  else if (canvas.tool === "select" && canvas.cursor) void canvas.select(canvas.cursor, false);
  else void canvas.requests.askPreview();
}

/** @param {Canvas} canvas */
function escape(canvas) {
  if (canvas.judging) canvas.resume();
  else if (canvas.marking) canvas.marking = null;
  else canvas.revert();
}
