// The studio's canvas on the node Drag Canvas: an adapter between ComfyUI's page and `mount(element, host)`.

// @ts-ignore served by ComfyUI
import { api } from "../../scripts/api.js";
// @ts-ignore served by ComfyUI
import { app } from "../../scripts/app.js";

/** @typedef {import("../../src/dragflow/studio/canvas/canvas.js").Canvas} Canvas */
/** @typedef {{filename: string, subfolder: string, type: string}} Named a picture as ComfyUI names it */

const NODE = "DragFlowCanvas";
const [DRAWN, PICTURE] = ["drawn", "dragflow_picture"];
/** Milliseconds between looks for another picture, and after a change until it is kept. */
const [LOOK_EVERY, KEEP_AFTER] = [400, 300];
const LEAST_HEIGHT = 620;

/** The modules of the canvas, as the library serves them. @param {string} name */
const module = (name) => import(api.fileURL(`/dragflow/canvas/${name}.js`));

class DragCanvas {
  /** @param {any} node @param {any} modules */
  constructor(node, modules) {
    this.node = node;
    this.modules = modules;
    this.drawn = node.widgets.find((/** @type {any} */ one) => one.name === DRAWN);
    this.element = document.createElement("div");
    this.element.className = "dragflow-node";
    const place = document.createElement("div");
    this.said = document.createElement("p");
    this.said.setAttribute("role", "alert");
    this.element.append(place, this.said);
    /** @type {Named | null} the picture that is shown */
    this.picture = null;
    /** @type {Named | null} what the node was given when it ran last */
    this.ran = null;
    this.keeping = 0;
    this.dirty = false;
    /** @type {Canvas} */
    this.canvas = modules.mount(place, {
      select: async (/** @type {any} */ { x, y }) => modules.opened(await this.blob("select", { points: [[x, y]] })),
      layers: (/** @type {object} */ instruction) => this.layers(instruction),
      preview: async (/** @type {object} */ instruction) => modules.opened(await this.blob("preview", { instruction })),
      changed: () => this.changed(),
      said: (/** @type {string} */ sentence) => this.say(sentence),
    });
    this.attach();
  }

