// Tools, number fields and the list of regions around the picture.

import { KEYS } from "./keys.js";
import { STILL } from "./motion.js";

/** @typedef {import("./canvas.js").Canvas} Canvas */
/** @typedef {import("./canvas.js").Tool} Tool */
/** @typedef {import("./motion.js").Motion} Motion */

/** @type {[Tool, string, string][]} */
const TOOLS = [
  ["select", "Select", "click on an object, then drag it (S)"],
  ["brush", "Brush", "paint the region (B)"],
  ["eraser", "Eraser", "erase from the region (E)"],
  ["lasso", "Lasso", "draw around the region (L)"],
  ["polygon", "Polygon", "click the corners of the region; double click or Enter closes it (P)"],
  ["rectangle", "Box", "draw a rectangle (R)"],
  ["move", "Move", "drag, turn and scale the region (V)"],
  ["area", "Area", "paint where the picture may change (A)"],
  ["protect", "Protect", "paint what never changes (K)"],
];
const BRUSH = 2;

/** @type {[string, string, (mask: import("./bitmap.js").Bitmap) => import("./bitmap.js").Bitmap][]} */
const CHANGES = [
  ["Grow", "enlarge by 2 pixels", (mask) => mask.grown(BRUSH)],
  ["Shrink", "shrink by 2 pixels", (mask) => mask.grown(-BRUSH)],
  ["Smooth", "remove notches and spikes", (mask) => mask.smoothed(BRUSH)],
  ["Fill", "fill holes", (mask) => mask.filled()],
  ["Invert", "select everything else instead", (mask) => mask.inverted()],
];

/** @type {[keyof Motion, string, number, number][]} */
const NUMBERS = [
  ["dx", "right, px", 1, 1],
  ["dy", "down, px", 1, 1],
  ["degrees", "turn, degrees", 1, 1],
  ["sx", "width, %", 100, 1],
  ["sy", "height, %", 100, 1],
];

/** @typedef {{text: string, behind: boolean | number | null}} Order */

/** Those that need no other region. @type {Order[]} */
const ORDERS = [
  { text: "guessed", behind: null },
  { text: "in front", behind: false },
  { text: "behind what is there", behind: true },
];

/** What is done with a region, and its label; a move may have others, too. @type {Record<string, "copy" | "removal" | null>} */
const DEEDS = { move: null, copy: "copy", remove: "removal" };

/** What a given area does to the one that the program derives. @type {Record<string, import("./document.js").AreaMode>} */
const AREAS = { "only there": "replace", "there as well": "extend", "not there": "subtract" };

/** What a label that was guessed says. @type {Record<string, string>} */
const GUESSES = { relocation: "guessed: separate object", deformation: "guessed: part of an object" };

