// The edits of the page, one at a time: run, followed, stopped; followed again after a reload.

import { FORGOTTEN, Run } from "./run.js";
import { answered, asked } from "./server.js";

/** @typedef {import("./results.js").Result} Result */
/** @typedef {import("./studio.js").Choices} Choices */
/** @typedef {Omit<Result, "after" | "seed" | "seconds" | "from">} Asked what results are shown with, and restored from */
/** @typedef {Asked & {id: string}} Going an edit that runs */

/** The preset that is not named, so that the server takes the one that serves the model best. */
export const BEST = "best";

export class Edits {
  /** @param {import("./studio.js").Studio} studio */
  constructor(studio) {
    this.studio = studio;
    /** @type {Run | null} from the moment that it is asked for, so that there is never a second one */
    this.run = null;
    /** @type {Going | null} the edit that runs, for a page that is opened again meanwhile */
    this.going = null;
  }

  /** Run an edit with what the widgets of the page say. @param {Choices} choices */
  begin(choices) {
    const { studio } = this;
    return this.alone(async (run) => {
      studio.canvas.resume();
      const instruction = await studio.canvas.instruction();
      if (!studio.upright) throw new Error("open a picture first");
      if (!instruction.operations.length) throw new Error("mark a region and drag it, then run");
      const origin = { ...(await this.origin(studio.upright)), choices };
      if (run.stopped) return studio.say("stopped", false);
      const edit = await run.submitted(this.fields(instruction, choices));
      this.going = { id: edit.id, ...origin };
      await studio.save();
      await this.followed(run, edit, origin);
    });
  }

  /** Follow an edit that was begun by an earlier visit, or by this page before it was closed. @param {Going} going */
  resume(going) {
    return this.alone(async (run) => {
      const answer = await asked(`v1/edits/${going.id}`);
      if (answer.status === 404) throw new Error(FORGOTTEN);
      this.going = going;
      await this.followed(run, await (await answered(answer)).json(), going);
    });
  }

  stop() {
    void this.run?.stop();
  }

  /** Of POST /v1/edits and /v1/estimates. @param {object} instruction @param {Partial<Choices>} choices */
  fields(instruction, choices) {
    const { overrides } = this.studio;
    const { prompt: _, editPrompt: __, preset, ...chosen } = choices;
    const others = preset === BEST ? chosen : { ...chosen, preset };
    const settings = overrides?.preset === preset ? { settings: overrides?.settings } : {};
    return { instruction: withPrompts(instruction, choices), ...others, ...settings };
  }

  /** What is to be known of the picture and its marks when a result is there. @param {Blob} before */
  async origin(before) {
    const { journey, canvas, source, overrides } = this.studio;
    const { picture, name, made } = /** @type {import("./journey.js").Chapter} */ (await journey.here());
    return { before, picture, name, made, source, overrides, words: canvas.document.words };
  }

  /** Let one run have the page, until it ends. @param {(run: Run) => Promise<void>} act */
  async alone(act) {
    const { studio } = this;
    if (this.run) return studio.say("an edit is running: stop it, or wait until it ends");
    const run = (this.run = new Run(studio.server));
    studio.say("");
    studio.canvas.progress({ text: "starting", share: 0 });
    await studio.attempt(() => act(run));
    this.run = null;
    studio.canvas.progress(null);
    studio.estimated();
  }

  /** Fill the strip of results. @param {Run} run @param {import("./run.js").Edit} edit @param {Asked} origin */
  async followed(run, edit, origin) {
    const { studio } = this;
    try {
      const why = await run.followed(edit, {
        progress: (progress, preview) => void this.progress(run, progress, preview),
        made: ({ picture, variant, seed, seconds }) => {
          studio.results.add({ ...origin, after: picture, seed, seconds, from: `${edit.id} ${variant}` });
          studio.keep();
        },
      });
      if (why) studio.say(why, why !== "stopped");
    } finally {
      this.going = null;
      studio.keep();
    }
  }

  /** @param {Run} run @param {import("./run.js").Progress} progress @param {Blob | null} preview */
  async progress(run, progress, preview) {
    const { canvas } = this.studio;
    const shown = preview ? await createImageBitmap(preview, sized(canvas.document)) : undefined;
    if (run === this.run) canvas.progress(progress, shown); // it may have ended meanwhile
  }
}

/** @template {object} I @param {I} instruction @param {Partial<Choices>} choices */
export function withPrompts(instruction, { prompt, editPrompt }) {
  return { ...instruction, prompt, edit_prompt: editPrompt };
}

/** @param {{width: number, height: number}} size @returns {ImageBitmapOptions} */
function sized({ width, height }) {
  return { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" };
}
