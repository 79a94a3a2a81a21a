// What an edit will take, told before it is run: the server knows it from the edits that it made before.

/** @typedef {{seconds: number | null, load_seconds: number | null, memory_mib: number | null}} Said */

const REST = 700;
const PLACE = ".studio-estimate";

export class Estimate {
  /** @param {import("./server.js").Server} server */
  constructor(server) {
    this.server = server;
    this.waiting = 0;
    this.asked = 0;
  }

  /** Ask a little after the last change. @param {() => Promise<object | null>} fields of POST /v1/estimates; null if nothing is dragged yet */
  later(fields) {
    clearTimeout(this.waiting);
    this.waiting = window.setTimeout(() => void this.ask(fields), REST);
  }

  /** @param {() => Promise<object | null>} fields */
  async ask(fields) {
    const number = ++this.asked;
    const asked = await fields();
    // What is wrong with the drag is said by its preview, or by Run.
    const said = asked && (await this.server.post("v1/estimates", asked).then((answer) => answer.json()).catch(() => null));
    if (number === this.asked) this.show(said ? words(said) : "");
  }

  /** @param {string} text */
  show(text) {
    const place = document.querySelector(PLACE);
    if (place) place.textContent = text;
  }
}

/** @param {Said} said */
export function words({ seconds, load_seconds: load, memory_mib: memory }) {
  const first = load === null ? " The model is loaded first." : load > 0 ? ` The model is loaded first: about ${span(load)}.` : "";
  if (seconds === null) return `How long this takes here is not known yet.${first}`;
  const most = memory === null ? "" : `, ${(memory / 1024).toFixed(1)} GiB`;
  return `About ${span(seconds)}${most} here.${first}`;
}

/** @param {number} seconds */
function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
