// The page around the canvas: pictures in, runs, results, what is taken away. Started by the component of the toolkit.

import { mount } from "../canvas/canvas.js";
import { Document } from "../canvas/document.js";
import { Estimate } from "./estimate.js";
import { Results, download } from "./results.js";
import { FORGOTTEN, Run } from "./run.js";
import { Server, answered, asked, fromBase64 } from "./server.js";
import { restore, save } from "./store.js";

/** @typedef {import("./results.js").Result} Result */
/** @typedef {{model: string, preset: string, seed: number, variants: number, prompt: string, editPrompt: string}} Choices */
/** @typedef {{id: string, before: Blob, words: string}} Going an edit that runs, and what its results are shown with */

const KEEP_AFTER = 800;

export class Studio {
  /** @param {HTMLElement} element holds .canvas, .results, .said, .examples and input[type=file] */
  constructor(element) {
    this.element = element;
    this.server = new Server();
    this.estimate = new Estimate(this.server);
    /** @type {Partial<Choices>} what is absent the server chooses as the widgets do at first */
    this.choices = {};
    this.name = "picture";
    /** @type {Run | null} */
    this.run = null;
    /** @type {Blob | null} the picture that is worked on, as it was given */
    this.shown = null;
    /** @type {Blob | null} the same as the canvas shows it, to be compared with */
    this.upright = null;
    /** @type {Going | null} the edit that runs, for a page that is opened again meanwhile */
    this.going = null;
    this.saving = 0;
    this.canvas = mount(part(element, ".canvas"), {
      select: (point) => this.select(point),
      layers: (instruction) => this.server.layers(instruction),
      preview: (instruction) => this.server.preview(instruction),
      changed: () => (this.keep(), this.estimated()),
      said: (sentence) => this.say(sentence),
    });
    this.results = new Results(part(element, ".results"), {
      compare: (result) => void this.compare(result),
      onward: (result) => void this.openPicture(result.after, this.name),
    });
    this.file = /** @type {HTMLInputElement} */ (part(element, "input[type=file]"));
    this.file.addEventListener("change", () => this.file.files?.[0] && void this.openPicture(this.file.files[0], this.file.files[0].name));
    element.addEventListener("dragover", (event) => event.preventDefault());
    element.addEventListener("drop", (event) => this.dropped(event));
    for (const example of element.querySelectorAll("[data-example]")) {
      example.addEventListener("click", () => void this.example(/** @type {HTMLElement} */ (example)));
    }
    element.classList.add("ready");
    void this.restored();
  }

  /** @param {string} sentence @param {boolean} [wrong] */
  say(sentence, wrong = true) {
    const place = part(this.element, ".said");
    place.textContent = sentence;
    place.classList.toggle("wrong", wrong && sentence !== "");
  }

  choosePicture() {
    this.file.value = "";
    this.file.click();
  }

