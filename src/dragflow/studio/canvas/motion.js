// How a region moves: shifted, turned and scaled about its anchor; as a matrix, as instruction files say it, in words.

/** @typedef {import("./host.js").Point} Point */
/** @typedef {import("./host.js").Matrix} Matrix */

/**
 * Scaled and turned about the anchor (degrees clockwise as seen), then shifted.
 * @typedef {{dx: number, dy: number, degrees: number, sx: number, sy: number}} Motion
 */

/** @type {Readonly<Motion>} */
export const STILL = Object.freeze({ dx: 0, dy: 0, degrees: 0, sx: 1, sy: 1 });
const LEAST = 1e-3;

/** @param {Motion} motion @param {Point} anchor @returns {Matrix} */
export function matrixOf(motion, anchor) {
  const angle = (motion.degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [a, b, d, e] = [cos * motion.sx, -sin * motion.sy, sin * motion.sx, cos * motion.sy];
  return [
    [a, b, anchor.x + motion.dx - a * anchor.x - b * anchor.y],
    [d, e, anchor.y + motion.dy - d * anchor.x - e * anchor.y],
  ];
}

/** The motion whose matrix this is; null where it shears or mirrors. @param {Matrix} m @param {Point} anchor @returns {Motion | null} */
export function motionOf(m, anchor) {
  const [[a, b], [d, e]] = m;
  const sx = Math.hypot(a, d);
  const sy = (a * e - b * d) / sx;
  if (!(sy > 0) || Math.abs(a * b + d * e) > LEAST * sx * Math.hypot(b, e)) return null;
  const to = applied(m, anchor);
  return { dx: to.x - anchor.x, dy: to.y - anchor.y, degrees: (Math.atan2(d, a) * 180) / Math.PI, sx, sy };
}

/** @param {Matrix} m @param {Point} p @returns {Point} */
export function applied(m, p) {
  return { x: m[0][0] * p.x + m[0][1] * p.y + m[0][2], y: m[1][0] * p.x + m[1][1] * p.y + m[1][2] };
}

/** First `second`, then `first`. @param {Matrix} first @param {Matrix} second @returns {Matrix} */
export function composed(first, second) {
  const row = (/** @type {0 | 1} */ i) => {
    const [a, b, c] = first[i];
    return /** @type {[number, number, number]} */ ([
      a * second[0][0] + b * second[1][0],
      a * second[0][1] + b * second[1][1],
      a * second[0][2] + b * second[1][2] + c,
    ]);
  };
  return [row(0), row(1)];
}

/** @param {Matrix} m @returns {Matrix} */
export function inverse([[a, b, c], [d, e, f]]) {
  const det = a * e - b * d;
  return [
    [e / det, -b / det, (b * f - c * e) / det],
    [-d / det, a / det, (c * d - a * f) / det],
  ];
}

/** @param {Motion} motion */
export function isStill(motion) {
  return !shifts(motion) && !turns(motion) && !scales(motion);
}

/**
 * As instruction files say it; `handle` is the point that a translation's target is meant for.
 * @param {Motion} motion @param {Point} anchor @param {Point} handle
 */
export function asFile(motion, anchor, handle) {
  const about = [anchor.x, anchor.y];
  if (shifts(motion) && !turns(motion) && !scales(motion)) {
    return { type: "translate", to: [handle.x + motion.dx, handle.y + motion.dy] };
  }
  if (turns(motion) && !shifts(motion) && !scales(motion)) return { type: "rotate", about, degrees: motion.degrees };
  if (scales(motion) && !shifts(motion) && !turns(motion) && Math.abs(motion.sx - motion.sy) < LEAST) {
    return { type: "scale", about, factor: motion.sx };
  }
  return { type: "affine", matrix: matrixOf(motion, anchor) };
}

/** What will happen, as in "moves 118 px to the right and turns 30 degrees". @param {Motion} motion */
export function inWords(motion) {
  const parts = [];
  if (shifts(motion)) parts.push(`moves ${shiftInWords(motion.dx, motion.dy)}`);
  if (turns(motion)) {
    parts.push(`turns ${rounded(Math.abs(motion.degrees))} degrees ${motion.degrees > 0 ? "clockwise" : "counterclockwise"}`);
  }
  if (scales(motion)) {
    const alike = Math.abs(motion.sx - motion.sy) < LEAST;
    const size = alike
      ? `${rounded(motion.sx * 100)} % of its size`
      : `${rounded(motion.sx * 100)} % of its width and ${rounded(motion.sy * 100)} % of its height`;
    parts.push(`becomes ${size}`);
  }
  if (!parts.length) return "stays where it is";
  return parts.length < 2 ? parts[0] : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

/** @param {number} dx @param {number} dy */
function shiftInWords(dx, dy) {
  const parts = [];
  if (Math.abs(dx) >= 0.5) parts.push(`${rounded(Math.abs(dx))} px to the ${dx > 0 ? "right" : "left"}`);
  if (Math.abs(dy) >= 0.5) parts.push(`${rounded(Math.abs(dy))} px ${dy > 0 ? "down" : "up"}`);
  return parts.join(" and ") || "by less than a pixel";
}

/** @param {number} value */
function rounded(value) {
  return String(Math.round(value * 10) / 10);
}

/** @param {Motion} m */
function shifts(m) {
  return Math.hypot(m.dx, m.dy) >= LEAST;
}

/** @param {Motion} m */
function turns(m) {
  return Math.abs(m.degrees) >= LEAST;
}

/** @param {Motion} m */
function scales(m) {
  return Math.abs(m.sx - 1) >= LEAST || Math.abs(m.sy - 1) >= LEAST;
}
