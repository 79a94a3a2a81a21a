// The strip of results: each can be compared with what it was made from, continued from, and saved.

/**
 * @typedef {object} Result
 * @property {Blob} picture the one that was edited, as it was given @property {string} name of it
 * @property {any} made what was marked, as `Document.saved` gives it @property {Partial<import("./studio.js").Choices>} choices
 * @property {import("./studio.js").Overrides | null} overrides
 * @property {Blob} before @property {Blob} after @property {string} words @property {number} seed @property {number} seconds
 * @property {string} from which variant of which edit @property {string | null} source digest of the picture that it was made from
 */

export class Results {
  /** @param {HTMLElement} element @param {{compare: (result: Result, way?: import("../canvas/judge.js").Way) => void, onward: (result: Result) => void}} acts */
  constructor(element, acts) {
    this.element = element;
    this.acts = acts;
    /** @type {Result[]} */
    this.all = [];
    this.chosen = -1;
    element.classList.add("results");
    element.setAttribute("aria-label", "Results");
  }

  /** A result that is there already is not added again. @param {Result} result */
  add(result) {
    if (this.all.some((one) => one.from === result.from)) return;
    this.all.push(result);
    this.choose(this.all.length - 1);
  }

  /** @param {number} index @param {import("../canvas/judge.js").Way} [way] */
  choose(index, way) {
    this.chosen = index;
    this.show();
    this.acts.compare(this.all[index], way);
  }

  /** None is chosen. */
  none() {
    this.chosen = -1;
    this.show();
  }

  get current() {
    return this.all[this.chosen] ?? null;
  }

  /** The variants of the edit that made a result. @param {Result} result */
  variants(result) {
    const edit = (/** @type {Result} */ one) => one.from.split(" ")[0];
    return this.all.filter((one) => edit(one) === edit(result));
  }

  show() {
    for (const image of this.element.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.element.replaceChildren(...this.all.map((result, i) => this.entry(result, i)));
  }

  /** @param {Result} result @param {number} index */
  entry(result, index) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = `${result.words} Seed ${result.seed}, ${result.seconds.toFixed(1)} s.`;
    button.setAttribute("aria-label", `Result ${index + 1}: ${button.title}`);
    button.setAttribute("aria-pressed", String(index === this.chosen));
    const image = document.createElement("img");
    image.src = URL.createObjectURL(result.after);
    image.alt = "";
    button.append(image);
    button.addEventListener("click", () => this.choose(index));
    button.addEventListener("dblclick", () => this.acts.onward(result));
    return button;
  }
}

/** Let the browser save a file. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
