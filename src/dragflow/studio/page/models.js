// The models that the server offers: what they are, which are loaded, and loading or unloading the chosen one.

import { answered, asked } from "./server.js";

/** @typedef {{name: string, loaded: boolean, licence: string | null, bytes: number | null, here: boolean}} Model */

const PLACE = ".studio-models";
const AGAIN = 500;

export class Models {
  /** @param {import("./studio.js").Studio} studio */
  constructor(studio) {
    this.studio = studio;
    void this.refresh();
  }

  /** Show what the server has now. */
  async refresh() {
    const about = await this.studio.server.offers();
    const place = document.querySelector(PLACE);
    if (!place) window.setTimeout(() => void this.refresh(), AGAIN); // the toolkit has not made it yet
    if (!about || !place) return;
    place.replaceChildren(...about.models.map((/** @type {Model} */ one) => {
      const item = document.createElement("li");
      item.textContent = words(one);
      return item;
    }));
  }

  /** Load or unload the chosen model. @param {"load" | "unload"} what */
  async act(what) {
    await this.studio.attempt(async () => {
      const model = this.studio.choices.model ?? (await this.studio.about)?.models[0]?.name;
      if (!model) throw new Error("this server has no model");
      this.studio.say(what === "load" ? `${model} is being loaded` : `${model} is being unloaded`, false);
      const headers = { "Content-Type": "application/json" };
      await answered(await asked(`v1/models/${what}`, { method: "POST", headers, body: JSON.stringify({ model }) }));
      this.studio.say(`${model} is ${what}ed`, false);
      this.studio.estimated();
    });
    await this.refresh();
  }
}

/** @param {Model} model */
function words({ name, loaded, licence, bytes, here }) {
  const size = bytes === null ? "" : `, ${bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`} on the disk`;
  const place = here ? size : `${size}, not complete on the disk`;
  return `${name}${loaded ? " (loaded)" : ""}: ${licence ?? "licence: see its page"}${place}`;
}