export class Panel {
  /** @param {Canvas} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.tools = made("div", { className: "tools", role: "toolbar", ariaLabel: "Tools" });
    /** @type {Map<Tool, HTMLButtonElement>} */
    this.buttons = new Map();
    for (const [tool, text, title] of TOOLS) {
      const button = pressed(text, title, () => canvas.choose(tool));
      this.buttons.set(tool, button);
      this.tools.append(button);
    }
    this.undo = pressed("Undo", "Ctrl-Z", () => canvas.undo());
    this.redo = pressed("Redo", "Ctrl-Shift-Z", () => canvas.redo());
    const help = pressed("?", "keyboard shortcuts", () => this.help());
    const changes = CHANGES.map(([text, title, change]) => pressed(text, title, () => canvas.paint(change(canvas.painted))));
    this.tools.append(gap(), ...changes, gap(), this.undo, this.redo, help);
    this.status = made("p", { className: "status", role: "status" });
    this.fields = made("div", { className: "fields" });
    this.list = made("div", { className: "regions", role: "listbox", ariaLabel: "Regions" });
    /** @type {Map<keyof Motion, HTMLInputElement>} */
    this.numbers = new Map();
    for (const [name, text, factor, step] of NUMBERS) this.fields.append(this.number(name, text, factor, step));
    this.deed = chosen("Action", Object.keys(DEEDS), (value) => canvas.move({ label: DEEDS[value] }));
    this.label = chosen("Kind", ["guessed", "relocation", "deformation"], (value) =>
      canvas.move({ label: value === "guessed" ? null : /** @type {"relocation"} */ (value) }),
    );
    this.cut = chosen("Cut out", ["snap", "soft", "hard"], (value) => {
      canvas.document.changeRegion({ cut: /** @type {"snap"} */ (value) });
      canvas.maskChanged();
    });
    /** @type {Order[]} what is offered */
    this.orders = [];
    this.order = chosen("Order", [], (value) => canvas.move({ behind: this.orders[Number(value)].behind }));
    this.areaMode = chosen("May change", Object.keys(AREAS), (value) => {
      canvas.document.change({ areaMode: AREAS[value] });
      canvas.moved();
    });
    this.again = pressed("Copy again", "copy the region to one more place", () => {
      canvas.document.copyAgain();
      canvas.maskChanged();
    });
    this.swap = pressed("Swap", "let the two regions change places", () => {
      canvas.document.swap();
      canvas.maskChanged();
    });
    const back = pressed("Put back", "Escape", () => canvas.revert());
    const chosenFields = [this.deed, this.label, this.cut, this.order, this.areaMode].map(({ field }) => field);
    this.fields.append(...chosenFields, this.again, this.swap, back, this.list);
    this.listed = "";
    this.ordered = "";
    this.dialog = made("dialog", { className: "keys", ariaLabel: "Keyboard shortcuts" });
  }

  /** @param {keyof Motion} name @param {string} text @param {number} factor @param {number} step */
  number(name, text, factor, step) {
    const input = made("input", { type: "number", step: String(step) });
    input.addEventListener("change", () => {
      const { region } = this.canvas.document;
      const value = Number(input.value) / factor;
      const fits = Number.isFinite(value) && (factor === 1 || value >= 0.01);
      if (region && fits) this.canvas.move({ motion: { ...region.motion, [name]: value } });
      this.update();
    });
    this.numbers.set(name, input);
    const field = made("label", {});
    field.append(text, input);
    return field;
  }

  /** Add to the description of a tool. @param {Tool} tool @param {string} more */
  explain(tool, more) {
    const button = this.buttons.get(tool);
    if (button) button.title = `${button.title}; ${more}`;
  }

  /** Show the state as it is. */
  update() {
    const { canvas } = this;
    const { document: doc } = canvas;
    for (const [tool, button] of this.buttons) button.ariaPressed = String(tool === canvas.tool);
    this.undo.disabled = !doc.history.past.length && !canvas.host.beyond?.undoable;
    this.redo.disabled = !doc.history.future.length && !canvas.host.beyond?.redoable;
    this.status.textContent = canvas.judging?.words ?? doc.words;
    const motion = doc.region?.motion ?? STILL;
    for (const [name, , factor] of NUMBERS) {
      const input = /** @type {HTMLInputElement} */ (this.numbers.get(name));
      input.disabled = !doc.region;
      if (document.activeElement !== input) input.value = String(Math.round(motion[name] * factor * 10) / 10);
    }
    this.showDeed();
    this.cut.select.value = doc.region?.cut ?? "snap";
    this.showGuesses();
    this.showOrder();
    for (const { select } of [this.deed, this.cut]) select.disabled = !doc.region;
    this.listRegions();
  }

  /** What is done with the active region, and what that leaves to be chosen. */
  showDeed() {
    const { document: doc } = this.canvas;
    const label = doc.region?.label ?? null;
    const deed = Object.keys(DEEDS).find((name) => DEEDS[name] === label && label) ?? "move";
    this.deed.select.value = deed;
    this.label.select.value = deed === "move" && label ? label : "guessed";
    this.label.select.disabled = !doc.region || deed !== "move";
    this.order.select.disabled = !doc.region || deed === "remove";
    this.again.hidden = deed !== "copy";
    this.swap.hidden = doc.marked.length !== 2;
    const { area, areaMode } = doc.state;
    this.areaMode.field.hidden = !area;
    this.areaMode.select.value = Object.keys(AREAS).find((name) => AREAS[name] === areaMode) ?? "";
  }

  /** The list is rebuilt when it changes, not in every frame of a drag, and keeps the focus of the keyboard. */
  listRegions() {
    const { regions, active } = this.canvas.document.state;
    const listed = JSON.stringify([active, ...regions.map(({ name, colour }) => [name, colour])]);
    if (listed === this.listed) return;
    this.listed = listed;
    const focused = [...this.list.children].indexOf(/** @type {Element} */ (document.activeElement));
    this.list.replaceChildren(...regions.map((region, i) => this.entry(region, i)), this.newRegion());
    const entry = this.list.children[Math.min(focused, regions.length)];
    if (focused >= 0 && entry instanceof HTMLElement) entry.focus();
  }

  /** What the program understood of the active region, once it has said so. */
  showGuesses() {
    const { document: doc, settled } = this.canvas;
    const known = doc.region && settled?.[doc.marked.indexOf(doc.region)];
    this.label.select.options[0].textContent = GUESSES[known?.operation.motion.label ?? ""] ?? "guessed";
    this.cut.select.options[0].textContent = known ? `snap: ${known.snapped ? "to the edge found" : "as painted"}` : "snap";
  }

  /** What a region can be behind: also what other regions mark, whether or not they move. Offered again only when it changes. */
  showOrder() {
    const { region, state } = this.canvas.document;
    const others = state.regions.filter((other) => other !== region);
    this.orders = [...ORDERS, ...others.map(({ id, name }) => ({ text: `behind ${name}`, behind: id }))];
    const ordered = JSON.stringify(this.orders);
    if (ordered !== this.ordered) this.order.offer(this.orders.map(({ text }, i) => [String(i), text]));
    this.ordered = ordered;
    this.order.select.value = String(this.orders.findIndex(({ behind }) => behind === (region?.behind ?? null)));
  }

  /** @param {import("./document.js").Region} region @param {number} index */
  entry(region, index) {
    const { canvas } = this;
    const chosen = index === canvas.document.state.active;
    const button = pressed(region.name, "make this the active region; double click to rename", () => {
      canvas.document.change({ active: index }, false);
      canvas.moved();
    });
    button.role = "option";
    button.ariaSelected = String(chosen);
    button.style.setProperty("--colour", `rgb(${region.colour.join(" ")})`);
    button.addEventListener("dblclick", () => {
      const name = window.prompt("Name of the region", region.name)?.trim();
      if (name) canvas.move({ name });
    });
    return button;
  }

  newRegion() {
    const { canvas } = this;
    const button = pressed("+", "start another region", () => {
      canvas.document.change({ active: -1 });
      canvas.moved();
    });
    button.ariaLabel = "Start another region";
    return button;
  }

  /** The keyboard shortcuts. */
  help() {
    const table = made("table", {});
    for (const [key, text] of KEYS) {
      const row = made("tr", {});
      row.append(made("th", { textContent: key }), made("td", { textContent: text }));
      table.append(row);
    }
    this.dialog.replaceChildren(table, pressed("Close", "Escape", () => this.dialog.close()));
    if (!this.dialog.isConnected) this.canvas.root.append(this.dialog);
    this.dialog.showModal();
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, unknown>} properties @returns {HTMLElementTagNameMap[Tag]}
 */
function made(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

/** @param {string} text @param {string} title @param {() => void} act */
function pressed(text, title, act) {
  const button = made("button", { type: "button", textContent: text, title });
  button.addEventListener("click", act);
  return button;
}

function gap() {
  return made("span", { className: "gap" });
}

/** @param {string} text @param {string[]} values @param {(value: string) => void} act */
function chosen(text, values, act) {
  const select = made("select", {});
  const offer = (/** @type {[value: string, text: string][]} */ options) =>
    select.replaceChildren(...options.map(([value, textContent]) => made("option", { value, textContent })));
  offer(values.map((value) => [value, value]));
  select.addEventListener("change", () => act(select.value));
  const field = made("label", {});
  field.append(text, select);
  return { field, select, offer };
}