  /** @param {DragEvent} event */
  dropped(event) {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) void this.openPicture(file, file.name);
  }

  /** @param {HTMLElement} button */
  async example(button) {
    await this.attempt(async () => {
      const answer = await answered(await asked(/** @type {string} */ (button.dataset.example)));
      await this.openPicture(await answer.blob(), button.textContent ?? "example");
    });
  }

  /** The thing at a point. @param {{x: number, y: number}} point */
  async select({ x, y }) {
    const { width, height } = this.canvas.document;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) throw new Error("click on a thing in the picture");
    return this.server.select({ x, y });
  }

  /** Begin with a picture. @param {Blob} picture @param {string} name @param {Document} [made] */
  async openPicture(picture, name, made) {
    await this.attempt(async () => {
      const { image, upright, picture: kept } = await this.server.open(picture);
      this.name = name.replace(/\.[^.]*$/, "") || "picture";
      this.shown = kept;
      this.upright = upright;
      this.canvas.load(image, made);
      this.element.classList.add("open");
      this.say("");
    });
  }

  /** Run an edit with what the widgets of the page say. @param {Choices} choices */
  async edit(choices) {
    if (this.run) return this.say("an edit is running: stop it, or wait for its end");
    await this.attempt(async () => {
      this.canvas.compare(null, null);
      const instruction = await this.canvas.instruction();
      if (!this.upright) throw new Error("open a picture first");
      if (!instruction.operations.length) throw new Error("mark a region and drag it, then run");
      await this.followed(instruction, choices, this.upright);
    });
    this.run = null;
    this.canvas.progress(null);
    this.estimated();
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
      return fieldsOf(instruction, this.choices);
    });
  }

  /** @param {object} instruction @param {Choices} choices @param {Blob} before */
  async followed(instruction, choices, before) {
    const words = this.canvas.document.words;
    const run = this.begun({ before, words });
    const edit = await run.submitted(fieldsOf(instruction, choices));
    this.going = { id: edit.id, before, words };
    await this.save();
    await this.ended(run, edit);
  }

  /** Follow an edit that was begun by an earlier visit, or by this page before it was closed. @param {Going} going */
  async resumed(going) {
    await this.attempt(async () => {
      const answer = await asked(`v1/edits/${going.id}`);
      if (answer.status === 404) throw new Error(FORGOTTEN);
      this.going = going;
      await this.ended(this.begun(going), await (await answered(answer)).json());
    });
    this.run = null;
    this.canvas.progress(null);
  }

  /** A run that fills the strip of results. @param {{before: Blob, words: string}} what */
  begun({ before, words }) {
    this.say("");
    this.canvas.progress({ text: "begins", share: 0 });
    const run = new Run(this.server, {
      progress: (progress, preview) => void this.progress(progress, preview),
      made: ({ picture, variant, seed, seconds }) => {
        this.results.add({ before, after: picture, words, seed, seconds, from: `${run.id} ${variant}` });
        this.keep();
      },
    });
    this.run = run;
    return run;
  }

  /** @param {Run} run @param {import("./run.js").Edit} edit */
  async ended(run, edit) {
    try {
      const why = await run.followed(edit);
      if (why) this.say(why, why !== "stopped");
    } finally {
      this.going = null;
      this.keep();
    }
  }

  /** @param {import("./run.js").Progress} progress @param {Blob | null} preview */
  async progress(progress, preview) {
    const shown = preview ? await createImageBitmap(preview, sized(this.canvas.document)) : undefined;
    if (this.run) this.canvas.progress(progress, shown); // it may have ended meanwhile
  }

  stop() {
    void this.run?.stop();
  }

  /** @param {Result} result @param {import("../canvas/judge.js").Way} [way] */
  async compare(result, way) {
    const [before, after] = await Promise.all([opened(result.before), opened(result.after)]);
    this.canvas.compare(before, after, way ?? this.way);
  }

  /** @type {import("../canvas/judge.js").Way} */
  way = "slider";

  /** @param {import("../canvas/judge.js").Way} way */
  judge(way) {
    this.way = way;
    if (this.results.current) void this.compare(this.results.current, way);
  }

  /** Go on from the chosen result. */
  onward() {
    const result = this.results.current;
    if (result) void this.openPicture(result.after, this.name);
    else this.say("there is no result yet to go on from: run an edit");
  }

  /** Save the chosen result, or what is marked. @param {"result" | "instruction" | "mask"} what */
  async take(what) {
    await this.attempt(async () => {
      if (what === "result") {
        if (!this.results.current) throw new Error("there is no result yet to save: run an edit");
        download(this.results.current.after, `${this.name}-edited.png`);
      } else if (what === "instruction") {
        const instruction = await this.canvas.instruction();
        if (!instruction.operations.length) throw new Error("nothing is dragged yet that could be saved");
        download(new Blob([JSON.stringify(instruction, null, 2)], { type: "application/json" }), `${this.name}.json`);
      } else {
        const region = this.canvas.document.region;
        if (!region) throw new Error("nothing is marked yet that could be saved");
        const bytes = Uint8Array.from(atob(await region.mask.png()), (letter) => letter.charCodeAt(0));
        download(new Blob([bytes], { type: "image/png" }), `${this.name}-mask.png`);
      }
    });
  }

  /** What the drag may mean, to choose from. @param {string} prompt */
  async suggest(prompt) {
    await this.attempt(async () => {
      const instruction = await this.canvas.document.instruction();
      if (!instruction.operations.length) throw new Error("mark a region and drag it first");
      Object.assign(instruction, { prompt });
      const said = await (await this.server.post("v1/intents", { instruction })).json();
      const list = part(this.element, ".guesses");
      list.replaceChildren(...said.candidates.map((/** @type {any} */ guess) => this.guess(guess, said.background_prompt)));
    });
  }

  /** @param {any} guess @param {string} background */
  guess(guess, background) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${guess.label}: ${guess.prompt || background || "as it is"}`;
    button.addEventListener("click", () => {
      this.element.dispatchEvent(new CustomEvent("meant", { detail: { prompt: background, editPrompt: guess.prompt } }));
      const anchor = guess.anchor && { x: guess.anchor[0], y: guess.anchor[1] };
      if (anchor) this.canvas.move({ anchor });
    });
    return button;
  }

  /** Keep the work for a reload, a little after the last change. */
  keep() {
    clearTimeout(this.saving);
    this.saving = window.setTimeout(() => void this.save(), KEEP_AFTER);
  }

  async save() {
    if (!this.shown) return;
    const made = await this.canvas.document.saved();
    const work = { picture: this.shown, name: this.name, made, results: this.results.all, going: this.going };
    await save(work).catch(() => undefined);
  }

  async restored() {
    const work = await restore().catch(() => null);
    if (!work?.picture || this.shown) return;
    await this.openPicture(work.picture, work.name, await Document.restored(work.made, fromBase64));
    this.results.all = work.results ?? [];
    this.results.show();
    if (work.going) await this.resumed(work.going);
  }

  /** @param {() => Promise<void>} act */
  async attempt(act) {
    try {
      await act();
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
    }
  }
}

/** Of POST /v1/edits and /v1/estimates. @param {object} instruction @param {Partial<Choices>} choices */
function fieldsOf(instruction, { prompt, editPrompt, ...others }) {
  return { instruction: { ...instruction, prompt, edit_prompt: editPrompt }, ...others };
}

/** @param {HTMLElement} element @param {string} selector @returns {HTMLElement} */
function part(element, selector) {
  const found = element.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return found;
}

/** @param {Blob} picture */
function opened(picture) {
  return createImageBitmap(picture, { colorSpaceConversion: "none" });
}

/** @param {{width: number, height: number}} size @returns {ImageBitmapOptions} */
function sized({ width, height }) {
  return { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" };
}
