"""The healthy chest, drawn: body wall, bones, lungs with their vessels and airways, mediastinum, table."""

from dataclasses import dataclass

import numpy as np

from retrieval.datasets.phantom.anatomy import Anatomy, Side
from retrieval.datasets.phantom.canvas import Canvas, Floats, Frame, Point, Segments, floats, inside, texture
from retrieval.datasets.phantom.vessels import lung_tree

FAT_HU, MUSCLE_HU, SKIN_HU = -105.0, 52.0, 10.0
MEDIASTINAL_FAT_HU = -95.0
CORTEX_HU, MARROW_HU, DISC_HU, CANAL_HU = 620.0, 190.0, 80.0, 25.0
SIDES: tuple[Side, Side] = ("right", "left")


@dataclass(frozen=True, slots=True, kw_only=True)
class Positioning:
    """How the patient lies: nothing a radiologist would report.

    Attributes:
        table_y_mm: gap between back and table.
        table_curve_mm: how much the table's edges rise; 0 is a flat table.
        shift_mm: the patient's middle from the field of view's, (z, x, y).
    """

    table_gap_mm: float = 4.0
    table_curve_mm: float = 15.0
    shift_mm: Point = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Chest:
    """A drawn chest in the making.

    What lies in the lungs is drawn on a canvas of its own, as if lung were everywhere; `close` lays it into
    the chest. So a voxel on the pleura is the right mixture of what lies on either side.

    Attributes:
        anatomy: the measures it is drawn from.
        canvas: voxels of all but the lungs, and of everything once closed.
        lung_canvas: voxels of the lungs.
        lungs: occupancy of the lungs, 0 to 1.
        depth_mm: distance inside the pleura, mm.
        above_mm: height above the diaphragm, mm.
    """

    anatomy: Anatomy
    canvas: Canvas
    lung_canvas: Canvas
    lungs: Floats
    depth_mm: Floats
    above_mm: Floats

    @property
    def frame(self) -> Frame:
        """Where the voxels lie."""
        return self.canvas.frame

    def close(self) -> None:
        """Lay the lungs into the chest."""
        self.canvas.blend(self.lungs, self.lung_canvas.hu)


def draw_wall(anatomy: Anatomy, positioning: Positioning, frame: Frame) -> Chest:
    """Draw table, body wall, ribs, abdomen and air-filled lungs: the ground that findings are drawn on."""
    canvas = Canvas.of_air(frame)
    z, x, y = frame.axes
    depth = anatomy.cavity_depth(z, x, y)
    above = z - anatomy.diaphragm(x, y)
    edge = frame.edge_mm
    _draw_table(canvas, anatomy, positioning)
    _draw_soft_wall(canvas, anatomy)
    _draw_ribs(canvas, anatomy, depth)
    cavity = inside(-depth, edge)
    canvas.blend(cavity, MEDIASTINAL_FAT_HU)
    _draw_abdomen(canvas, anatomy, cavity, above)
    medial = np.abs(x) - anatomy.mediastinum_half_width(z, y)
    lungs = inside(-np.minimum(np.minimum(depth, above), medial), edge)
    return Chest(anatomy, canvas, Canvas(frame, _parenchyma(anatomy, frame)), lungs, depth, above)


def _parenchyma(anatomy: Anatomy, frame: Frame) -> Floats:
    """Aerated lung: denser where it hangs (lying on the back), with a faint texture."""
    everything = (slice(None), slice(None), slice(None))
    dependent = 22 * frame.axes[2] / anatomy.half_depth
    return anatomy.lung_hu + dependent + 9 * texture(frame, everything, seed=anatomy.seed, cell_mm=16)


