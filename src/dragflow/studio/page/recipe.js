// A result that is dropped on the page: what its recipe asks for is said, and restored once its source is there.

import { Bitmap } from "../canvas/bitmap.js";
import { Document } from "../canvas/document.js";
import { History } from "../canvas/history.js";
import { motionOf } from "../canvas/motion.js";

/** @typedef {{sha256: string, width: number, height: number}} Source */
/**
 * What the server tells of an instruction and the picture that it is for.
 * @typedef {object} Marks
 * @property {any} instruction @property {{mask: string, matrix: import("../canvas/host.js").Matrix, front: string | null}[]} regions
 * @property {string | null} area @property {string | null} protect @property {Source} source
 */
/**
 * What the server tells of a recipe, with the marks in it.
 * @typedef {object} Told
 * @property {{name: string, revision: string | null, dtype: string | null, quantize: string | null, lora: string[], subject: string | null}} model
 * @property {string | null} served the name of the model that the server offers for it
 * @property {string} preset @property {string[]} settings @property {string | null} alike @property {number} seed
 */
/** @typedef {Told & Marks} Recipe */
/** @typedef {[text: string, act: () => Promise<void>]} Choice */

const KEYWORD = "dragflow";
const HEAD = 8;
/** Bytes before the pixels that are looked at. */
const READ = 2 ** 22;

export class Recipes {
  /** @param {HTMLElement} element @param {import("./studio.js").Studio} studio */
  constructor(element, studio) {
    this.element = element;
    this.studio = studio;
    /** @type {Recipe | null} of which the source is waited for */
    this.waiting = null;
  }

  /** Take a file if it is a result, or given for the one that waits. @param {File} file */
  async takes(file) {
    const { server } = this.studio;
    if (this.waiting) {
      const about = await server.about(file);
      if (about.sha256 === this.waiting.source.sha256) {
        await this.restore(this.waiting, file, file.name);
        return true;
      }
      if (!(await isResult(file))) {
        this.another(this.waiting, file, about);
        return true;
      }
    }
    if (!(await isResult(file))) return false;
    this.waiting = null;
    await this.read(file);
    return true;
  }

  /** Say what a result asks for. @param {File} file */
  async read(file) {
    /** @type {Choice} */
    const open = ["Open it as a picture", () => this.studio.begin(file, file.name)];
    try {
      this.waiting = await this.studio.server.recipe(file);
    } catch (error) {
      this.show(error instanceof Error ? error.message : String(error), [open]);
      return;
    }
    const recipe = this.waiting;
    const { shown, source, name } = this.studio;
    const here = shown && source === recipe.source.sha256;
    /** @type {Choice[]} */
    const choices = here ? [["Restore it on the open picture", () => this.restore(recipe, shown, name)]] : [];
    this.show(words(recipe), [...choices, open, ["Dismiss", async () => this.clear()]]);
  }

  /** Say that another picture was given. @param {Recipe} recipe @param {File} file @param {Source} about */
  another(recipe, file, about) {
    const { width, height } = recipe.source;
    const fits = about.width === width && about.height === height;
    const why = fits
      ? `${file.name} is not the picture that the result was made from: its pixels differ, so the result will too.`
      : `${file.name} is ${about.width} x ${about.height}, but the result was made from a picture of ${width} x ${height}: drop that one.`;
    /** @type {Choice[]} */
    const choices = fits ? [["Use it anyway", () => this.restore(recipe, file, file.name)]] : [];
    this.show(why, [...choices, ["Open it as a picture", () => this.studio.begin(file, file.name)], ["Dismiss", async () => this.clear()]]);
  }

  /** @param {Recipe} recipe @param {Blob} picture @param {string} name */
  async restore(recipe, picture, name) {
    const made = await documentOf(recipe);
    await this.studio.begin(picture, name, made);
    this.studio.restoredFrom(recipe);
  }

  clear() {
    this.waiting = null;
    this.element.replaceChildren();
  }

  /** @param {string} text @param {Choice[]} choices */
  show(text, choices) {
    const sentence = document.createElement("p");
    sentence.textContent = text;
    const buttons = choices.map(([name, act]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => void this.studio.attempt(act));
      return button;
    });
    this.element.replaceChildren(sentence, ...buttons);
  }
}

/** Whether a file is a PNG with a recipe: its texts come before its pixels. @param {Blob} file */
export async function isResult(file) {
  const view = new DataView(await file.slice(0, READ).arrayBuffer());
  const text = (/** @type {number} */ at, /** @type {number} */ length) =>
    String.fromCharCode(...new Uint8Array(view.buffer, at, Math.max(0, Math.min(length, view.byteLength - at))));
  if (view.byteLength < HEAD || text(1, 3) !== "PNG") return false;
  for (let at = HEAD; at + HEAD <= view.byteLength && text(at + 4, 4) !== "IDAT"; at += view.getUint32(at) + 12) {
    if (text(at + 4, 4) === "iTXt" && text(at + HEAD, KEYWORD.length + 1) === `${KEYWORD}\0`) return true;
  }
  return false;
}

/** @param {Recipe} recipe */
export function words({ model, served, preset, settings, seed, source }) {
  const parts = [
    model.revision ? `of revision ${model.revision.slice(0, 12)}` : "",
    model.quantize ? `quantised as ${model.quantize}` : "",
    model.lora.length ? `with ${model.lora.join(", ")}` : "",
    model.subject ? `with the subject adapter ${model.subject}` : "",
  ];
  const which = [model.name, ...parts.filter(Boolean)].join(" ");
  const changed = settings.length ? ` (${settings.length} ${settings.length > 1 ? "settings" : "setting"} changed)` : "";
  const offered = served ? "" : " This server does not offer that model: the one chosen here will be used.";
  return (
    `This picture was made by dragflow. It asks for the model ${which}, the preset ${preset}${changed} and the seed ${seed}.${offered} ` +
    `Drop the picture that it was made from (${source.width} x ${source.height}) to restore the edit.`
  );
}

/** What the canvas shows of a recipe. @param {Marks} recipe */
export async function documentOf({ instruction, regions, area, protect, source }) {
  const { width, height } = source;
  const made = new Document(width, height);
  const mask = (/** @type {string} */ png) => Bitmap.fromPng(png, width, height);
  for (const { mask: png } of regions) made.add(await mask(png));
  const changed = regions.map(({ matrix }, i) => {
    const region = made.state.regions[i];
    const given = instruction.operations[i];
    const about = given.motion.about ?? null;
    const anchor = about && { x: about[0], y: about[1] };
    const motion = motionOf(matrix, anchor ?? region.mask.centroid ?? { x: 0, y: 0 });
    if (!motion) throw new Error(`${region.name} is sheared or mirrored, which the canvas cannot show: repeat it with dragflow edit --from`);
    const behind = typeof given.behind === "boolean" ? given.behind : null;
    return { ...region, motion, anchor, label: given.motion.type === "remove" ? "removal" : (given.motion.label ?? null), cut: given.cut ?? "snap", behind, given };
  });
  for (const [i, { front }] of regions.entries()) {
    if (!front) continue;
    made.add(await mask(front));
    const still = { ...made.state.regions[made.state.regions.length - 1], name: `Front ${i + 1}` };
    changed[i] = { ...changed[i], behind: still.id };
    changed.push(still);
  }
  const painted = { area: area ? await mask(area) : null, protect: protect ? await mask(protect) : null };
  made.history = new History();
  made.show({ ...made.state, regions: changed, active: 0, ...painted, areaMode: instruction.editable_mode ?? "replace" });
  return made;
}
