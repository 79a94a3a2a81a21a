// What a person has made of a picture: regions with their motions and the editable area; undone, redone, kept.

import { Bitmap } from "./bitmap.js";
import { History, bytesOf, masksOf } from "./history.js";
import { STILL, asFile, inWords, isStill, matrixOf } from "./motion.js";

/** @typedef {import("./host.js").Point} Point */
/** @typedef {import("./motion.js").Motion} Motion */
/** @typedef {"replace" | "extend" | "subtract"} AreaMode */

/**
 * One region; each is one operation. Never changed: a change makes a new one.
 * @typedef {object} Region
 * @property {number} id unlike that of any other region
 * @property {string} name for people; others may have the same
 * @property {[number, number, number]} colour
 * @property {Bitmap} mask
 * @property {Motion} motion
 * @property {Point | null} anchor null: the middle of the region
 * @property {"relocation" | "deformation" | "copy" | "removal" | null} label null: the program guesses one of the first two
 * @property {"snap" | "soft" | "hard"} cut
 * @property {boolean | number | null} behind what stays in front of it where it goes: the id of another region, true for
 *   what the program finds there, false for nothing; null: the program guesses
 * @property {object | null} given the operation of a file that it shows, which is said as it was while nothing is changed
 */

/**
 * @typedef {object} State
 * @property {readonly Region[]} regions @property {number} active
 * @property {Bitmap | null} area @property {AreaMode} areaMode what the area does to the one that the program derives
 * @property {Bitmap | null} protect what never changes
 * @property {string} prompt @property {string} editPrompt
 */

/** Each has a contrast of 3:1 to light and to dark pages. @type {[number, number, number][]} */
const COLOURS = [[230, 60, 60], [40, 130, 230], [30, 150, 80], [185, 115, 15], [150, 80, 210], [15, 145, 155]];

/** @type {State} */
const EMPTY = { regions: [], active: -1, area: null, areaMode: "replace", protect: null, prompt: "", editPrompt: "" };