def _draw_table(canvas: Canvas, anatomy: Anatomy, positioning: Positioning) -> None:
    frame = canvas.frame
    x = frame.axis(1)[:, None] + 0.0
    y = frame.axis(2)[None, :]
    back = anatomy.half_depth + 0.9 * (anatomy.muscle + anatomy.fat) + positioning.table_gap_mm
    surface = y - (back - positioning.table_curve_mm * np.minimum((x / 200) ** 2, 1.2))
    edge = frame.spacing_mm[2]
    shell = inside(np.abs(surface - 2) - 1.5, edge) + inside(np.abs(surface - 32) - 1.5, edge)
    foam = inside(np.abs(surface - 17) - 14, edge)
    within = inside(np.abs(x) - 205, frame.spacing_mm[1])
    canvas.blend((foam * within)[None], -930.0)
    canvas.blend((np.minimum(shell, 1) * within)[None], -250.0)


def _outline(anatomy: Anatomy, frame: Frame, wall_mm: float, shoulders_mm: float) -> Floats:
    """Distance inside a body outline that lies `wall_mm` outside the ribs and widens to the shoulders."""
    z, x, y = frame.axes
    t = np.clip((z - anatomy.bottom) / anatomy.height, 0, 1.15)
    high = np.clip((t - 0.45) / 0.55, 0, 1.2)
    half_width = anatomy.half_width + wall_mm + shoulders_mm * high
    half_depth = anatomy.half_depth + 0.9 * wall_mm - 0.17 * anatomy.half_depth * high**2
    middle = 14 * high**2
    scale = np.minimum(half_width, half_depth) / 2.3
    across = scale * (np.abs(x) / half_width) ** 2.3
    return floats((scale - across) - scale * (np.abs(y - middle) / half_depth) ** 2.3)


def _draw_soft_wall(canvas: Canvas, anatomy: Anatomy) -> None:
    frame = canvas.frame
    edge = frame.edge_mm
    skin = _outline(anatomy, frame, anatomy.muscle + anatomy.fat, 22.0)
    if anatomy.sex == "F":
        _draw_breasts(canvas, anatomy)
    canvas.blend(inside(-skin, edge), SKIN_HU)
    canvas.blend(inside(2.0 - skin, edge), FAT_HU)
    muscle = _outline(anatomy, frame, anatomy.muscle, 26.0)
    everything = (slice(None), slice(None), slice(None))
    marbling = texture(frame, everything, seed=anatomy.seed + 1, cell_mm=15)
    marbling -= np.float32(0.9)
    np.clip(marbling, 0.0, 0.8, out=marbling)
    canvas.blend(inside(-muscle, edge), MUSCLE_HU - 130 * marbling)
    for side in (-1.0, 1.0):  # fat of the armpits, between the shoulder muscles and the ribs
        centre = (0.28 * anatomy.height, side * (anatomy.half_width - 2), -4.0)
        canvas.ellipsoid(centre, (42, 13, 26), FAT_HU)
        _draw_scapula(canvas, anatomy, side)


def _draw_breasts(canvas: Canvas, anatomy: Anatomy) -> None:
    thick = 10 + 0.75 * anatomy.fat
    front = -(anatomy.half_depth + 0.8 * anatomy.muscle + 0.35 * anatomy.fat)
    for side in (-1.0, 1.0):
        centre = (-0.02 * anatomy.height, side * 0.52 * anatomy.half_width, front)
        canvas.ellipsoid(centre, (58, 52, thick), SKIN_HU)
        canvas.ellipsoid(centre, (56, 50, thick - 2), FAT_HU)
        canvas.ellipsoid((centre[0], centre[1], centre[2] - 2), (26, 26, 0.45 * thick), 20.0, opacity=0.7)


