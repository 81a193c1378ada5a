// Where voxels lie, in the patient's directions: up, back and left. Millimetres are counted from the key slice.

export const AXES = ["up", "back", "left"];

/** Which axis each plane cuts, and which runs right and down on the screen; -1: against the patient's direction. */
export const PLANES = {
  axial: { axis: "up", right: "left", down: "back", downwards: 1, edges: { left: "R", right: "L", top: "A", bottom: "P" } },
  coronal: { axis: "back", right: "left", down: "up", downwards: -1, edges: { left: "R", right: "L", top: "S", bottom: "I" } },
  sagittal: { axis: "left", right: "back", down: "up", downwards: -1, edges: { left: "A", right: "P", top: "S", bottom: "I" } },
};

const FROM_SERVER = { up: "slices", back: "rows", left: "columns" };

/** The tiles of a layout: a plane, and left, top, width, height as shares of the stage. */
export function tilesOf(layout) {
  if (layout !== "mpr") return [{ plane: layout, box: [0, 0, 1, 1] }];
  return [
    { plane: "axial", box: [0, 0, 0.58, 1] },
    { plane: "coronal", box: [0.58, 0, 0.42, 0.5] },
    { plane: "sagittal", box: [0.58, 0.5, 0.42, 0.5] },
  ];
}

export class Grid {
  constructor(geometry) {
    const of = (name) => Object.fromEntries(AXES.map((axis) => [axis, geometry[name][FROM_SERVER[axis]]]));
    this.count = of("shape");
    this.spacing = of("spacing_mm");
    this.key = of("key");
  }

  /** The slice nearest to a place, whether there is one or not. */
  unbounded(axis, mm) {
    return Math.round(this.key[axis] + mm / this.spacing[axis]);
  }

  index(axis, mm) {
    return Math.min(this.count[axis] - 1, Math.max(0, this.unbounded(axis, mm)));
  }

  has(axis, mm) {
    const index = this.unbounded(axis, mm);
    return index >= 0 && index < this.count[axis];
  }

  mm(axis, index) {
    return (index - this.key[axis]) * this.spacing[axis];
  }

  extent(axis) {
    return this.count[axis] * this.spacing[axis];
  }

  centre(axis) {
    return this.mm(axis, (this.count[axis] - 1) / 2);
  }

  /** Pixels a millimetre at which a plane just fits. */
  fit(plane, width, height) {
    const { right, down } = PLANES[plane];
    return Math.min(width / this.extent(right), height / this.extent(down));
  }
}