export class Document {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.state = EMPTY;
    this.history = new History();
  }

  get region() {
    return this.state.regions[this.state.active] ?? null;
  }

  /** The regions in which anything is painted. */
  get marked() {
    return this.state.regions.filter((region) => region.mask.bounds);
  }

  /** Whether anything is dragged. */
  get moves() {
    return this.moving.length > 0;
  }

  /** @param {Partial<State>} change @param {boolean} [lasting] whether it can be undone by itself */
  change(change, lasting = true) {
    if (lasting) this.remember();
    this.show({ ...this.state, ...change });
  }

  /** Let undo come back to here. */
  remember() {
    this.history.remember(this.state);
  }

  /** @param {State} state */
  show(state) {
    this.state = state;
    this.history.tidy(state);
  }

  /** Take little memory while it is not shown. */
  pack() {
    for (const mask of masksOf(this.state)) mask.pack();
  }

  /** Bytes of all its masks. */
  get bytes() {
    return bytesOf(masksOf(this.state)) + this.history.bytes(this.state);
  }

  /** @param {Partial<Region>} change @param {boolean} [lasting] */
  changeRegion(change, lasting = true) {
    const { regions, active } = this.state;
    if (!regions[active]) return;
    this.change({ regions: regions.map((region, i) => (i === active ? { ...region, given: null, ...change } : region)) }, lasting);
  }

  /** A new region, which is then the active one. @param {Bitmap} mask */
  add(mask) {
    const { regions } = this.state;
    const count = regions.length;
    /** @type {Region} */
    const region = {
      id: 1 + Math.max(0, ...regions.map((one) => one.id)),
      name: freeName(regions),
      colour: COLOURS[count % COLOURS.length],
      mask,
      motion: STILL,
      anchor: null,
      label: null,
      cut: "snap",
      behind: null,
      given: null,
    };
    this.change({ regions: [...regions, region], active: count });
  }

  /** Give the active region another mask, or begin one; what it gets is taken from the others. @param {Bitmap} mask */
  paint(mask) {
    if (!this.region) {
      this.add(mask);
      return;
    }
    const { active } = this.state;
    const before = this.state.regions;
    const painted = before.map((region, i) => {
      if (i === active) return { ...region, mask, given: null };
      if (!region.mask.overlaps(mask)) return region;
      const rest = region.mask.copy();
      rest.add(mask, 0);
      return { ...region, mask: rest, given: null };
    });
    // What is behind a region that was painted is not as the file says it any more, either.
    const changed = new Set(painted.filter((region, i) => region !== before[i]).map(({ id }) => id));
    const regions = painted.map((one) => (typeof one.behind === "number" && changed.has(one.behind) ? { ...one, given: null } : one));
    this.change({ regions });
  }

  /** The active region once more, to be copied to another place. */
  copyAgain() {
    const { region } = this;
    if (!region) return;
    this.add(region.mask);
    this.changeRegion({ label: "copy", cut: region.cut }, false);
  }

  /** Let the two regions that are marked change places. */
  swap() {
    const [first, second] = this.marked;
    const [one, other] = [first?.mask.centroid, second?.mask.centroid];
    if (!one || !other || this.marked.length !== 2) return;
    const going = (/** @type {Point} */ from, /** @type {Point} */ to) => ({ ...STILL, dx: to.x - from.x, dy: to.y - from.y });
    /** @type {Map<Region, Motion>} */
    const motions = new Map([[first, going(one, other)], [second, going(other, one)]]);
    this.change({
      regions: this.state.regions.map((region) => {
        const motion = motions.get(region);
        return motion ? { ...region, motion, anchor: null, label: "relocation", given: null } : region;
      }),
    });
  }

  /** @param {number} index */
  remove(index) {
    const { id } = this.state.regions[index];
    const regions = this.state.regions
      .filter((_, i) => i !== index)
      .map((region) => (region.behind === id ? { ...region, behind: null, given: null } : region));
    this.change({ regions, active: Math.min(this.state.active, regions.length - 1) });
  }

  undo() {
    const before = this.history.back(this.state);
    if (before) this.show(before);
    return before !== undefined;
  }

  redo() {
    const after = this.history.forth(this.state);
    if (after) this.show(after);
    return after !== undefined;
  }

  /** The regions that an instruction is about, in its order. */
  get moving() {
    return this.marked.filter(acts);
  }

  /** What will happen, in words. */
  get words() {
    const { moving } = this;
    if (!this.state.regions.length) return "Mark what is to move.";
    if (!moving.length) return "Drag the region to where it is to go.";
    return moving.map((region) => `${region.name} ${deedInWords(region)}${this.orderInWords(region)}.`).join(" ");
  }

  /** @param {Region} region */
  orderInWords({ behind, label }) {
    if (label === "removal") return "";
    if (behind === true) return ", behind what is there";
    const front = this.state.regions.find((region) => region.id === behind);
    return front ? `, behind ${front.name}` : "";
  }

  /**
   * As an instruction file; regions that stay where they are are left out, unless all are wanted for their ghost.
   * @param {boolean} [all] @param {import("./host.js").Settled[] | null} [settled] of all that are marked, where it is known
   */
  async instruction(all = false, settled = null) {
    const regions = this.marked.map((region, i) => ({ region, known: settled?.[i] }));
    const operations = await Promise.all(
      regions
        .filter(({ region }) => all || acts(region))
        .map(async ({ region, known }) => {
          if (region.given && !all) return region.given;
          return { ...(await operationOf(region, known)), ...(all ? {} : await this.order(region)) };
        }),
    );
    const { area, areaMode, protect, prompt, editPrompt } = this.state;
    return {
      version: 2,
      operations,
      prompt,
      edit_prompt: editPrompt,
      ...(area ? { editable: { type: "png", png: await area.png(), invert: false }, editable_mode: areaMode } : {}),
      ...(protect?.bounds ? { protect: { type: "png", png: await protect.png(), invert: false } } : {}),
    };
  }

  /** What stays in front of a region, as an operation says it. @param {Region} region */
  async order({ behind, label }) {
    if (label === "removal") return {};
    const front = this.state.regions.find((region) => region.id === behind);
    if (front) return front.mask.bounds ? { behind: { type: "png", png: await front.mask.png(), invert: false } } : {};
    return typeof behind === "boolean" ? { behind } : {};
  }

  /** As plain data, for the storage of a browser. */
  async saved() {
    const regions = await Promise.all(
      this.state.regions.map(async (region) => ({ ...region, mask: await region.mask.png() })),
    );
    const [area, protect] = await Promise.all([this.state.area, this.state.protect].map(async (mask) => (await mask?.png()) ?? null));
    return { ...this.state, width: this.width, height: this.height, regions, area, protect };
  }

  /** @param {any} data of `saved` */
  static async restored(data) {
    const made = new Document(data.width, data.height);
    const mask = (/** @type {string} */ png) => Bitmap.fromPng(png, data.width, data.height);
    const regions = await Promise.all(
      identified(data.regions).map(async (region) => ({ ...region, mask: await mask(region.mask) })),
    );
    made.state = {
      regions,
      active: data.active,
      area: data.area ? await mask(data.area) : null,
      areaMode: data.areaMode ?? "replace",
      protect: data.protect ? await mask(data.protect) : null,
      prompt: data.prompt,
      editPrompt: data.editPrompt,
    };
    return made;
  }
}