def _draw_scapula(canvas: Canvas, anatomy: Anatomy, side: float) -> None:
    turn = side * 0.75
    tilt = floats([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    centre = (0.30 * anatomy.height, side * 0.80 * anatomy.half_width, 0.72 * anatomy.half_depth + 10)
    canvas.ellipsoid(centre, (52, 36, 4.0), CORTEX_HU * 0.7, tilt=tilt)
    head = (0.44 * anatomy.height, side * (anatomy.half_width + 8), 12.0)
    canvas.ellipsoid(head, (20, 19, 19), 260.0)


def _draw_ribs(canvas: Canvas, anatomy: Anatomy, depth: Floats) -> None:
    """Twelve slanting hoops in the wall; in front they turn to cartilage."""
    frame = canvas.frame
    z, _, y = frame.axes
    phase = (z + 0.55 * y) / 27.0
    off_axis = np.abs(phase - np.round(phase)) * (27.0 / 6.5)
    front = np.clip((y + 0.62 * anatomy.half_depth) / 12, 0, 1)
    low = np.clip((z - anatomy.bottom + 45) / 10, 0, 1)
    section = (depth + np.float32(6.5)) * np.float32(1 / 4.8)
    section *= section
    section += off_axis**2
    np.sqrt(section, out=section)
    section -= 1
    section *= np.float32(4.8)
    occupancy = inside(section, frame.edge_mm)
    occupancy *= low
    section += 1.6
    marrow = inside(section, frame.edge_mm)
    canvas.blend(occupancy, (130.0 + 520.0 * front) - marrow * (480.0 * front))


def _draw_abdomen(canvas: Canvas, anatomy: Anatomy, cavity: Floats, above: Floats) -> None:
    """Liver on the right, spleen and stomach on the left, fat between."""
    frame = canvas.frame
    depth_z = int(np.searchsorted(frame.axis(0), anatomy.bottom + anatomy.dome + 8)) + 1
    low = (slice(0, depth_z), slice(None), slice(None))
    _, x, y = frame.axes_in(low)
    below = cavity[low] * inside(above[low] + 2.0, frame.edge_mm)
    canvas.blend(below, 45.0 * inside(above[low] + 5.0, frame.edge_mm) + MUSCLE_HU * 0, low)
    canvas.blend(below * inside(above[low] + 6.0, frame.edge_mm), FAT_HU, low)
    liver = inside(
        np.maximum(x - 0.22 * anatomy.half_width + 0.25 * (y + 20), above[low] + 4.0), frame.edge_mm
    )
    canvas.blend(below * liver, anatomy.liver_hu, low)
    half, base = anatomy.half_width, anatomy.bottom + anatomy.dome - anatomy.dome_drop
    canvas.ellipsoid(
        (base - 45, 0.62 * half, 0.42 * anatomy.half_depth), (40, 32, 36), 50.0, within_DHW=cavity
    )
    stomach = (base - 42, 0.40 * half, -0.20 * anatomy.half_depth)
    canvas.ellipsoid(stomach, (34, 36, 34), 35.0, within_DHW=cavity)
    canvas.ellipsoid((stomach[0] + 2, stomach[1], stomach[2] - 8), (25, 28, 20), -960.0, within_DHW=cavity)


def draw_lung_vessels(chest: Chest) -> None:
    """Draw arteries, veins and bronchi into the lungs."""
    trees = [lung_tree(chest.anatomy, side) for side in SIDES]
    vessels = Segments.joined([part for tree in trees for part in (tree.arteries, tree.veins)])
    chest.lung_canvas.tubes(vessels, chest.anatomy.blood_hu)
    bronchi = Segments.joined([tree.airways.chosen(tree.level <= 4) for tree in trees])
    chest.lung_canvas.tubes(bronchi.widened(0.9), 0.0)
    chest.lung_canvas.tubes(bronchi, -960.0)


def draw_spine(chest: Chest) -> None:
    """Draw vertebrae, discs, canal, sternum and clavicles."""
    anatomy, canvas, frame = chest.anatomy, chest.canvas, chest.frame
    window = frame.window((-400, -50, anatomy.spine_y - 25), (400, 50, anatomy.spine_y + 70))
    z, x, y = frame.axes_in(window)
    x, y = x - anatomy.spine_x(z), y - anatomy.spine_y
    edge = frame.edge_mm
    level = np.abs(z / 25 - np.round(z / 25)) * 25
    disc, mid = inside(level - 2.5, edge), inside(6.0 - level, edge)
    body = (np.hypot(x / 17, y / 14) - 1) * 14
    arch = np.hypot(x, y - 23)
    process = np.maximum(np.abs(x) - 3.5, np.abs(y - 44) - 12)
    wings = np.maximum(np.abs(x) - 34, np.abs(y - 22 - 0.25 * np.abs(x)) - 5)
    canvas.blend(inside(np.minimum(process, wings), edge) * mid, 420.0, window)
    canvas.blend(inside(arch - 14, edge) * (1 - 0.6 * disc), 480.0, window)
    canvas.blend(inside(arch - 9, edge), CANAL_HU, window)
    canvas.blend(inside(body, edge), anatomy.bone_hu, window)
    canvas.blend(inside(body + 2, edge), MARROW_HU * (1 - disc) + DISC_HU * disc, window)
    _draw_front_bones(canvas, anatomy)


def _draw_front_bones(canvas: Canvas, anatomy: Anatomy) -> None:
    heights = np.linspace(0.02, 0.36, 6) * anatomy.height
    _, deep, middle = anatomy.widths(floats(heights))
    path = [(float(h), 0.0, float(m - d - 7)) for h, d, m in zip(heights, deep, middle, strict=True)]
    sternum = [Segments.along([(h, shift, p) for h, _, p in path], 6.0) for shift in (-10.0, 0.0, 10.0)]
    canvas.tubes(Segments.joined(sternum), 230.0)
    clavicles = []
    for side in (-1.0, 1.0):
        head = (path[-1][0] + 6, side * 18, path[-1][2])
        shoulder = (0.47 * anatomy.height, side * anatomy.half_width, 6.0)
        clavicles.append(Segments.along([head, shoulder], 6.0))
    canvas.tubes(Segments.joined(clavicles), 480.0)


def aorta_path(anatomy: Anatomy) -> tuple[Floats, Floats]:
    """Centre line of the thoracic aorta: ascending (A, 3), then arch and descending (B, 3), mm."""
    cz, hz = anatomy.carina[0], anatomy.heart_centre[0]
    back = anatomy.spine_y - 10
    ascending = [
        (hz + 0.55 * anatomy.heart_radii[0], 0.0, -22.0),
        (cz - 12, -10.0, -24.0),
        (cz + 12, -9.0, -22.0),
    ]
    arch = [
        (cz + 12, -9.0, -22.0),
        (cz + 24, -3.0, -15.0),
        (cz + 30, 6.0, -2.0),
        (cz + 28, 15.0, 14.0),
        (cz + 17, 21.0, 28.0),
        (cz, 23.0, 0.5 * (28 + back)),
        (cz - 40, 24.0, back),
        (anatomy.bottom + 40, 19.0, back),
        (anatomy.bottom - 70, 8.0, back),
    ]
    return floats(ascending), floats(arch)


def draw_mediastinum(chest: Chest, *, pericardial_mm: float) -> None:
    """Draw heart (in so much pericardial fluid), great vessels, trachea, main bronchi, oesophagus."""
    anatomy, canvas = chest.anatomy, chest.canvas
    cz = anatomy.carina[0]
    draw_heart(chest, layer_mm=pericardial_mm)
    canvas.tubes(Segments.joined(_great_vessels(anatomy)), anatomy.blood_hu)
    top = (anatomy.top + 40, 4.0, 24.0)
    oesophagus = [top, (cz, 6.0, 27.0), (anatomy.bottom + 30, 8.0, 30.0)]
    canvas.tubes(Segments.along(oesophagus, 6.5), 35.0)
    canvas.tubes(Segments.along(oesophagus[:2], 1.5), -700.0)
    _draw_airway(canvas, anatomy)


def _great_vessels(anatomy: Anatomy) -> list[Segments]:
    """Aorta with its branches, pulmonary arteries, venae cavae."""
    cz = anatomy.carina[0]
    hz, hx, hy = anatomy.heart_centre
    ascending, arch = aorta_path(anatomy)
    radius, trunk = anatomy.ascending_aorta / 2, anatomy.pulmonary_trunk / 2
    fork = (cz - 16, 20.0, -14.0)
    superior = [(hz + 20, -22.0, -6.0), (cz + 40, -22.0, -6.0), (anatomy.top + 5, -26.0, -10.0)]
    return [
        Segments.along(ascending, radius),
        Segments.along(arch, 0.9 * radius, 0.66 * radius),
        Segments.along([(hz + 25, hx, hy - 14), fork], trunk),
        Segments.along([fork, (cz - 18, -6.0, -6.0), anatomy.hilum("right")], 0.8 * trunk),
        Segments.along([fork, anatomy.hilum("left")], 0.8 * trunk),
        Segments.along(superior, 8.5),
        Segments.along([(hz, -20.0, 5.0), (anatomy.bottom - 70, -24.0, 18.0)], 10.0),
        *(Segments.along([start, end], 5.0) for start, end in _arch_branches(anatomy)),
    ]


def _arch_branches(anatomy: Anatomy) -> list[tuple[Point, Point]]:
    cz, top = anatomy.carina[0], anatomy.top
    return [
        ((cz + 30, -4.0, -14.0), (top + 30, -26.0, 0.0)),
        ((cz + 32, 6.0, -4.0), (top + 30, 20.0, 2.0)),
        ((cz + 30, 14.0, 8.0), (top + 30, 30.0, 10.0)),
    ]


def _draw_airway(canvas: Canvas, anatomy: Anatomy) -> None:
    cz, cx, cy = anatomy.carina
    trachea = Segments.along([(anatomy.top + 40, 0.0, 0.0), (cz, cx, cy)], 8.5)
    parts = [trachea]
    for side in SIDES:
        z, x, y = anatomy.hilum(side)
        parts.append(Segments.along([(cz + 2, cx, cy), (z + 6, 1.15 * x, y - 1)], 6.5, 5.5))
    airway = Segments.joined(parts)
    canvas.tubes(airway.widened(1.6), 30.0)
    canvas.tubes(airway, -985.0)
    for sign in (-1.0, 1.0):  # the thyroid
        canvas.ellipsoid((anatomy.top + 18, sign * 17.0, -4.0), (20, 8, 9), 105.0)


def draw_heart(chest: Chest, *, layer_mm: float) -> None:
    """Draw the heart, with the fluid of a pericardial effusion of `layer_mm` around it when there is one."""
    anatomy, frame = chest.anatomy, chest.frame
    centre, radii = anatomy.heart_centre, anatomy.heart_radii
    reach = max(radii) * 1.35 + layer_mm + 8
    window = frame.around(centre, reach)
    z, x, y = (a - np.float32(c) for a, c in zip(frame.axes_in(window), centre, strict=True))
    lean = z + 0.30 * x - 0.15 * y
    lying = y + 0.18 * x
    square = (lean / radii[0]) ** 2 + (x / radii[1]) ** 2 + (lying / radii[2]) ** 2
    distance = (np.sqrt(square) - 1) * min(radii)
    wall = inside(-(chest.depth_mm[window] - 2), frame.edge_mm)
    roof = wall * inside(-(chest.above_mm[window] + 12), frame.edge_mm)
    for outer, hu in ((layer_mm + 4, MEDIASTINAL_FAT_HU), (layer_mm + 1, 12.0 if layer_mm else 30.0)):
        chest.canvas.blend(roof * inside(distance - outer, frame.edge_mm), hu, window)
    if layer_mm:
        chest.canvas.blend(roof * inside(distance - 1, frame.edge_mm), -60.0, window)
    chest.canvas.blend(roof * inside(distance + 1, frame.edge_mm), anatomy.blood_hu, window)
