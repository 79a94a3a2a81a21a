// A project: the picture that is open, what it came from, every result on the way and what is marked, in one file.

import { Document } from "../canvas/document.js";
import { fromBase64, toBase64 } from "../canvas/png.js";
import { withPrompts } from "./edits.js";
import { documentOf } from "./recipe.js";
import { download } from "./results.js";

/** @typedef {import("./results.js").Result} Result */
/** @typedef {import("./recipe.js").Told} MadeWith */
/**
 * What the server tells of a project's edit.
 * @typedef {import("./recipe.js").Marks & {parent: number, names: string[], seconds: number | null, result: string | null, made_with: MadeWith | null}} Edit
 */
/** @typedef {{name: string, picture: string, upright: string, edits: Edit[]}} Contents */

const ENDING = ".dragflow";

export class Projects {
  /** @param {import("./studio.js").Studio} studio */
  constructor(studio) {
    this.studio = studio;
  }

  /** Whether a file is one. @param {File} file */
  takes(file) {
    return file.name.toLowerCase().endsWith(ENDING);
  }

  /** Save the open picture with all that it came from and all that was made of that. */
  async save() {
    const { studio } = this;
    const { shown, source, name, results } = studio;
    if (!shown) throw new Error("open a picture first");
    studio.say("preparing the file", false);
    const first = beginning(results.all, shown, source);
    const own = results.all.filter((one) => beginning(results.all, one.picture, one.source).source === first.source);
    const edits = await Promise.all(own.map(asSent));
    const marked = await this.marked(own, edits);
    const kind = /^image\/([a-z0-9]{1,5})$/.exec(first.picture.type)?.[1];
    const picture = await toBase64(first.picture);
    const file = await studio.server.project({ name: kind ? `${name}.${kind}` : name, picture, edits: [...edits, ...marked] });
    download(file, `${name}${ENDING}`);
    const others = results.all.length - own.length;
    studio.say(`${name}${ENDING} is saved${others ? `, without ${counted(others)} of other pictures` : ""}`, false);
  }

  /** What is marked and not run yet. @param {Result[]} own @param {{instruction?: object}[]} edits */
  async marked(own, edits) {
    const { studio } = this;
    const instruction = await studio.instruction(true);
    const text = JSON.stringify(instruction);
    const parent = own.findIndex((one) => one.after === studio.shown) + 1;
    const run = own.some((one, i) => one.picture === studio.shown && JSON.stringify(edits[i].instruction) === text);
    if (!instruction.operations.length || run) return [];
    return [{ instruction, parent, names: namesOf(studio.canvas.document) }];
  }

  /** Open one; first said where results would go. @param {File} file */
  async open(file) {
    const { studio } = this;
    if (studio.edits.run) throw new Error("an edit is running: stop it, or wait until it ends");
    studio.say("reading the project", false);
    const told = await studio.server.contents(file);
    const count = studio.results.all.length;
    studio.say("");
    if (!count) return this.show(told);
    const text = `${file.name} replaces ${counted(count)} on this page: save a project first to keep them.`;
    studio.recipes.show(text, [["Open the project", () => this.show(told)], ["Dismiss", async () => studio.recipes.clear()]]);
  }

  /** @param {Contents} told */
  async show(told) {
    const { studio } = this;
    const name = told.name.replace(/\.[^.]*$/, "") || "picture";
    const before = fromBase64(told.upright);
    /** @type {(Blob | null)[]} by the number of the edit that made it */
    const files = [fromBase64(told.picture), ...told.edits.map(({ result }) => (result === null ? null : fromBase64(result)))];
    const documents = await Promise.all(told.edits.map(marksOf));
    /** @type {Result[]} */
    const all = [];
    for (const [i, edit] of told.edits.entries()) {
      const after = files[i + 1];
      const picture = /** @type {Blob} */ (files[edit.parent]);
      if (after) all.push({ ...asResult(told.edits, i), name, picture, after, before: edit.parent ? picture : before, made: await documents[i].saved(), words: documents[i].words });
    }
    const last = told.edits.length - 1;
    const edit = told.edits[last];
    await studio.begin(/** @type {Blob} */ (files[edit?.parent ?? 0]), name, documents[last]);
    if (edit?.made_with) studio.restoredFrom({ ...edit, ...edit.made_with });
    else if (edit) studio.told({ prompt: edit.instruction.prompt, editPrompt: edit.instruction.edit_prompt });
    studio.results.all = all;
    if (edit?.made_with) studio.results.choose(all.length - 1);
    else studio.results.none();
    studio.say(`${name}${ENDING} is open: ${counted(all.length)}`, false);
    studio.keep();
  }
}

/** The picture that another came from, by results that were continued from. @param {Result[]} all @param {Blob} picture @param {string | null} source its digest @returns {{picture: Blob, source: string | null}} */
function beginning(all, picture, source) {
  const made = all.find((one) => one.after === picture);
  return made ? beginning(all, made.picture, made.source) : { picture, source };
}

/** As the server takes it. @param {Result} result */
async function asSent({ after, made, choices, seconds }) {
  const document = await Document.restored(made);
  const instruction = withPrompts(await document.instruction(), choices);
  // A recipe that the canvas could not show has no marks here; it says by itself what was asked for.
  const asked = instruction.operations.length ? { instruction, names: namesOf(document) } : {};
  return { result: await toBase64(after), seconds, ...asked };
}

/** @param {Document} document */
function namesOf(document) {
  return document.moving.map((region) => region.name);
}

/** The document of an edit; an empty one where the canvas cannot show it. @param {Edit} edit */
async function marksOf(edit) {
  try {
    const made = await documentOf(edit);
    made.show({ ...made.state, regions: made.state.regions.map((region, i) => ({ ...region, name: edit.names[i] || region.name })) });
    return made;
  } catch {
    return new Document(edit.source.width, edit.source.height);
  }
}

/** What a result of the strip says, beside its pictures and marks. @param {Edit[]} edits @param {number} index */
function asResult(edits, index) {
  const edit = edits[index];
  const { served, preset, settings, alike, seed } = /** @type {MadeWith} */ (edit.made_with);
  const { prompt, edit_prompt: editPrompt } = edit.instruction;
  const variants = edits.findIndex((other) => other.made_with && sort(other) === sort(edit));
  return {
    choices: { prompt, editPrompt, preset, seed, variants: 1, ...(served ? { model: served } : {}) },
    overrides: { preset, settings, alike },
    seed,
    seconds: edit.seconds ?? 0,
    source: edit.source.sha256,
    from: `project-${variants} ${index}`,
  };
}

/** What variants of one edit have in common: all but the seed. @param {Edit} edit */
function sort({ parent, instruction, made_with: made }) {
  return JSON.stringify([parent, instruction, { ...made, seed: 0 }]);
}

/** @param {number} count */
function counted(count) {
  return `${count} ${count === 1 ? "result" : "results"}`;
}
