// The host of a canvas: dragflow's own server, at the address that the page came from.

/** @typedef {import("../canvas/host.js").Ghost} Ghost */
/** @typedef {import("../canvas/host.js").Placed} Placed */

export class Server {
  constructor() {
    /** @type {Blob | null} the picture that is worked on; sent again when the server has forgotten it */
    this.picture = null;
    /** @type {string | null} */
    this.id = null;
  }

  /** Send a picture; gives it upright. @param {Blob} picture */
  async open(picture) {
    // Into memory: a file may be gone or changed by the time that it is sent again.
    const kept = new Blob([await picture.arrayBuffer()], { type: picture.type });
    const { id, sha256 } = await sent("v1/pictures", kept);
    const upright = await (await answered(await asked(`v1/pictures/${id}`))).blob();
    const image = await createImageBitmap(upright, { colorSpaceConversion: "none" });
    // From here on requests are about it: before, the page still shows the other one.
    Object.assign(this, { picture: kept, id });
    return { picture: kept, sha256, upright, image };
  }

  /** @returns {Promise<{id: string, width: number, height: number, sha256: string}>} */
  async upload() {
    if (!this.picture) throw new Error("open a picture first");
    const about = await sent("v1/pictures", this.picture);
    this.id = about.id;
    return about;
  }

  /** What a picture is that is not worked on. @param {Blob} picture @returns {Promise<{width: number, height: number, sha256: string}>} */
  async about(picture) {
    const about = await sent("v1/pictures", picture);
    await asked(`v1/pictures/${about.id}`, { method: "DELETE" });
    return about;
  }

  /** What a result was made with. @param {Blob} result @returns {Promise<import("./recipe.js").Recipe>} */
  recipe(result) {
    return sent("v1/recipes", result);
  }

  /** Post about the picture; once more if the server has forgotten it. @param {string} address @param {object} fields */
  async post(address, fields) {
    if (!this.id) await this.upload();
    const send = () =>
      asked(address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ picture_id: this.id, ...fields }),
      });
    let answer = await send();
    if (answer.status === 404) {
      await this.upload();
      answer = await send();
    }
    return answered(answer);
  }

  /** @param {{x: number, y: number}} point */
  async select({ x, y }) {
    return bitmap(await this.post("v1/selections", { points: [[x, y]] }));
  }

  /** @param {object} instruction @returns {AsyncIterable<Ghost>} */
  async *layers(instruction) {
    for (const coarse of [true, false]) {
      const found = await (await this.post("v1/layers", { instruction, coarse })).json();
      yield {
        plate: await placed(found.plate),
        regions: await Promise.all(
          found.regions.map(async (/** @type {any} */ region) => ({
            ...region,
            cutout: await placed(region.cutout),
            shadow: await placed(region.shadow),
          })),
        ),
        settled: found.regions.map((/** @type {any} */ { snapped }, /** @type {number} */ i) => ({
          operation: found.instruction.operations[i],
          snapped,
        })),
        coarse,
      };
    }
  }

  /** @param {object} instruction */
  async preview(instruction) {
    return bitmap(await this.post("v1/previews", { instruction }));
  }
}

export class Unreachable extends Error {
  constructor() {
    super("the server cannot be reached: what was marked is kept, try again when it answers");
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

/** What the server says of a file. @param {string} address @param {Blob} picture */
async function sent(address, picture) {
  const form = new FormData();
  form.append("picture", picture);
  return (await answered(await asked(address, { method: "POST", body: form }))).json();
}

/** An answer, or its problem as an error. @param {Response} answer */
export async function answered(answer) {
  if (answer.ok) return answer;
  if (answer.status === 401) throw new Error("the server asks for its token: load the page again to give it");
  const problem = await answer.json().catch(() => null);
  throw new Error(problem?.detail ?? `the server answers ${answer.status}`);
}

/** @param {Response} answer */
async function bitmap(answer) {
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
}

/** @param {{left: number, top: number, png: string} | null} piece @returns {Promise<Placed | null>} */
async function placed(piece) {
  if (!piece) return null;
  return { left: piece.left, top: piece.top, image: await fromBase64(piece.png) };
}

/** @param {string} png */
export async function fromBase64(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
}

/** @param {Blob} blob @returns {Promise<string>} */
export function toBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, "")); // a data: address
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
