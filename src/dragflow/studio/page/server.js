// The host of a canvas: dragflow's own server, at the address that the page came from.

import { opened } from "../canvas/png.js";
import { received } from "../canvas/received.js";

/** @typedef {import("../canvas/host.js").Ghost} Ghost */
/** @typedef {{id: string, width: number, height: number, sha256: string}} About what the server says of a picture that it has */

export class Server {
  constructor() {
    /** @type {Blob | null} the picture that is worked on; sent again when the server has forgotten it */
    this.picture = null;
    /** @type {string | null} */
    this.id = null;
    /** @type {{picture: Blob, about: About} | null} one that was sent to be told about, and may be opened next */
    this.known = null;
  }

  /** Send a picture; gives it upright. @param {Blob} picture */
  async open(picture) {
    // Into memory: a file may be gone or changed by the time that it is sent again.
    const kept = picture instanceof File ? new Blob([await picture.arrayBuffer()], { type: picture.type }) : picture;
    const known = this.known?.picture === picture ? this.known.about : null;
    let about = known ?? (await sent("v1/pictures", kept));
    let answer = await asked(`v1/pictures/${about.id}`);
    if (known && answer.status === 404) {
      about = await sent("v1/pictures", kept); // it was forgotten meanwhile
      answer = await asked(`v1/pictures/${about.id}`);
    }
    const upright = await (await answered(answer)).blob();
    const image = await opened(upright);
    // From here on requests are about it: before, the page still shows the other one.
    Object.assign(this, { picture: kept, id: about.id, known: null });
    return { picture: kept, sha256: about.sha256, upright, image };
  }

  async upload() {
    if (!this.picture) throw new Error("open a picture first");
    this.id = (await sent("v1/pictures", this.picture)).id;
  }

  /** What a picture is that is not edited yet. @param {Blob} picture @returns {Promise<About>} */
  async about(picture) {
    const before = this.known?.about;
    this.known = { picture, about: await sent("v1/pictures", picture) };
    if (before && before.id !== this.id) await asked(`v1/pictures/${before.id}`, { method: "DELETE" });
    return this.known.about;
  }

  /** Models and presets; null if the server does not say. @returns {Promise<any>} */
  offers() {
    return fetch("v1/models").then((answer) => (answer.ok ? answer.json() : null), () => null);
  }

  /** What a result was made with. @param {Blob} result @returns {Promise<import("./recipe.js").Recipe>} */
  recipe(result) {
    return sent("v1/recipes", result);
  }

  /** What is in the file of a project. @param {File} file @returns {Promise<import("./project.js").Contents>} */
  contents(file) {
    return sent("v1/projects/contents", file, "project");
  }

  /** The file of a project. @param {object} fields */
  async project(fields) {
    return (await answered(await posted("v1/projects", fields))).blob();
  }

  /** Post about the picture; once more if the server has forgotten it. @param {string} address @param {object} fields */
  async post(address, fields) {
    if (!this.id) await this.upload();
    const send = () => posted(address, { picture_id: this.id, ...fields });
    let answer = await send();
    if (answer.status === 404) {
      await this.upload();
      answer = await send();
    }
    return answered(answer);
  }

  /** @param {{x: number, y: number}} point */
  async select({ x, y }) {
    return picture(await this.post("v1/selections", { points: [[x, y]] }));
  }

  /** @param {object} instruction @returns {AsyncIterable<Ghost>} */
  async *layers(instruction) {
    for (const coarse of [true, false]) {
      yield received(await (await this.post("v1/layers", { instruction, coarse })).json(), coarse);
    }
  }

  /** @param {object} instruction */
  async preview(instruction) {
    return picture(await this.post("v1/previews", { instruction }));
  }
}

export class Unreachable extends Error {
  constructor() {
    super("the server cannot be reached: your marks are kept, try again when it is back");
  }
}

/** A request whose failure is said in a sentence. @param {string} address @param {RequestInit} [options] */
export async function asked(address, options) {
  try {
    return await fetch(address, options);
  } catch {
    throw new Unreachable();
  }
}

/** @param {string} address @param {object} fields */
function posted(address, fields) {
  return asked(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields) });
}

/** What the server says of a file. @param {string} address @param {Blob} file @param {string} [field] */
async function sent(address, file, field = "picture") {
  const form = new FormData();
  form.append(field, file);
  return (await answered(await asked(address, { method: "POST", body: form }))).json();
}

/** An answer, or its problem as an error. @param {Response} answer */
export async function answered(answer) {
  if (answer.ok) return answer;
  if (answer.status === 401) throw new Error("the server asks for its token: reload the page to enter it");
  const problem = await answer.json().catch(() => null);
  throw new Error(problem?.detail ?? `the server answered with status ${answer.status}`);
}

/** @param {Response} answer */
async function picture(answer) {
  return opened(await answer.blob());
}
