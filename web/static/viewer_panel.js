// One volume beside the other: its stage, its labels, and what is said below it.

import { refusal } from "./page.js";
import { AXES, Grid, PLANES, tilesOf } from "./viewer_grid.js";
import { SliceFace } from "./viewer_slices.js";
import { WebglFace } from "./viewer_webgl.js";

const REST_MS = 180;
const RULERS_MM = [10, 20, 50, 100];
const LEAST_RULER_PX = 56;
const FIRST_EDGE = 96;

export class Panel {
  /** `renderer`: what draws volumes here, or null where slices have to do. */
  constructor(root, renderer) {
    this.root = root;
    this.renderer = renderer;
    this.stage = root.querySelector(".stage");
    this.isHit = root.dataset.role === "hit";
    this.slices = new SliceFace(this.stage);
    this.overlay = document.createElement("div");
    this.overlay.className = "overlay";
    this.stage.append(this.overlay);
    this.tiles = [];
  }

  get name() {
    return this.root.dataset.volume;
  }

  address(what) {
    return `/api/v1/${what}/${this.name.split("/").map(encodeURIComponent).join("/")}`;
  }

  say(sentence, isProblem = false) {
    const note = this.root.querySelector(".note");
    note.textContent = sentence;
    note.classList.toggle("problem", isProblem);
    note.hidden = !sentence;
  }

  async open() {
    this.say("Opening the volume …");
    const response = await fetch(this.address("geometry"));
    if (!response.ok) throw new Error(await refusal(response));
    this.geometry = await response.json();
    this.grid = new Grid(this.geometry);
    this.slices.begin(this.address("slices"), this.grid);
    const doubts = this.root.querySelector(".doubts");
    doubts.textContent = this.geometry.warnings.map((warning) => `The scan ${warning}.`).join(" ");
    doubts.hidden = !doubts.textContent;
    this.say("");
    return this.geometry;
  }

  /** Begin to draw the volume itself, where this browser can; slices do meanwhile, and where it cannot. */
  async draw(view) {
    if (!this.renderer) return;
    try {
      this.webgl = new WebglFace(this.stage);
      await this.webgl.begin();
      await this.enlarge(view, FIRST_EDGE);
    } catch (problem) {
      this.webgl?.end();
      this.webgl = null;
      this.say(`Slices are shown, since the volume cannot be drawn here (${problem.message}).`);
    }
  }

  /** Load a preview of so many voxels an axis; 0: all of them. */
  async enlarge(view, edge) {
    const address = edge ? `${this.address("previews")}?edge=${edge}` : this.address("files");
    await this.webgl.load(address, this.grid, view.window);
    this.edge = edge;
  }

  get longest() {
    return Math.max(...AXES.map((axis) => this.grid.count[axis]));
  }

  get isReduced() {
    return this.edge > 0 && this.longest > this.edge;
  }

  place(view) {
    return this.isHit ? { ...view.mm, up: view.mm.up + view.offset } : view.mm;
  }

  /** The place, as the nearest slices of this volume have it. */
  snapped(view) {
    const wanted = this.place(view);
    return Object.fromEntries(AXES.map((axis) => [axis, this.grid.mm(axis, this.grid.index(axis, wanted[axis]))]));
  }

  layOut(view) {
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.tiles = tilesOf(view.layout).map(({ plane, box }) => ({
      plane,
      left: box[0] * width,
      top: box[1] * height,
      width: box[2] * width,
      height: box[3] * height,
    }));
  }

  /** Pixels a millimetre at which each tile just holds this volume. */
  fits() {
    return this.tiles.map((tile) => this.grid.fit(tile.plane, tile.width, tile.height));
  }

