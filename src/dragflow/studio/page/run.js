// One run of an edit: begun, followed by its events, stopped.

import { answered } from "./server.js";

/** @typedef {{variant: number, seed: number, seconds: number, picture: Blob}} Made */
/** @typedef {{text: string, share: number}} Progress */

/** What phases are called; their share of the work is guessed from what they cost. */
const PHASES = { encode: ["reading the picture", 0.02], invert: ["looking at the picture", 0.35], start: ["beginning", 0.37], drag: ["dragging", 0.85], denoise: ["painting", 0.97], decode: ["finishing", 1] };

export class Run {
  /**
   * @param {import("./server.js").Server} server
   * @param {{progress: (progress: Progress, preview: Blob | null) => void, made: (made: Made) => void}} listener
   */
  constructor(server, listener) {
    this.server = server;
    this.listener = listener;
    /** @type {string | null} */
    this.id = null;
    this.begun = performance.now();
    this.started = false;
    /** @type {Progress | null} */
    this.last = null;
    /** @type {Set<number>} */
    this.fetched = new Set();
  }

  /** Begin and wait for the end. @param {object} fields of POST /v1/edits @returns {Promise<string | null>} why nothing was made */
  async done(fields) {
    const edit = await (await this.server.post("v1/edits", fields)).json();
    this.id = edit.id;
    const count = edit.variants.length;
    return new Promise((resolve, reject) => {
      const events = new EventSource(edit.events.slice(1));
      const waiting = setInterval(() => void this.queued(), 1000);
      const close = () => (clearInterval(waiting), events.close());
      events.addEventListener("progress", (event) => this.progress(JSON.parse(event.data), count));
      events.addEventListener("preview", (event) => void this.preview(JSON.parse(event.data)));
      /** @type {Promise<void>[]} */
      const fetched = [];
      events.addEventListener("ended", (event) => fetched.push(this.ended(JSON.parse(event.data))));
      events.addEventListener("end", (event) => {
        close();
        const state = JSON.parse(event.data);
        const failed = state.variants.find((/** @type {any} */ one) => one.state === "failed");
        Promise.all(fetched).then(() => resolve(failed?.error ?? (state.state === "cancelled" ? "stopped" : null)), reject);
      });
      events.onerror = () => {
        if (events.readyState !== EventSource.CLOSED) return; // it tries again by itself
        close();
        reject(new Error("the server does not answer any more: what was marked is kept, run it again when it does"));
      };
    });
  }

  /** Say the place in the queue while the edit waits. */
  async queued() {
    if (this.started || !this.id) return;
    const state = await (await fetch(`v1/edits/${this.id}`)).json().catch(() => null);
    const position = state?.variants?.[0]?.position;
    if (!this.started && position > 0) this.listener.progress({ text: `${position} before this one`, share: 0 }, null);
  }

  /** @param {any} event @param {number} count */
  progress(event, count) {
    this.started = true;
    const [text, end] = /** @type {any} */ (PHASES)[event.phase] ?? [event.phase, 1];
    const names = Object.keys(PHASES);
    const begin = /** @type {any} */ (PHASES)[names[names.indexOf(event.phase) - 1]]?.[1] ?? 0;
    const part = event.event === "stepped" ? event.index / event.total : event.event === "finished" ? 1 : 0;
    const share = (event.variant + begin + (end - begin) * part) / count;
    const seconds = (performance.now() - this.begun) / 1000;
    const left = share > 0.05 ? `, about ${Math.ceil((seconds * (1 - share)) / share)} s left` : "";
    const which = count > 1 ? `${event.variant + 1} of ${count}: ` : "";
    const step = event.event === "stepped" ? ` ${event.index}/${event.total}` : "";
    const loss = event.loss == null ? "" : `, loss ${event.loss.toPrecision(3)}`;
    this.listener.progress({ text: `${which}${text}${step}${loss}${left}`, share }, null);
    this.last = { text: `${which}${text}${step}${left}`, share };
  }

  /** @param {any} event */
  async preview(event) {
    const answer = await fetch(event.preview.slice(1));
    if (answer.ok && this.last) this.listener.progress(this.last, await answer.blob());
  }

  /** @param {any} variant */
  async ended(variant) {
    if (variant.state !== "done" || this.fetched.has(variant.variant)) return;
    this.fetched.add(variant.variant); // a stream that was broken begins from the start again
    const answer = await answered(await fetch(variant.result.slice(1)));
    this.listener.made({ variant: variant.variant, seed: variant.seed, seconds: variant.seconds, picture: await answer.blob() });
  }

  async stop() {
    if (this.id) await fetch(`v1/edits/${this.id}`, { method: "DELETE" });
  }
}