/** With ids, which the storage of earlier versions lacks: there `behind` is a name. @param {any[]} regions @returns {any[]} */
function identified(regions) {
  if (regions.every((region) => region.id !== undefined)) return regions;
  return regions.map((region, i) => {
    const front = regions.findIndex((other) => other !== region && other.name === region.behind);
    const behind = typeof region.behind === "string" ? (front < 0 ? null : front + 1) : region.behind;
    return { ...region, id: i + 1, behind };
  });
}

/** Whether anything is done with a region. @param {Region} region */
export function acts({ motion, label }) {
  return label === "removal" || !isStill(motion);
}

/** @param {Region} region */
function deedInWords({ motion, label }) {
  if (label === "removal") return "is removed";
  return label === "copy" ? `stays, and a copy ${inWords(motion)}` : inWords(motion);
}

/** A name that no region has yet. @param {readonly Region[]} regions */
function freeName(regions) {
  const names = new Set(regions.map(({ name }) => name));
  let number = regions.length + 1;
  while (names.has(`Region ${number}`)) number++;
  return `Region ${number}`;
}

/** The point about which a region turns and grows. @param {Region} region @returns {Point} */
export function anchorOf(region) {
  return region.anchor ?? region.mask.centroid ?? { x: 0, y: 0 };
}

/** @param {Region} region */
export function regionMatrix(region) {
  return matrixOf(region.motion, anchorOf(region));
}

/** @param {Region} region @param {import("./host.js").Settled} [known] */
async function operationOf(region, known) {
  const handle = region.mask.centroid ?? { x: 0, y: 0 };
  if (region.label === "removal") {
    const mask = known ? known.operation : { region: { type: "png", png: await region.mask.png(), invert: false }, cut: region.cut };
    return { ...mask, motion: { type: "remove" }, behind: undefined };
  }
  // What only shows a ghost says some motion: a region's label and cut are guessed with it.
  const aside = handle.x + 2 < region.mask.width - 1 ? 2 : -2;
  const still = isStill(region.motion);
  const motion = still ? { type: "translate", to: [handle.x + aside, handle.y] } : asFile(region.motion, anchorOf(region), handle);
  if (known) {
    const { label } = known.operation.motion;
    return { ...known.operation, motion: { ...motion, label }, handle: [handle.x, handle.y], behind: undefined };
  }
  return {
    region: { type: "png", png: await region.mask.png(), invert: false },
    motion: { ...motion, ...(region.label ? { label: region.label } : {}) },
    handle: [handle.x, handle.y],
    cut: region.cut,
  };
}
