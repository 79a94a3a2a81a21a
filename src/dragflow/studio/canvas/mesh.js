// A mesh of triangles that carries the picture under it, drawn by WebGL: only what is seen of it, in pixels of the screen.

/** @typedef {import("./host.js").Mesh} Mesh */
/** @typedef {import("./host.js").Matrix} Matrix */

import { Levels, scaleOf } from "./levels.js";
import { applied } from "./motion.js";

const VERTEX = `#version 300 es
in vec2 at, from;
uniform vec2 size;
uniform vec4 seen;
out vec2 place;
void main() {
  place = from / size;
  gl_Position = vec4(2.0 * (at - seen.xy) / seen.zw - 1.0, 0.0, 1.0) * vec4(1.0, -1.0, 1.0, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
in vec2 place;
out vec4 colour;
void main() { colour = texture(picture, place); }`;

export class MeshPainter {
  /** @param {OffscreenCanvas} picture what the mesh carries; its top left pixel is at (left, top) @param {number} left @param {number} top @param {Mesh} mesh */
  constructor(picture, left, top, mesh) {
    this.left = left;
    this.top = top;
    this.mesh = mesh;
    this.levels = new Levels(picture);
    /** @type {ImageBitmap | OffscreenCanvas | null} the level that WebGL has */
    this.given = null;
    this.canvas = new OffscreenCanvas(1, 1);
    const gl = this.canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: true });
    if (!gl) throw new Error("this browser has no WebGL 2: attached parts are shown when the hand rests");
    this.gl = gl;
    const program = linked(gl);
    gl.useProgram(program);
    gl.uniform2f(gl.getUniformLocation(program, "size"), picture.width, picture.height);
    this.seen = gl.getUniformLocation(program, "seen");
    const [columns, rows] = [mesh.xs.length, mesh.ys.length];
    this.from = new Float32Array(columns * rows * 2);
    for (let j = 0; j < rows; j++) {
      for (let i = 0; i < columns; i++) this.from.set([mesh.xs[i] - left + 0.5, mesh.ys[j] - top + 0.5], 2 * (j * columns + i));
    }
    this.to = new Float32Array(this.from.length);
    buffer(gl, program, "from", this.from);
    this.moving = buffer(gl, program, "at", this.to);
    this.count = elements(gl, columns, rows);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const kind of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, kind, gl.LINEAR);
    for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, axis, gl.CLAMP_TO_EDGE);
  }

  /**
   * Draw the picture under the mesh as a motion leaves it, in pixels of the picture.
   * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context @param {Matrix} matrix
   */
  draw(context, matrix) {
    const seen = this.window(context);
    if (seen.width <= 0 || seen.height <= 0) return;
    const scale = Math.min(1, scaleOf(context));
    const [width, height] = [Math.ceil(seen.width * scale), Math.ceil(seen.height * scale)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.carry(matrix);
    this.render(seen, this.levels.at(scale));
    context.drawImage(this.canvas, seen.left + this.left, seen.top + this.top, seen.width, seen.height);
  }

  /** What of the mesh is on a canvas, in whole pixels of the picture from its top left one. @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context */
  window(context) {
    const { width, height } = context.canvas;
    const back = context.getTransform().inverse();
    const [first, last] = [new DOMPoint(0, 0), new DOMPoint(width, height)].map((corner) => corner.matrixTransform(back));
    const [left, top] = [Math.max(0, Math.floor(first.x) - this.left), Math.max(0, Math.floor(first.y) - this.top)];
    const right = Math.min(this.levels.width, Math.ceil(last.x) - this.left);
    const bottom = Math.min(this.levels.height, Math.ceil(last.y) - this.top);
    return { left, top, width: right - left, height: bottom - top };
  }

  /** Where the vertices go. @param {Matrix} matrix */
  carry(matrix) {
    const { mesh, from, to } = this;
    const lead = mesh.lead ? { x: mesh.lead[0], y: mesh.lead[1] } : null;
    const led = lead && applied(matrix, lead);
    for (let j = 0, n = 0; j < mesh.ys.length; j++) {
      for (let i = 0; i < mesh.xs.length; i++, n += 2) {
        const here = { x: mesh.xs[i], y: mesh.ys[j] };
        const there = led && lead ? { x: here.x + led.x - lead.x, y: here.y + led.y - lead.y } : applied(matrix, here);
        to[n] = from[n] + mesh.weights[j][i] * (there.x - here.x);
        to[n + 1] = from[n + 1] + mesh.weights[j][i] * (there.y - here.y);
      }
    }
  }

  /** @param {{left: number, top: number, width: number, height: number}} seen @param {ImageBitmap | OffscreenCanvas} picture */
  render(seen, picture) {
    const { gl } = this;
    if (this.given !== picture) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    this.given = picture;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.uniform4f(this.seen, seen.left, seen.top, seen.width, seen.height);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.moving);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.to);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_INT, 0);
  }

  destroy() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** @param {WebGL2RenderingContext} gl */
function linked(gl) {
  const program = /** @type {WebGLProgram} */ (gl.createProgram());
  for (const [kind, text] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`WebGL: ${gl.getProgramInfoLog(program)}`);
  return program;
}

/** @param {WebGL2RenderingContext} gl @param {WebGLProgram} program @param {string} name @param {Float32Array} values */
function buffer(gl, program, name, values) {
  const made = gl.createBuffer();
  const place = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
  return made;
}

/** Two triangles a cell; later ones cover earlier ones. @param {WebGL2RenderingContext} gl @param {number} columns @param {number} rows */
function elements(gl, columns, rows) {
  const list = [];
  for (let j = 0; j + 1 < rows; j++) {
    for (let i = 0; i + 1 < columns; i++) {
      const [a, b] = [j * columns + i, (j + 1) * columns + i];
      list.push(a, a + 1, b, b + 1, b, a + 1);
    }
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(list), gl.STATIC_DRAW);
  return list.length;
}