  /** Become a widget of the node, in place of the text that holds what is drawn. */
  attach() {
    const { drawn, node } = this;
    drawn.hidden = true;
    drawn.computeSize = () => [0, -4];
    if (drawn.element) drawn.element.style.display = "none";
    drawn.serializeValue = async () => {
      await this.keep();
      return drawn.value;
    };
    const widget = node.addDOMWidget("canvas", "dragflow", this.element, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => LEAST_HEIGHT,
    });
    widget.serialize = false;
    // What is done on the canvas is not done to the graph around it.
    for (const kind of ["pointerdown", "pointermove", "pointerup", "wheel", "keydown", "keyup", "copy", "paste", "contextmenu"]) {
      this.element.addEventListener(kind, (event) => event.stopPropagation());
    }
    const ran = node.onExecuted;
    node.onExecuted = (/** @type {any} */ message) => {
      ran?.call(node, message);
      this.ran = message?.[PICTURE]?.[0] ?? null;
      void this.look();
    };
    const looking = setInterval(() => void this.look(), LOOK_EVERY);
    const removed = node.onRemoved;
    node.onRemoved = () => {
      clearInterval(looking);
      this.canvas.destroy();
      removed?.call(node);
    };
    if (node.size[1] < LEAST_HEIGHT + 80) node.setSize([Math.max(node.size[0], 520), LEAST_HEIGHT + 80]);
  }

  /** Show the picture that the node would get, where it is another one. */
  async look() {
    const named = loadedBy(this.node) ?? this.ran;
    if (!named || same(named, this.picture)) return;
    const before = this.picture;
    this.picture = named;
    try {
      const image = await this.modules.opened(await this.blob("picture", {}));
      if (!same(named, this.picture)) return;
      this.canvas.load(image, await this.kept(image, before !== null));
      this.say("");
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
    }
  }

  /** What was drawn on a picture of this size. @param {ImageBitmap} image @param {boolean} another whether one was shown before */
  async kept(image, another) {
    if (another) await this.keep();
    const state = parsed(this.drawn.value)?.state;
    const fits = state?.regions?.length && state.width === image.width && state.height === image.height;
    return fits ? this.modules.Document.restored(state) : undefined;
  }

  changed() {
    if (!this.canvas) return; // it is being made
    this.dirty = true;
    clearTimeout(this.keeping);
    this.keeping = window.setTimeout(() => void this.keep(), KEEP_AFTER);
  }

  /** Write what is drawn into the node's text, as the workflow and the server have it. */
  async keep() {
    if (!this.dirty || !this.picture) return;
    this.dirty = false;
    const [instruction, state] = await Promise.all([this.canvas.instruction(), this.canvas.document.saved()]);
    const text = state.regions.length ? JSON.stringify({ instruction, state }) : "";
    if (text === this.drawn.value) return;
    this.drawn.value = text;
    this.drawn.callback?.(text);
    this.node.graph?.setDirtyCanvas?.(true, false);
  }

  /** @param {object} instruction */
  async *layers(instruction) {
    for (const coarse of [true, false]) {
      const sent = await (await this.post("ghost", { instruction, coarse })).json();
      yield this.modules.received(sent, coarse);
    }
  }

  /** @param {string} name @param {object} fields */
  async blob(name, fields) {
    return (await this.post(name, fields)).blob();
  }

  /** Ask the server about the picture. @param {string} name @param {object} fields @returns {Promise<Response>} */
  async post(name, fields) {
    const answer = await api.fetchApi(`/dragflow/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ picture: this.picture, ...fields }),
    });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => null);
    throw new Error(problem?.detail ?? `the server answered with status ${answer.status}`);
  }

  /** @param {string} sentence */
  say(sentence) {
    this.said.textContent = sentence;
  }
}

/** The picture of the Load Image node that is connected to a node; null if there is none. @param {any} node @returns {Named | null} */
function loadedBy(node) {
  const at = node.findInputSlot?.("image") ?? -1;
  const origin = at < 0 ? null : node.getInputNode?.(at);
  if (origin?.comfyClass !== "LoadImage" && origin?.type !== "LoadImage") return null;
  const value = origin.widgets?.find((/** @type {any} */ one) => one.name === "image")?.value;
  if (typeof value !== "string" || !value) return null;
  const [, path, type] = /^(.*?)(?: \[(input|output|temp)\])?$/.exec(value) ?? [];
  const cut = path.lastIndexOf("/");
  return { filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(0, cut)), type: type ?? "input" };
}

/** @param {Named} one @param {Named | null} other */
function same(one, other) {
  return one.filename === other?.filename && one.subfolder === other.subfolder && one.type === other.type;
}

/** @param {unknown} text */
function parsed(text) {
  try {
    return JSON.parse(String(text));
  } catch {
    return null;
  }
}

/** The canvas in the colours of ComfyUI's page. */
function dress() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = api.fileURL("/dragflow/canvas/canvas.css");
  const style = document.createElement("style");
  style.textContent = `
    .dragflow-node { display: flex; flex-direction: column; overflow: auto;
      --body-text-color: var(--input-text, #ddd); --background-fill-secondary: var(--comfy-input-bg, #222);
      --input-border-color: var(--border-color, #767b87); }
    .dragflow-node > .dragflow { flex: 1 0 auto; height: auto; }
    .dragflow-node > p { margin: 4px 0 0; min-height: 1.2em; color: var(--error-text, #ff4444); font: 13px/1.2 system-ui, sans-serif; }
  `;
  document.head.append(link, style);
}

/** @type {Promise<any> | null} */
let loading = null;

/** The canvas's modules, loaded once. */
function modules() {
  loading ??= Promise.all(["canvas", "document", "png", "received"].map(module)).then((parts) => Object.assign({}, ...parts));
  return loading;
}

app.registerExtension({
  name: "dragflow.canvas",
  setup: dress,
  /** @param {any} node */
  async nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    node.dragflow = new DragCanvas(node, await modules());
  },
});
