// What a person has made of a picture: regions with their motions and the editable area; undone, redone, kept.

import { Bitmap } from "./bitmap.js";
import { STILL, applied, asFile, inWords, isStill, matrixOf } from "./motion.js";

/** @typedef {import("./host.js").Point} Point */
/** @typedef {import("./motion.js").Motion} Motion */

/**
 * One region; each is one operation. Never changed: a change makes a new one.
 * @typedef {object} Region
 * @property {string} name
 * @property {[number, number, number]} colour
 * @property {Bitmap} mask
 * @property {Motion} motion
 * @property {Point | null} anchor null: the middle of the region
 * @property {"relocation" | "deformation" | null} label null: the program guesses
 * @property {"snap" | "soft" | "hard"} cut
 * @property {boolean | string | null} behind what stays in front of it where it goes: the name of another region, true for
 *   what the program finds there, false for nothing; null: the program guesses
 * @property {object | null} given the operation of a file that it shows, which is said as it was while nothing is changed
 */

/**
 * @typedef {object} State
 * @property {readonly Region[]} regions @property {number} active
 * @property {Bitmap | null} area @property {"replace" | "extend"} areaMode whether the area replaces what the program derives
 * @property {string} prompt @property {string} editPrompt
 */

/** @type {[number, number, number][]} */
const COLOURS = [[230, 60, 60], [40, 130, 230], [40, 170, 90], [200, 130, 20], [150, 80, 210], [20, 170, 180]];
const MOST_UNDONE = 60;

/** @type {State} */
const EMPTY = { regions: [], active: -1, area: null, areaMode: "replace", prompt: "", editPrompt: "" };

export class Document {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.state = EMPTY;
    /** @type {State[]} */
    this.past = [];
    /** @type {State[]} */
    this.future = [];
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
    this.state = { ...this.state, ...change };
  }

  /** Let undo come back to here. */
  remember() {
    this.past.push(this.state);
    if (this.past.length > MOST_UNDONE) this.past.shift();
    this.future = [];
  }

  /** @param {Partial<Region>} change @param {boolean} [lasting] */
  changeRegion(change, lasting = true) {
    const { regions, active } = this.state;
    if (!regions[active]) return;
    const { name: before } = regions[active];
    const changed = regions.map((region, i) => {
      if (i === active) return { ...region, given: null, ...change };
      return region.behind === before ? { ...region, given: null, behind: change.name ?? before } : region;
    });
    this.change({ regions: changed }, lasting);
  }

  /** A new region, which is then the active one. @param {Bitmap} mask */
  add(mask) {
    const count = this.state.regions.length;
    /** @type {Region} */
    const region = {
      name: `Region ${count + 1}`,
      colour: COLOURS[count % COLOURS.length],
      mask,
      motion: STILL,
      anchor: null,
      label: null,
      cut: "snap",
      behind: null,
      given: null,
    };
    this.change({ regions: [...this.state.regions, region], active: count });
  }

  /** Give the active region another mask, or begin one; what it gets is taken from the others. @param {Bitmap} mask */
  paint(mask) {
    if (!this.region) {
      this.add(mask);
      return;
    }
    const { active } = this.state;
    const regions = this.state.regions.map((region, i) => {
      if (i === active) return { ...region, mask, given: null };
      if (!overlaps(region.mask, mask)) return region;
      const rest = region.mask.copy();
      rest.add(mask, 0);
      return { ...region, mask: rest, given: null };
    });
    this.change({ regions });
  }

  /** @param {number} index */
  remove(index) {
    const { name } = this.state.regions[index];
    const regions = this.state.regions
      .filter((_, i) => i !== index)
      .map((region) => (region.behind === name ? { ...region, behind: null, given: null } : region));
    this.change({ regions, active: Math.min(this.state.active, regions.length - 1) });
  }

  undo() {
    const before = this.past.pop();
    if (before) {
      this.future.push(this.state);
      this.state = before;
    }
    return before !== undefined;
  }

  redo() {
    const after = this.future.pop();
    if (after) {
      this.past.push(this.state);
      this.state = after;
    }
    return after !== undefined;
  }

  /** The regions that an instruction is about, in its order. */
  get moving() {
    return this.marked.filter((region) => !isStill(region.motion));
  }

  /** What will happen, in words. */
  get words() {
    const { moving } = this;
    if (!this.state.regions.length) return "Mark what is to move.";
    if (!moving.length) return "Drag the region to where it is to go.";
    return moving.map((region) => `${region.name} ${inWords(region.motion)}${orderInWords(region)}.`).join(" ");
  }

  /**
   * As an instruction file; regions that stay where they are are left out, unless all are wanted for their ghost.
   * @param {boolean} [all] @param {import("./host.js").Settled[] | null} [settled] of all that are marked, where it is known
   */
  async instruction(all = false, settled = null) {
    const regions = this.marked.map((region, i) => ({ region, known: settled?.[i] }));
    const operations = await Promise.all(
      regions
        .filter(({ region }) => all || !isStill(region.motion))
        .map(async ({ region, known }) => {
          if (region.given && !all) return region.given;
          return { ...(await operationOf(region, known)), ...(all ? {} : await this.order(region)) };
        }),
    );
    const { area, areaMode, prompt, editPrompt } = this.state;
    return {
      version: 2,
      operations,
      prompt,
      edit_prompt: editPrompt,
      ...(area ? { editable: { type: "png", png: await area.png(), invert: false }, editable_mode: areaMode } : {}),
    };
  }

  /** What stays in front of a region, as an operation says it. @param {Region} region */
  async order({ behind }) {
    const front = this.state.regions.find((region) => region.name === behind);
    if (front) return front.mask.bounds ? { behind: { type: "png", png: await front.mask.png(), invert: false } } : {};
    return typeof behind === "boolean" ? { behind } : {};
  }

  /** As plain data, for the storage of a browser. */
  async saved() {
    const regions = await Promise.all(
      this.state.regions.map(async (region) => ({ ...region, mask: await region.mask.png() })),
    );
    return { ...this.state, width: this.width, height: this.height, regions, area: (await this.state.area?.png()) ?? null };
  }

  /** @param {any} data of `saved` @param {(png: string) => Promise<ImageBitmap>} open */
  static async restored(data, open) {
    const made = new Document(data.width, data.height);
    const mask = async (/** @type {string} */ png) => Bitmap.from(await open(png), data.width, data.height);
    const regions = await Promise.all(
      data.regions.map(async (/** @type {any} */ region) => ({ ...region, mask: await mask(region.mask) })),
    );
    made.state = {
      regions,
      active: data.active,
      area: data.area ? await mask(data.area) : null,
      areaMode: data.areaMode ?? "replace",
      prompt: data.prompt,
      editPrompt: data.editPrompt,
    };
    return made;
  }
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

/** @param {Region} region */
function orderInWords({ behind }) {
  if (behind === true) return ", behind what is there";
  return typeof behind === "string" ? `, behind ${behind}` : "";
}

/** Where the middle of a region goes. @param {Region} region */
export function targetOf(region) {
  return applied(regionMatrix(region), region.mask.centroid ?? { x: 0, y: 0 });
}

/** @param {Bitmap} a @param {Bitmap} b */
function overlaps(a, b) {
  for (let i = 0; i < a.data.length; i++) if (a.data[i] && b.data[i]) return true;
  return false;
}
