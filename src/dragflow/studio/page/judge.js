// What is done with results: compared, alone or side by side; continued from; restored to what they were made with.

import { opened } from "../canvas/png.js";

/** @typedef {import("./results.js").Result} Result */
/** @typedef {import("../canvas/judge.js").Way} Way */

export class Judge {
  /** @param {import("./studio.js").Studio} studio */
  constructor(studio) {
    this.studio = studio;
    /** @type {Way} */
    this.way = "slider";
    this.asked = 0;
  }

  /** @param {Result} result @param {Way} [way] */
  async compare(result, way = this.way) {
    const { results, canvas } = this.studio;
    const [mine, { picture }] = [++this.asked, canvas];
    const variants = results.variants(result);
    const [before, ...all] = await Promise.all([result.before, ...variants.map((one) => one.after)].map(opened));
    const sheet = all.map((image, i) => ({ image, text: `seed ${variants[i].seed}` }));
    if (mine !== this.asked || picture !== canvas.picture) return; // something else is shown meanwhile
    canvas.compare(before, all[variants.indexOf(result)], way, [{ image: before, text: "before" }, ...sheet]);
  }

  /** @param {Way} way */
  by(way) {
    this.way = way;
    const { current } = this.studio.results;
    if (current) void this.compare(current);
  }

  /** One of those side by side is to be compared alone. @param {number} index 0 for what they were made from */
  picked(index) {
    const { results } = this.studio;
    const chosen = results.current && (results.variants(results.current)[index - 1] ?? results.current);
    if (chosen) results.choose(results.all.indexOf(chosen), "slider");
  }

  /** Continue from a result: it becomes the picture that is edited. */
  async onward(result = this.chosen("continue from")) {
    if (result) await this.studio.openPicture(result.after, this.studio.name);
  }

  /** Restore what the chosen result was made with. */
  async again() {
    const result = this.chosen("restore from");
    if (result) await this.studio.attempt(() => this.studio.journey.restore(result));
  }

  /** The chosen result; said where there is none. @param {string} what is meant with it */
  chosen(what) {
    const { current } = this.studio.results;
    if (!current) this.studio.say(`there is no result yet to ${what}: run an edit`);
    return current;
  }
}
