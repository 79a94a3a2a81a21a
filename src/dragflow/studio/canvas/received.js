// A ghost as dragflow.service.Canvas sends it, for hosts whose program is somewhere else.

import { fromBase64, opened } from "./png.js";

/** @typedef {import("./host.js").Ghost} Ghost */
/** @typedef {import("./host.js").Placed} Placed */

/** @param {any} sent @param {boolean} coarse whether a better one follows @returns {Promise<Ghost>} */
export async function received(sent, coarse) {
  return {
    plate: await placed(sent.plate),
    regions: await Promise.all(
      sent.regions.map(async (/** @type {any} */ region) => ({
        ...region,
        cutout: await placed(region.cutout),
        shadow: await placed(region.shadow),
      })),
    ),
    settled: sent.regions.map((/** @type {any} */ { snapped }, /** @type {number} */ i) => ({
      operation: sent.instruction.operations[i],
      snapped,
    })),
    coarse,
  };
}

/** @param {{left: number, top: number, png: string} | null} piece @returns {Promise<Placed | null>} */
async function placed(piece) {
  if (!piece) return null;
  return { left: piece.left, top: piece.top, image: await opened(fromBase64(piece.png)) };
}
