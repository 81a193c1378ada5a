// Keys, wheel and mouse of the compare page, as changes of the view.

import { isWriting } from "./page.js";
import { PLANES } from "./viewer_grid.js";

const OFFSET_STEP_MM = 5;
const FINE_STEP_MM = 1;
const PAGE_SLICES = 10;
const LAYOUT_KEYS = { a: "axial", c: "coronal", s: "sagittal", m: "mpr" };
const WHEEL_PX = 60; // of a fine wheel or a touchpad, a slice
const HU_A_PX = 3;

export class Controls {
  constructor(view, panels, does) {
    Object.assign(this, { view, panels, does, wheel: 0 });
    document.addEventListener("keydown", (event) => this.key(event));
    for (const panel of panels) this.mouse(panel);
  }

  /** Scroll by slices of one volume; the other follows in millimetres. */
  scroll(panel, slices, plane = this.plane) {
    const { axis } = PLANES[plane];
    const { view } = this;
    const index = panel.grid.index(axis, panel.place(view)[axis]) + slices;
    const mm = panel.grid.mm(axis, Math.min(panel.grid.count[axis] - 1, Math.max(0, index)));
    view.move(axis, mm - (panel.isHit && axis === "up" ? view.offset : 0));
  }

  get plane() {
    return this.view.layout === "mpr" ? "axial" : this.view.layout;
  }

  get leading() {
    return this.panels.find((panel) => panel.grid) ?? null;
  }

  key(event) {
    if (isWriting(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const act = this.action(event.key);
    if (!act) return;
    event.preventDefault();
    act();
  }

  action(key) {
    const { view, leading } = this;
    if (!leading) return null;
    const presets = Object.values(view.presets);
    if (key >= "1" && key <= String(presets.length)) return () => view.set({ window: presets[Number(key) - 1] });
    if (LAYOUT_KEYS[key]) return () => view.set({ layout: LAYOUT_KEYS[key] });
    return {
      ArrowUp: () => this.scroll(leading, 1),
      ArrowDown: () => this.scroll(leading, -1),
      PageUp: () => this.scroll(leading, PAGE_SLICES),
      PageDown: () => this.scroll(leading, -PAGE_SLICES),
      Home: () => view.set({ mm: { up: 0, back: 0, left: 0 } }),
      "[": () => view.shift(view.offset - OFFSET_STEP_MM),
      "]": () => view.shift(view.offset + OFFSET_STEP_MM),
      "{": () => view.shift(view.offset - FINE_STEP_MM),
      "}": () => view.shift(view.offset + FINE_STEP_MM),
      0: () => view.shift(0),
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      x: () => view.set({ sameScale: !view.sameScale }),
      r: () => this.does.reset(),
      f: () => this.does.full(),
      n: () => this.does.other(1),
      p: () => this.does.other(-1),
    }[key];
  }

  zoom(factor) {
    if (this.view.layout !== "mpr") this.view.set({ zoom: Math.min(12, Math.max(0.5, this.view.zoom * factor)) });
  }

  mouse(panel) {
    const { stage } = panel;
    stage.addEventListener("wheel", (event) => this.turned(panel, event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.pressed(panel, event));
    stage.addEventListener("dblclick", () => this.does.reset());
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  turned(panel, event) {
    if (!panel.grid) return;
    event.preventDefault();
    const px = event.deltaMode === 0 ? event.deltaY : event.deltaY * 40;
    if (event.ctrlKey) {
      this.zoom(px < 0 ? 1.1 : 1 / 1.1);
      return;
    }
    this.wheel += px;
    const slices = -Math.trunc(this.wheel / WHEEL_PX) || (Math.abs(px) >= WHEEL_PX ? -Math.sign(px) : 0);
    if (!slices) return;
    this.wheel = 0;
    if (event.altKey && panel.isHit) this.view.shift(this.view.offset + slices * panel.grid.spacing.up);
    else this.scroll(panel, slices, this.tileAt(panel, event)?.plane);
  }

  tileAt(panel, event) {
    const box = panel.stage.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const inside = (tile) => x >= tile.left && x < tile.left + tile.width && y >= tile.top && y < tile.top + tile.height;
    const tile = panel.tiles.find(inside);
    return tile && { ...tile, x: x - tile.left - tile.width / 2, y: y - tile.top - tile.height / 2 };
  }

  pressed(panel, event) {
    if (!panel.grid || event.button === 1) return;
    const { view } = this;
    const tile = this.tileAt(panel, event);
    if (!tile) return;
    if (view.layout === "mpr" && event.button === 0 && !event.shiftKey) {
      this.goTo(panel, tile);
      return;
    }
    const from = { x: event.clientX, y: event.clientY, window: view.window, pan: view.pan };
    const moved = event.shiftKey && view.layout !== "mpr" ? this.panned(panel, tile, from) : this.windowed(from);
    const stop = new AbortController();
    panel.stage.setPointerCapture(event.pointerId);
    panel.stage.addEventListener("pointermove", moved, { signal: stop.signal });
    for (const end of ["pointerup", "pointercancel"]) {
      panel.stage.addEventListener(end, () => stop.abort(), { signal: stop.signal });
    }
  }

  windowed(from) {
    return (event) => {
      const width = Math.max(1, Math.round(from.window.width_hu + (event.clientX - from.x) * HU_A_PX));
      const level = Math.round(from.window.level_hu + (event.clientY - from.y) * HU_A_PX);
      this.view.set({ window: { width_hu: Math.min(8000, width), level_hu: Math.min(4000, Math.max(-2000, level)) } });
    };
  }

  panned(panel, tile, from) {
    const { right, down, downwards } = PLANES[tile.plane];
    return (event) => {
      const pan = { ...from.pan };
      pan[right] -= (event.clientX - from.x) / tile.scale;
      pan[down] -= ((event.clientY - from.y) / tile.scale) * downwards;
      this.view.set({ pan });
    };
  }

  /** In MPR a click says where the three planes meet. */
  goTo(panel, tile) {
    const { right, down, downwards } = PLANES[tile.plane];
    const place = { ...panel.place(this.view) };
    place[right] = panel.grid.centre(right) + tile.x / tile.scale;
    place[down] = panel.grid.centre(down) + (tile.y / tile.scale) * downwards;
    const mm = Object.fromEntries(Object.entries(place).map(([axis, at]) => [axis, panel.grid.mm(axis, panel.grid.index(axis, at))]));
    if (panel.isHit) mm.up -= this.view.offset;
    this.view.set({ mm });
  }
}