  show(view, scales) {
    const { clientWidth: width, clientHeight: height } = this.stage;
    const mpr = view.layout === "mpr";
    const mm = this.snapped(view);
    const centre = Object.fromEntries(
      AXES.map((axis) => [axis, this.grid.centre(axis) + (mpr ? 0 : view.pan[axis])]),
    );
    this.tiles = this.tiles.map((tile, at) => ({ ...tile, scale: scales[at] }));
    const { tiles } = this;
    const shown = { tiles, mm, centre, window: view.window, windowText: view.windowText, width, height, mpr };
    clearTimeout(this.resting);
    if (this.webgl?.grid) {
      this.slices.clear();
      this.webgl.show(shown);
      if (this.isReduced && !mpr) this.resting = setTimeout(() => this.sharpen(shown), REST_MS);
    } else {
      this.sharpen(shown);
    }
    this.label(view, mm, tiles);
  }

  sharpen(shown) {
    this.slices.show(shown).then(
      (isShown) => isShown && (this.root.dataset.sharp = `${this.root.dataset.index}@${shown.windowText}`),
      () => this.say("A slice could not be fetched: reload the page.", true),
    );
  }

  label(view, mm, tiles) {
    const parts = tiles.flatMap((tile) => [...edgesOf(tile), rulerOf(tile)]);
    if (tiles.length > 1) parts.unshift(...tiles.flatMap((tile) => crossOf(tile, this.grid, mm)));
    this.overlay.replaceChildren(...parts);
    const axis = PLANES[view.layout === "mpr" ? "axial" : view.layout].axis;
    const index = this.grid.index(axis, mm[axis]);
    const beyond = this.grid.has(axis, this.place(view)[axis]) ? "" : " · the scan ends here";
    this.root.querySelector(".place").textContent =
      `slice ${index + 1} of ${this.grid.count[axis]} · ${signed(mm[axis])} mm from the key slice${beyond}`;
    Object.assign(this.root.dataset, { index, mm: mm[axis].toFixed(2), window: view.windowText });
    const drawn = this.webgl?.grid ? this.webgl.drawnMm : null;
    this.root.dataset.face = drawn ? "volume" : "slices";
    this.root.querySelector(".detail").textContent = detail(this.grid, drawn);
  }
}

function edgesOf({ plane, left, top, width, height }) {
  const middle = { x: left + width / 2, y: top + height / 2 };
  const at = { left: [left, middle.y], right: [left + width, middle.y], top: [middle.x, top], bottom: [middle.x, top + height] };
  return Object.entries(PLANES[plane].edges).map(([edge, letter]) => {
    const label = document.createElement("span");
    label.className = `edge ${edge}`;
    label.textContent = letter;
    [label.style.left, label.style.top] = at[edge].map((px) => `${px}px`);
    return label;
  });
}

/** Two thin lines where the other planes cut this one. */
function crossOf({ plane, left, top, width, height, scale }, grid, mm) {
  const { right, down, downwards } = PLANES[plane];
  const x = left + width / 2 + (mm[right] - grid.centre(right)) * scale;
  const y = top + height / 2 + (mm[down] - grid.centre(down)) * scale * downwards;
  const line = (name, at) => {
    const one = document.createElement("span");
    one.className = `cross ${name}`;
    for (const [side, px] of Object.entries(at)) one.style[side] = `${px}px`;
    return one;
  };
  return [line("upright", { left: x, top, height }), line("level", { left, top: y, width })];
}

function rulerOf({ left, top, width, height, scale }) {
  const mm = RULERS_MM.find((length) => length * scale >= LEAST_RULER_PX) ?? RULERS_MM.at(-1);
  const ruler = document.createElement("span");
  ruler.className = "ruler";
  ruler.textContent = `${mm} mm`;
  ruler.style.width = `${mm * scale}px`;
  ruler.style.left = `${left + width - 14 - mm * scale}px`;
  ruler.style.top = `${top + height - 12}px`;
  return ruler;
}

function detail(grid, drawn) {
  const own = `voxels ${size(grid.spacing)} mm`;
  return drawn && AXES.some((axis) => drawn[axis] > grid.spacing[axis] * 1.01) ? `${own}, drawn at ${size(drawn)} mm` : own;
}

function size(mm) {
  return ["left", "back", "up"].map((axis) => String(Math.round(mm[axis] * 100) / 100)).join(" × ");
}

export function signed(mm) {
  const rounded = Math.round(mm * 10) / 10;
  return rounded > 0 ? `+${rounded}` : String(rounded).replace("-", "−");
}
