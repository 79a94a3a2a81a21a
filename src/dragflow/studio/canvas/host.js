// What the canvas asks of the program that it is in. Types only.

/**
 * A point of a picture: (x, y) in pixels, the centre of the top left pixel is (0, 0).
 * @typedef {{x: number, y: number}} Point
 */

/**
 * An affine map of points of a picture, two rows of three numbers, as in instruction files.
 * @typedef {[[number, number, number], [number, number, number]]} Matrix
 */

/**
 * A piece of a picture and where its top left pixel is.
 * @typedef {{image: ImageBitmap, left: number, top: number}} Placed
 */

/**
 * How far what is around an attached part goes along with it; see dragflow.pixels.ghost.
 * @typedef {{xs: number[], ys: number[], weights: number[][], lead: [number, number] | null}} Mesh
 */

/**
 * What is drawn of one region while it is dragged.
 * @typedef {{cutout: Placed | null, shadow: Placed | null, offset: [number, number], mesh: Mesh | null}} GhostRegion
 */

/**
 * What the program understood of one region: its operation with nothing left to guess but the motion, and whether
 * the region was snapped to an object's edge.
 * @typedef {{operation: {motion: {label?: "relocation" | "deformation" | "copy"}}, snapped: boolean}} Settled
 */

/**
 * What is drawn of a picture while its regions are dragged, and what was understood of each.
 * @typedef {{plate: Placed | null, regions: GhostRegion[], settled: Settled[], coarse: boolean}} Ghost
 */

/**
 * What undo and redo reach beyond the open picture, such as continuing from a result.
 * @typedef {{undo: () => void, redo: () => void, readonly undoable: boolean, readonly redoable: boolean}} Beyond
 */

/**
 * The program around a canvas.
 * @typedef {object} Host
 * @property {(point: Point) => Promise<ImageBitmap>} select the object at a point, white on black
 * @property {(instruction: object) => AsyncIterable<Ghost>} layers a rough ghost soon, then a better one
 * @property {(instruction: object) => Promise<ImageBitmap>} preview the picture with what depends on the target
 * @property {(change: object) => void} changed after every change: words, regions, whether undo and redo are possible
 * @property {(sentence: string) => void} said what went wrong, for the person
 * @property {Beyond} [beyond]
 * @property {(index: number) => void} [picked] one of the pictures that are shown side by side
 */

export {};
