// The page around the canvas: pictures in, runs, results, exports. Started by the component of the toolkit.

import { mount } from "../canvas/canvas.js";
import { Document } from "../canvas/document.js";
import { BEST, Edits, withPrompts } from "./edits.js";
import { Estimate } from "./estimate.js";
import { suggest } from "./guesses.js";
import { Journey } from "./journey.js";
import { Judge } from "./judge.js";
import { Models } from "./models.js";
import { Projects } from "./project.js";
import { Recipes } from "./recipe.js";
import { Results } from "./results.js";
import { Server, answered, asked } from "./server.js";
import { restore, save } from "./store.js";
import { take } from "./take.js";

/** @typedef {{model: string, preset: string, seed: number, variants: number, prompt: string, editPrompt: string}} Choices */
/**
 * What a recipe changes in its preset, as long as that is chosen.
 * @typedef {{preset: string, settings: string[], alike: string | null}} Overrides
 */

const KEEP_AFTER = 800;

export class Studio {
  /** @param {HTMLElement} element holds .canvas, .results, .said, .examples and input[type=file] */
  constructor(element) {
    this.element = element;
    this.server = new Server();
    this.about = this.server.offers();
    this.estimate = new Estimate(this.server);
    this.models = new Models(this);
    /** @type {Partial<Choices>} what is absent the server chooses as the widgets do at first */
    this.choices = {};
    this.name = "picture";
    /** @type {Blob | null} the picture that is worked on, as it was given */
    this.shown = null;
    /** @type {Blob | null} the same as the canvas shows it, for comparisons */
    this.upright = null;
    /** @type {string | null} digest of its pixels */
    this.source = null;
    /** @type {Overrides | null} */
    this.overrides = null;
    this.saving = 0;
    this.journey = new Journey(this);
    this.edits = new Edits(this);
    this.judge = new Judge(this);
    this.canvas = mount(part(element, ".canvas"), {
      select: (point) => this.select(point),
      layers: (instruction) => this.server.layers(instruction),
      preview: (instruction) => this.server.preview(instruction),
      changed: () => (this.keep(), this.estimated()),
      said: (sentence) => this.say(sentence),
      beyond: this.journey,
      picked: (index) => this.judge.picked(index),
    });
    this.results = new Results(part(element, ".results"), {
      compare: (result, way) => void this.judge.compare(result, way),
      onward: (result) => void this.judge.onward(result),
    });
    this.recipes = new Recipes(part(element, ".recipe"), this);
    this.projects = new Projects(this);
    this.file = /** @type {HTMLInputElement} */ (part(element, "input[type=file]"));
    this.file.addEventListener("change", () => this.file.files?.[0] && void this.given(this.file.files[0]));
    element.addEventListener("dragover", (event) => event.preventDefault());
    element.addEventListener("drop", (event) => this.dropped(event));
    for (const example of element.querySelectorAll("[data-example]")) {
      example.addEventListener("click", () => void this.example(/** @type {HTMLElement} */ (example)));
    }
    element.classList.add("ready");
    void this.restored();
    void this.explain();
  }

  /** @param {string} sentence @param {boolean} [wrong] */
  say(sentence, wrong = true) {
    const place = part(this.element, ".said");
    place.textContent = sentence;
    place.classList.toggle("wrong", wrong && sentence !== "");
  }

  /** Let the person choose a picture, or a project. @param {string} kinds as an input of files takes them */
  chooseFile(kinds) {
    this.file.value = "";
    this.file.accept = kinds;
    this.file.click();
  }

