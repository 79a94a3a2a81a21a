// What is saved: the result, what is marked, and what the server makes of both for other programs.

import { fromBase64, toBase64 } from "../canvas/png.js";
import { download } from "./results.js";

/** @typedef {"result" | "instruction" | "mask" | "layers" | "openraster" | "red_bench" | "all"} What */
/** @typedef {Record<"background" | "edit" | "task" | "points", string | null>} Sample what a sample says, as it was typed; null where no field was shown yet */

/** What files that the server makes are called after the picture's name. @type {Partial<Record<What, string>>} */
const ENDINGS = { layers: "-layers.zip", openraster: "-layers.ora", red_bench: "-red-bench.zip", all: "-everything.zip" };
const AS_DRAGGED = "as dragged";

/** Save one thing; gives what to say then. @param {import("./studio.js").Studio} studio @param {What} what @param {Sample} [sample] */
export async function take(studio, what, sample) {
  const { name } = studio;
  const { document: doc } = studio.canvas;
  if (what === "result") {
    const result = studio.results.current;
    if (!result) throw new Error("there is no result to save yet: run an edit");
    return saved(result.after, `${name}-edited.png`);
  }
  if (what === "mask") {
    if (!doc.region) throw new Error("nothing is marked yet: mark a region, then save its mask");
    return saved(fromBase64(await doc.region.mask.png()), `${name}-mask.png`);
  }
  const instruction = await studio.instruction(what === "red_bench" || what === "all"); // a sample is as it was painted
  if (!instruction.operations.length) throw new Error("nothing is dragged yet: mark a region and drag it, then save");
  if (what === "instruction") {
    return saved(new Blob([JSON.stringify(instruction, null, 2)], { type: "application/json" }), `${name}.json`);
  }
  studio.say("preparing the file", false);
  const fields = { instruction, what, names: doc.moving.map((region) => region.name), ...(await extras(studio, what, instruction, sample)) };
  const answer = await studio.server.post("v1/exports", fields);
  const why = answer.headers.get("Left-Out");
  const without = why ? `, without a ReD Bench sample: ${decodeURIComponent(why)}` : "";
  return saved(await answer.blob(), `${name}${ENDINGS[what]}`) + without;
}

/** What only some files hold. @param {import("./studio.js").Studio} studio @param {What} what @param {any} instruction @param {Sample} [sample] */
async function extras(studio, what, instruction, sample) {
  const { current } = studio.results;
  const own = what !== "red_bench" && current && current.source === studio.source;
  const said = sample && (what === "red_bench" || what === "all") ? sampleOf(sample, instruction) : null;
  return {
    ...(own ? { result: await toBase64(current.after) } : {}),
    ...(what === "red_bench" ? { sample: said ?? {} } : said ? { sample: said } : {}),
  };
}

/** As the server reads it; null where nothing was typed. @param {Sample} sample @param {{operations: any[]}} instruction */
export function sampleOf({ background, edit, task, points }, { operations }) {
  const turning = ["rotate", "scale", "affine"];
  const said = {
    ...(background ? { background_prompt: background } : {}),
    ...(edit ? { editing_prompt: edit } : {}),
    // What turns is a rotation, whatever the others are.
    ...(task && task !== AS_DRAGGED ? { tasks: operations.map(({ motion }) => (turning.includes(motion.type) ? null : task)) } : {}),
    ...(points?.trim() ? pairs(points) : {}),
  };
  return Object.keys(said).length ? said : null;
}

/** Pairs of points, typed as "120,80 > 160,80; 30,40 > 70,40". @param {string} text */
function pairs(text) {
  const read = text.split(";").filter((part) => part.trim()).map((pair) => {
    const numbers = pair.split(/[>,]/).map((number) => (number.trim() ? Number(number) : NaN));
    if (numbers.length !== 4 || !numbers.every(Number.isFinite) || !/^[^>]*,[^>]*>[^>]*,[^>]*$/.test(pair)) {
      throw new Error(`"${pair.trim()}" is not a pair of points: write X,Y > X,Y and a semicolon between pairs`);
    }
    return numbers;
  });
  return { begin_points: read.map(([x, y]) => [x, y]), target_points: read.map(([, , x, y]) => [x, y]) };
}

/** @param {Blob} blob @param {string} name */
function saved(blob, name) {
  download(blob, name);
  return `${name} is saved`;
}
