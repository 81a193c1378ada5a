// What is looked at: plane, window, place, offset, scale. One value for both volumes, and the address says it.

import { AXES } from "./viewer_grid.js";

export const LAYOUTS = ["axial", "coronal", "sagittal", "mpr"];
const MOST_OFFSET_MM = 500;

export class View {
  constructor(presets) {
    this.presets = presets;
    this.listeners = [];
    this.layout = "axial";
    this.window = presets.lung;
    this.mm = { up: 0, back: 0, left: 0 }; // of the question; the hit is looked at `offset` further up
    this.offset = 0;
    this.zoom = 1;
    this.pan = { up: 0, back: 0, left: 0 };
    this.sameScale = true;
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  set(change) {
    Object.assign(this, change);
    for (const listener of this.listeners) listener();
  }

  move(axis, mm) {
    this.set({ mm: { ...this.mm, [axis]: mm } });
  }

  shift(mm) {
    this.set({ offset: Math.round(Math.min(MOST_OFFSET_MM, Math.max(-MOST_OFFSET_MM, mm)) * 10) / 10 });
  }

  get preset() {
    return Object.keys(this.presets).find((name) => sameWindow(this.presets[name], this.window)) ?? null;
  }

  get windowText() {
    return `${this.window.width_hu},${this.window.level_hu}`;
  }

  /** Take what an address says; what it does not say stays. */
  read(parameters) {
    const layout = parameters.get("plane");
    if (LAYOUTS.includes(layout)) this.layout = layout;
    const window = parameters.get("window") ?? "";
    const [width, level] = window.split(",").map(Number);
    if (this.presets[window]) this.window = this.presets[window];
    else if (width >= 1 && Number.isFinite(level)) this.window = { width_hu: width, level_hu: level };
    const offset = Number(parameters.get("z"));
    if (Number.isFinite(offset)) this.offset = Math.min(MOST_OFFSET_MM, Math.max(-MOST_OFFSET_MM, offset));
    const place = (parameters.get("at") ?? "").split(",").map(Number);
    if (place.length === 3 && place.every(Number.isFinite)) {
      this.mm = Object.fromEntries(AXES.map((axis, position) => [axis, place[position]]));
    }
    if (parameters.get("scale") === "own") this.sameScale = false;
  }

  /** Say in an address what is looked at; what is usual is left out. */
  write(parameters) {
    const say = (name, value, usual) => (value === usual ? parameters.delete(name) : parameters.set(name, value));
    say("plane", this.layout, "axial");
    say("window", this.preset ?? this.windowText, "lung");
    say("z", String(this.offset), "0");
    say("at", AXES.map((axis) => Math.round(this.mm[axis] * 10) / 10).join(","), "0,0,0");
    say("scale", this.sameScale ? "same" : "own", "same");
  }
}

function sameWindow(one, other) {
  return one.width_hu === other.width_hu && one.level_hu === other.level_hu;
}
