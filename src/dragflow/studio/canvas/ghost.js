// The ghost of a drag, drawn here from what the program sent once: the plate, meshes, shadows, cut-outs, in this order.

import { Levels } from "./levels.js";
import { MeshPainter } from "./mesh.js";
import { composed } from "./motion.js";

/** @typedef {import("./host.js").Ghost} Ghost */
/** @typedef {import("./host.js").GhostRegion} GhostRegion */
/** @typedef {import("./host.js").Placed} Placed */
/** @typedef {import("./host.js").Matrix} Matrix */

/** @typedef {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context */
/** @typedef {{levels: Levels, left: number, top: number}} Piece */

export class GhostPainter {
  /** @param {ImageBitmap} picture @param {Ghost} ghost */
  constructor(picture, ghost) {
    this.ghost = ghost;
    this.plate = piece(ghost.plate);
    this.regions = ghost.regions.map((region) => ({ ...region, cutout: piece(region.cutout), shadow: piece(region.shadow) }));
    this.meshes = ghost.regions.map((region) => region.mesh && painter(picture, ghost, region.mesh));
  }

  /** Draw what stays over the picture, in its pixels. @param {Context} context */
  drawStill(context) {
    this.plate?.levels.draw(context, this.plate.left, this.plate.top);
  }

  /** Draw what moves over that. @param {Context} context @param {Matrix[]} matrices of the regions */
  drawMoving(context, matrices) {
    this.meshes.forEach((mesh, i) => mesh?.draw(context, matrices[i]));
    this.regions.forEach(({ shadow, offset: [dx, dy] }, i) => {
      if (!shadow) return;
      // A shadow turns and grows with its region, and keeps its offset from it.
      const matrix = composed([[1, 0, dx], [0, 1, dy]], composed(matrices[i], [[1, 0, -dx], [0, 1, -dy]]));
      laid(context, shadow, matrix, "multiply");
    });
    this.regions.forEach(({ cutout }, i) => {
      if (cutout) laid(context, cutout, matrices[i], "source-over");
    });
  }

  destroy() {
    for (const mesh of this.meshes) mesh?.destroy();
  }
}

/** @param {Placed | null} placed @returns {Piece | null} */
function piece(placed) {
  return placed && { levels: new Levels(placed.image), left: placed.left, top: placed.top };
}

/** @param {Context} context @param {Piece} piece @param {Matrix} matrix @param {GlobalCompositeOperation} how */
function laid(context, { levels, left, top }, [[a, b, c], [d, e, f]], how) {
  context.save();
  context.globalCompositeOperation = how;
  context.imageSmoothingEnabled = true;
  // Points are centres of pixels, the canvas counts from their corners: half a pixel there and back.
  context.transform(a, d, b, e, c + 0.5 - (a + b) / 2, f + 0.5 - (d + e) / 2);
  levels.draw(context, left, top);
  context.restore();
}

/** @param {ImageBitmap} picture @param {Ghost} ghost @param {import("./host.js").Mesh} mesh */
function painter(picture, ghost, mesh) {
  const [left, top] = [Math.floor(mesh.xs[0]), Math.floor(mesh.ys[0])];
  const width = Math.ceil(mesh.xs[mesh.xs.length - 1]) - left + 1;
  const height = Math.ceil(mesh.ys[mesh.ys.length - 1]) - top + 1;
  const under = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (under.getContext("2d"));
  context.drawImage(picture, -left, -top);
  if (ghost.plate) context.drawImage(ghost.plate.image, ghost.plate.left - left, ghost.plate.top - top);
  return new MeshPainter(under, left, top, mesh);
}
