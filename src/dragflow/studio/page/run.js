// One run of an edit: begun, followed by its events, stopped.

import { Unreachable, answered, asked } from "./server.js";

/** @typedef {{variant: number, seed: number, seconds: number, picture: Blob}} Made */
/** @typedef {{text: string, share: number}} Progress */
/** @typedef {{id: string, events: string, variants: any[]}} Edit what the server says of an edit */

/** @typedef {{progress: (progress: Progress, preview: Blob | null) => void, made: (made: Made) => void}} Listener */

/** What phases are called, and which share of the work is done after each: a guess from what they cost. */
const PHASES = { encode: ["reading the picture", 0.02], invert: ["analysing the picture", 0.35], bridge: ["correcting the preview", 0.36], start: ["preparing", 0.37], drag: ["dragging", 0.85], denoise: ["painting", 0.97], decode: ["finishing", 1] };
const LOST = "connection lost: trying again";
export const FORGOTTEN = "the server no longer knows this edit, for example after a restart: your marks are kept, run it again";
const AGAIN = 1000;

export class Run {
  /** @param {import("./server.js").Server} server */
  constructor(server) {
    this.server = server;
    /** @type {Listener} */
    this.listener = { progress: () => undefined, made: () => undefined };
    /** @type {string | null} */
    this.id = null;
    this.begun = performance.now();
    this.started = false;
    /** @type {Progress | null} */
    this.last = null;
    /** @type {Map<number, Promise<void>>} by variant, its result on the way */
    this.fetched = new Map();
    /** Settles `followed`. @type {(why: string | null) => void} */
    this.end = () => undefined;
    this.over = false;
    /** Whether a person stopped it, perhaps before the server has named it. */
    this.stopped = false;
  }

  /** Begin an edit. @param {object} fields of POST /v1/edits @returns {Promise<Edit>} */
  async submitted(fields) {
    return (await this.server.post("v1/edits", fields)).json();
  }

  /** Follow an edit to its end. @param {Edit} edit @param {Listener} listener @returns {Promise<string | null>} why nothing was made */
  async followed(edit, listener) {
    this.id = edit.id;
    this.listener = listener;
    const count = edit.variants.length;
    const events = new EventSource(edit.events.slice(1));
    const waiting = setInterval(() => void this.queued(), AGAIN);
    events.addEventListener("progress", (event) => this.progress(JSON.parse(event.data), count));
    events.addEventListener("preview", (event) => void this.preview(JSON.parse(event.data)));
    events.addEventListener("ended", (event) => this.ended(JSON.parse(event.data)));
    events.addEventListener("end", (event) => void this.finished(JSON.parse(event.data)));
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED) void this.lost();
      else this.listener.progress({ text: LOST, share: this.last?.share ?? 0 }, null); // it reconnects by itself
    };
    const ended = /** @type {Promise<string | null>} */ (new Promise((resolve) => (this.end = resolve)));
    if (this.stopped) void this.stop();
    try {
      return await ended;
    } finally {
      this.over = true;
      clearInterval(waiting);
      events.close();
    }
  }

  /** @param {any} state of the whole edit */
  async finished(state) {
    const failed = state.variants.find((/** @type {any} */ one) => one.state === "failed");
    const why = await Promise.all(this.fetched.values()).then(() => null, said);
    this.end(why ?? failed?.error ?? (state.state === "cancelled" ? "stopped" : null));
  }

  /** The stream was refused. */
  async lost() {
    const status = await asked(`v1/edits/${this.id}`).then((answer) => answer.status, said);
    this.end(status === 404 ? FORGOTTEN : typeof status === "string" ? status : `the server answered with status ${status}`);
  }

  /** Say the place in the queue while the edit waits. */
  async queued() {
    if (this.started || this.over) return;
    const state = await asked(`v1/edits/${this.id}`).then((answer) => answer.json()).catch(() => null);
    const position = state?.variants?.[0]?.position;
    if (!this.started && position > 0) this.listener.progress({ text: `${position} ahead of this one`, share: 0 }, null);
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
    const picture = await asked(event.preview.slice(1)).then((answer) => (answer.ok ? answer.blob() : null)).catch(() => null);
    if (picture && this.last) this.listener.progress(this.last, picture);
  }

  /** Fetch a result once: a stream that was interrupted starts over. @param {any} variant */
  ended(variant) {
    if (variant.state !== "done" || this.fetched.has(variant.variant)) return;
    const fetched = this.result(variant);
    fetched.catch(() => undefined); // reported at the end
    this.fetched.set(variant.variant, fetched);
  }

  /** @param {any} variant */
  async result(variant) {
    for (;;) {
      try {
        const picture = await (await answered(await asked(variant.result.slice(1)))).blob();
        return this.listener.made({ variant: variant.variant, seed: variant.seed, seconds: variant.seconds, picture });
      } catch (error) {
        if (!(error instanceof Unreachable) || this.over) throw error;
        await new Promise((resolve) => setTimeout(resolve, AGAIN));
      }
    }
  }

  /** End the run, as soon as the server has named it; also where it does not answer. */
  async stop() {
    this.stopped = true;
    if (!this.id) return;
    await asked(`v1/edits/${this.id}`, { method: "DELETE" }).catch(() => this.end("stopped"));
  }
}

/** @param {unknown} error */
function said(error) {
  return error instanceof Error ? error.message : String(error);
}
