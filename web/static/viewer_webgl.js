// A volume drawn by NiiVue from a NIfTI that the server made; nothing of NiiVue's own mouse, keys or labels.

import { AXES, PLANES } from "./viewer_grid.js";
import { refusal } from "./page.js";

const SLICE_TYPE = { axial: 0, coronal: 1, sagittal: 2 };
const SLACK_PX = 0.01;
const TO_WORLD = { left: -1, back: -1, up: 1 }; // NIfTI counts to the right, front and up

export function webglRenderer() {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) return null;
  const told = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(told ? told.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return { name, isSoftware: /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name) };
}

export class WebglFace {
  constructor(stage) {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "voxels";
    stage.prepend(this.canvas);
    this.busy = Promise.resolve();
  }

  async begin() {
    this.niivue = new globalThis.niivue.Niivue({
      interactive: false,
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isOrientationTextVisible: false,
      isSliceMM: true,
      show3Dcrosshair: false,
      crosshairWidth: 0,
      isColorbar: false,
      isResizeCanvas: false,
      backColor: [0, 0, 0, 1],
      loadingText: "",
      logLevel: "error",
      isAntiAlias: false,
    });
    // Tiles have the volume's shape, in whole pixels: fitted once more, they would end between pixels.
    this.niivue.calculateWidthHeight = (_plane, _shape, width, height) => [width, height];
    await this.niivue.attachToCanvas(this.canvas, false);
  }

  /** Fetch a NIfTI and show it in place of what was shown. */
  async load(address, grid, window) {
    const response = await fetch(address);
    if (!response.ok) throw new Error(await refusal(response));
    const voxels = await response.arrayBuffer();
    const gzipped = response.headers.get("content-type").includes("gzip");
    const before = [...this.niivue.volumes];
    this.grid = null;
    for (const volume of before) this.niivue.removeVolume(volume);
    await this.niivue.loadFromArrayBuffer(voxels, gzipped ? "volume.nii.gz" : "volume.nii");
    this.grid = grid;
    this.window = null;
    this.calibrate(window);
  }

  /** As many pixels as the screen has there, before anything is drawn: NiiVue's own resizing comes later. */
  resize(width, height) {
    const ratio = globalThis.devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide) this.canvas.width = wide;
    if (this.canvas.height !== high) this.canvas.height = high;
    this.canvas.style.width = `${wide / ratio}px`;
    this.canvas.style.height = `${high / ratio}px`;
  }

  calibrate(window) {
    if (this.window === window) return;
    const volume = this.niivue.volumes[0];
    volume.cal_min = window.level_hu - window.width_hu / 2;
    volume.cal_max = window.level_hu + window.width_hu / 2;
    this.niivue.updateGLVolume();
    this.window = window;
  }

  /** Draw tiles {plane, left, top, width, height, scale} at a place, about a centre, in mm. */
  show({ tiles, mm, centre, window, width, height, mpr }) {
    if (!this.grid) return;
    const nv = this.niivue;
    this.resize(width, height);
    this.calibrate(window);
    nv.scene.crosshairPos = nv.mm2frac(world(mm));
    if (mpr) {
      nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
      nv.customLayout = tiles.map((tile) => this.tight(tile));
    } else {
      const [tile] = tiles;
      const zoom = tile.scale / this.grid.fit(tile.plane, width, height);
      const middle = world(Object.fromEntries(AXES.map((axis) => [axis, this.grid.centre(axis)])));
      const wanted = world(centre);
      nv.scene.pan2Dxyzmm = [...middle.map((at, axis) => at - wanted[axis] * zoom), zoom];
      nv.customLayout = null;
      nv.opts.sliceType = SLICE_TYPE[tile.plane];
    }
    nv.drawScene();
  }

  /** The part of a tile that the volume fills at the tile's scale, in whole pixels of the screen. */
  tight(tile) {
    const { right, down } = PLANES[tile.plane];
    const { width: wide, height: high } = this.canvas;
    const w = this.pixels(Math.min(tile.width, this.grid.extent(right) * tile.scale));
    const h = this.pixels(Math.min(tile.height, this.grid.extent(down) * tile.scale));
    const left = Math.min(wide - w, Math.round(this.pixels(2 * tile.left + tile.width) / 2 - w / 2));
    const top = Math.min(high - h, Math.round(this.pixels(2 * tile.top + tile.height) / 2 - h / 2));
    const [x, y] = [left + SLACK_PX, top - 2 * SLACK_PX]; // NiiVue's shares of the canvas become pixels by cutting off
    const position = [x / wide, y / high, (w + SLACK_PX / 2) / wide, (h + SLACK_PX) / high];
    return { sliceType: SLICE_TYPE[tile.plane], position };
  }

  pixels(css) {
    return Math.round(css * (globalThis.devicePixelRatio || 1));
  }

  /** The size of what is drawn, mm, along the finest axis. */
  get drawnMm() {
    const header = this.niivue.volumes[0]?.hdr;
    return header ? { left: header.pixDims[1], back: header.pixDims[2], up: header.pixDims[3] } : null;
  }

  end() {
    this.niivue?.cleanup();
    this.niivue?.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.canvas.remove();
  }
}

function world(mm) {
  return ["left", "back", "up"].map((axis) => TO_WORLD[axis] * mm[axis]);
}
