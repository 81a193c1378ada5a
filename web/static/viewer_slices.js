// A volume drawn from the server's PNG slices at full resolution: where WebGL2 is missing, and when scrolling rests.

import { PLANES } from "./viewer_grid.js";

const MOST_KEPT = 80; // pictures in memory a volume, some 20 MB
const AHEAD = 2; // slices fetched on either side of the one shown

export class SliceFace {
  constructor(stage) {
    this.layer = document.createElement("div");
    this.layer.className = "slices";
    stage.prepend(this.layer);
    this.pictures = new Map();
    this.turn = 0;
  }

  begin(address, grid) {
    this.address = address;
    this.grid = grid;
    this.pictures.clear();
    this.layer.replaceChildren();
  }

  /** Draw tiles at a place; resolves to false when something newer is wanted meanwhile. */
  async show({ tiles, mm, centre, windowText }) {
    const turn = ++this.turn;
    const wanted = tiles.map((tile) => ({ tile, address: this.slice(tile.plane, mm, windowText, 0) }));
    try {
      const pictures = await Promise.all(wanted.map(({ address }) => this.fetched(address)));
      if (turn !== this.turn) return false;
      this.layer.replaceChildren(...pictures.map((picture, at) => this.placed(picture, tiles[at], centre)));
    } catch (problem) {
      if (turn !== this.turn) return false;
      throw problem;
    }
    if (tiles.length === 1) this.ahead(tiles[0].plane, mm, windowText);
    return true;
  }

  slice(plane, mm, windowText, further) {
    const { axis } = PLANES[plane];
    const index = Math.min(this.grid.count[axis] - 1, Math.max(0, this.grid.index(axis, mm[axis]) + further));
    return `${this.address}?${new URLSearchParams({ plane, index, window: windowText })}`;
  }

  placed(picture, tile, centre) {
    const { right, down, downwards } = PLANES[tile.plane];
    const frame = document.createElement("div");
    frame.className = "frame";
    place(frame, tile.left, tile.top, tile.width, tile.height);
    const width = this.grid.extent(right) * tile.scale;
    const height = this.grid.extent(down) * tile.scale;
    const aside = (this.grid.centre(right) - centre[right]) * tile.scale;
    const below = (this.grid.centre(down) - centre[down]) * tile.scale * downwards;
    place(picture, (tile.width - width) / 2 + aside, (tile.height - height) / 2 + below, width, height);
    frame.append(picture);
    return frame;
  }

  ahead(plane, mm, windowText) {
    for (let step = 1; step <= AHEAD; step += 1) {
      for (const further of [step, -step]) this.fetched(this.slice(plane, mm, windowText, further)).catch(() => {});
    }
  }

  /** A picture, decoded; kept, since the browser keeps none. */
  fetched(address) {
    const kept = this.pictures.get(address);
    this.pictures.delete(address);
    const picture = kept ?? load(address);
    this.pictures.set(address, picture);
    picture.catch(() => this.pictures.delete(address));
    if (this.pictures.size > MOST_KEPT) this.pictures.delete(this.pictures.keys().next().value);
    return picture;
  }

  clear() {
    this.turn += 1;
    this.layer.replaceChildren();
  }
}

async function load(address) {
  const picture = new Image();
  picture.alt = "";
  picture.draggable = false;
  picture.src = address;
  await picture.decode();
  return picture;
}

function place(element, left, top, width, height) {
  element.style.left = `${left}px`;
  element.style.top = `${top}px`;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
}