  /** @param {DragEvent} event */
  dropped(event) {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) void this.given(file);
  }

  /** @param {HTMLElement} button */
  async example(button) {
    await this.attempt(async () => {
      const answer = await answered(await asked(/** @type {string} */ (button.dataset.example)));
      await this.openPicture(await answer.blob(), button.textContent ?? "example");
    });
  }

  /** The object at a point. @param {{x: number, y: number}} point */
  async select({ x, y }) {
    const { width, height } = this.canvas.document;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) throw new Error("click inside the picture");
    return this.server.select({ x, y });
  }

  /** A file of the person: a project, a picture, or a result of which the recipe is asked for. @param {File} file */
  async given(file) {
    await this.attempt(async () => {
      if (this.projects.takes(file)) return this.projects.open(file);
      if (!(await this.recipes.takes(file))) await this.begin(file, file.name);
    });
  }

  /** Open a picture. @param {Blob} picture @param {string} name @param {Document} [made] @returns {Promise<boolean>} whether it was possible */
  async openPicture(picture, name, made) {
    return this.attempt(() => this.begin(picture, name, made));
  }

  /** The same, failing if it fails. @param {Blob} picture @param {string} name @param {Document} [made] */
  async begin(picture, name, made) {
    const here = await this.journey.here();
    const { image, upright, sha256, picture: kept } = await this.server.open(picture);
    this.journey.leave(here);
    this.name = name.replace(/\.[^.]*$/, "") || "picture";
    this.shown = kept;
    this.source = sha256;
    this.upright = upright;
    this.override(null);
    this.recipes.clear();
    this.canvas.load(image, made);
    this.element.classList.add("open");
    this.say("");
  }

  /** The canvas shows what a recipe tells: let the widgets and the next run do so, too. @param {import("./recipe.js").Recipe} recipe */
  restoredFrom({ served, preset, settings, alike, seed, instruction }) {
    this.override({ preset, settings, alike });
    const { prompt, edit_prompt: editPrompt } = instruction;
    this.told({ prompt, editPrompt, preset, seed, variants: 1, ...(served ? { model: served } : {}) });
    this.say("the edit is restored: run it again, or change it", false);
  }

  /** @param {Overrides | null} overrides */
  override(overrides) {
    this.overrides = overrides;
    this.element.dispatchEvent(new CustomEvent("configured"));
  }

  /** What the widget of variants is to be: one, and why, where several would be the same picture. @param {Partial<Choices>} choices */
  async variants({ model, preset }) {
    const why = this.overrides?.preset === preset ? this.overrides?.alike : await this.whyAlike(model, preset);
    if (!why) return { interactive: true, info: "" };
    return { interactive: false, info: `${why[0].toUpperCase()}${why.slice(1)}.`, value: 1 };
  }

  /** @param {string | undefined} model @param {string | undefined} preset @returns {Promise<string | null>} null too if it is not known */
  async whyAlike(model, preset) {
    const about = await this.about;
    const named = (/** @type {any[]} */ all, /** @type {string | undefined} */ name) => all.find((one) => one.name === name);
    return about && named(about.presets, preset === BEST ? named(about.models, model)?.preset : preset)?.alike;
  }

  /** Let the widgets of the page show something. @param {Partial<Choices>} choices */
  told(choices) {
    this.element.dispatchEvent(new CustomEvent("meant", { detail: choices }));
  }

  /** What the widgets of the page say now. @param {Choices} choices */
  choose(choices) {
    this.choices = choices;
    this.estimated();
  }

  /** Say what a run would take, when the hand rests. */
  estimated() {
    this.estimate.later(async () => {
      const instruction = await this.canvas.instruction();
      if (!this.upright || !instruction.operations.length) return null;
      return this.edits.fields(instruction, this.choices);
    });
  }

  /** What is asked for, with the prompts of the widgets. @param {boolean} [painted] with the regions as they were painted */
  async instruction(painted = false) {
    const made = painted ? this.canvas.document.instruction() : this.canvas.instruction();
    return withPrompts(await made, this.choices);
  }

  /** Save something. @param {import("./take.js").What} what @param {import("./take.js").Sample} [sample] */
  async take(what, sample) {
    await this.attempt(async () => this.say(await take(this, what, sample), false));
  }

  /** Save the picture, its marks and its results as a project. */
  async saveProject() {
    await this.attempt(() => this.projects.save());
  }

  /** What the drag may mean, to choose from. @param {string} prompt */
  async suggest(prompt) {
    await this.attempt(() => suggest(this, part(this.element, ".guesses"), prompt));
  }

  /** Keep the work for a reload, a little after the last change. */
  keep() {
    clearTimeout(this.saving);
    this.saving = window.setTimeout(() => void this.save(), KEEP_AFTER);
  }

  async save() {
    if (!this.shown) return;
    const made = await this.canvas.document.saved();
    const past = this.journey.saved();
    const work = { picture: this.shown, name: this.name, made, past, results: this.results.all, going: this.edits.going };
    await save(work).catch(() => undefined);
  }

  /** Say what the server offers: in the tool's tooltip what finds the object under a click, and how many variants. */
  async explain() {
    const about = await this.about;
    if (about) this.canvas.panel.explain("select", `found by ${about.selects_by}`);
    this.override(this.overrides);
  }

  async restored() {
    const work = await restore().catch(() => null);
    if (!work?.picture || this.shown) return;
    this.journey.past = work.past ?? [];
    await this.openPicture(work.picture, work.name, await Document.restored(work.made));
    this.results.all = (work.results ?? []).map(ofToday);
    this.results.show();
    if (work.going) await this.edits.resume(ofToday(work.going));
  }

  /** @param {() => Promise<void>} act @returns {Promise<boolean>} whether it was done */
  async attempt(act) {
    try {
      await act();
      return true;
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
      return false;
    }
  }
}

/** A result or an edit of the storage; earlier versions called its overrides otherwise. @param {any} stored */
function ofToday({ settled, ...others }) {
  return { overrides: settled ?? null, ...others };
}

/** @param {HTMLElement} element @param {string} selector @returns {HTMLElement} */
function part(element, selector) {
  const found = element.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return found;
}
