// The map: dots on a canvas, and the same cases as a list.

import { refusal } from "./page.js";

const canvas = document.getElementById("map");
const at = document.getElementById("map-at");
const form = document.getElementById("map-form");
const finding = document.getElementById("finding");
const legend = document.getElementById("legend");
const list = document.getElementById("map-list");
const shown = canvas.getContext("2d");
const dots = document.createElement("canvas"); // drawn anew when something changes; the ring goes over a copy
const pen = dots.getContext("2d");
const LISTED = 200;
const REACH_PX = 12;
const PALETTES = {
  dark: { ground: "#0d1012", none: "#59666e", absent: "#6f98ad", present: "#ffb454", ring: "#ffffff", sets: ["#7cc0e0", "#ffb454", "#8fd0ae", "#d7a1e8", "#f0938f", "#e6e08a"] },
  light: { ground: "#ffffff", none: "#b4bec4", absent: "#5e93ad", present: "#b34a00", ring: "#000000", sets: ["#0b5f86", "#b34a00", "#14613a", "#7a2f92", "#a3201b", "#6d6300"] },
};
let data = { points: [], datasets: [] };
let view = { x: 0, y: 0, zoom: 1 };
let here = -1;

const palette = () => PALETTES[document.documentElement.dataset.theme] ?? PALETTES.dark;
const bit = () => Number(finding.selectedOptions[0]?.dataset.bit ?? 0);
const addressOf = (point) => `/cases/${encodeURIComponent(data.datasets[point[4]])}/${encodeURIComponent(point[5])}`;

/** 0 unknown, 1 absent, 2 present of the chosen finding; or the data set. */
function groupOf(point, asked = bit()) {
  if (!asked) return point[4];
  return (point[3] & asked) ? 2 : (point[2] & asked) ? 1 : 0;
}

function groups() {
  const colours = palette();
  if (!bit()) return data.datasets.map((name, place) => ({ name, colour: colours.sets[place % colours.sets.length] }));
  return [
    { name: "not known", colour: colours.none },
    { name: "absent", colour: colours.absent },
    { name: "present", colour: colours.present },
  ];
}

function scale() {
  return Math.min(canvas.clientWidth, canvas.clientHeight) * 0.47 * view.zoom;
}

function place([x, y]) {
  return [canvas.clientWidth / 2 + (x - view.x) * scale(), canvas.clientHeight / 2 - (y - view.y) * scale()];
}

function draw() {
  const dense = window.devicePixelRatio || 1;
  canvas.width = dots.width = Math.round(canvas.clientWidth * dense);
  canvas.height = dots.height = Math.round(canvas.clientHeight * dense);
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  const colours = palette();
  pen.fillStyle = colours.ground;
  pen.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  const radius = radiusOfDots();
  const many = data.points.length > 5000;
  const [middleX, middleY, by] = [canvas.clientWidth / 2, canvas.clientHeight / 2, scale()];
  const asked = bit();
  const kinds = data.points.map((point) => groupOf(point, asked));
  pen.globalAlpha = many ? 0.7 : 0.9;
  groups().forEach(({ colour }, group) => {
    pen.fillStyle = colour;
    for (let number = 0; number < kinds.length; number += 1) {
      if (kinds[number] !== group) continue;
      const x = middleX + (data.points[number][0] - view.x) * by;
      const y = middleY - (data.points[number][1] - view.y) * by;
      if (many) pen.fillRect(x - radius, y - radius, radius * 2, radius * 2);
      else {
        pen.beginPath();
        pen.arc(x, y, radius, 0, 7);
        pen.fill();
      }
    }
  });
  pen.globalAlpha = 1;
  ring();
}

function radiusOfDots() {
  const roomy = Math.min(6, 130 / Math.sqrt(data.points.length + 1));
  return Math.max(1.2, roomy * Math.min(2, Math.sqrt(view.zoom)));
}

function ring() {
  const dense = window.devicePixelRatio || 1;
  shown.setTransform(1, 0, 0, 1, 0, 0);
  shown.drawImage(dots, 0, 0);
  if (here < 0) return;
  shown.setTransform(dense, 0, 0, dense, 0, 0);
  const [x, y] = place(data.points[here]);
  shown.strokeStyle = palette().ring;
  shown.lineWidth = 2;
  shown.beginPath();
  shown.arc(x, y, radiusOfDots() + 4, 0, 7);
  shown.stroke();
}

function tell() {
  if (here < 0) {
    at.textContent = `${data.points.length} cases`;
    return;
  }
  const point = data.points[here];
  const said = bit() ? `, ${finding.value}: ${groups()[groupOf(point)].name}` : `, ${data.datasets[point[4]]}`;
  at.textContent = `${point[5]}${said}`;
}

function showLegend() {
  const all = groups();
  const counts = all.map(() => 0);
  const asked = bit();
  for (const point of data.points) counts[groupOf(point, asked)] += 1;
  legend.replaceChildren(...all.map(({ name, colour }, place) => {
    const row = document.createElement("li");
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    dot.setAttribute("viewBox", "0 0 10 10");
    dot.setAttribute("aria-hidden", "true");
    const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of [["cx", 5], ["cy", 5], ["r", 4.5], ["fill", colour]]) circle.setAttribute(key, value);
    dot.append(circle);
    row.append(dot, ` ${name} `, Object.assign(document.createElement("span"), { className: "count", textContent: counts[place] }));
    return row;
  }));
}

function showList() {
  const asked = bit();
  const wanted = asked ? data.points.filter((point) => groupOf(point, asked) === 2) : data.points;
  document.getElementById("list-count").textContent = wanted.length;
  document.getElementById("list-what").textContent = (bit() ? `with ${finding.value}` : "of the collection")
    + (wanted.length > LISTED ? `, the first ${LISTED}` : "");
  list.replaceChildren(...wanted.slice(0, LISTED).map((point) => {
    const row = document.createElement("li");
    const link = Object.assign(document.createElement("a"), { href: addressOf(point), textContent: point[5] });
    link.addEventListener("focus", () => { choose(data.points.indexOf(point)); });
    row.append(link);
    return row;
  }));
}

function nearest(x, y, reach) {
  let best = -1;
  let least = reach * reach;
  const [middleX, middleY, by] = [canvas.clientWidth / 2, canvas.clientHeight / 2, scale()];
  data.points.forEach((point, number) => {
    const far = (middleX + (point[0] - view.x) * by - x) ** 2 + (middleY - (point[1] - view.y) * by - y) ** 2;
    if (far < least) [best, least] = [number, far];
  });
  return best;
}

function choose(number) {
  if (number === here) return;
  here = number;
  ring();
  tell();
}

function step(dx, dy) {
  if (here < 0) return choose(nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, Infinity));
  const [x, y] = place(data.points[here]);
  let best = -1;
  let least = Infinity;
  data.points.forEach((point, number) => {
    const [px, py] = place(point);
    const along = (px - x) * dx + (py - y) * dy;
    const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (along > 1 && aside <= along && along + aside < least) [best, least] = [number, along + aside];
  });
  if (best >= 0) choose(best);
}

function zoom(by, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const before = [(x - canvas.clientWidth / 2) / scale(), (y - canvas.clientHeight / 2) / scale()];
  view.zoom = Math.min(60, Math.max(1, view.zoom * by));
  view.x += before[0] - (x - canvas.clientWidth / 2) / scale();
  view.y -= before[1] - (y - canvas.clientHeight / 2) / scale();
  if (view.zoom === 1) view = { x: 0, y: 0, zoom: 1 };
  draw();
}

const KEYS = {
  ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  Enter: () => here >= 0 && location.assign(addressOf(data.points[here])),
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => zoom(0),
};

canvas.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  KEYS[event.key]();
});

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
}, { passive: false });

let dragged = null;
canvas.addEventListener("pointerdown", (event) => {
  dragged = { x: event.offsetX, y: event.offsetY, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!dragged) return choose(nearest(event.offsetX, event.offsetY, REACH_PX));
  const [dx, dy] = [event.offsetX - dragged.x, event.offsetY - dragged.y];
  if (!dragged.moved && Math.hypot(dx, dy) < 4) return;
  view.x -= dx / scale();
  view.y += dy / scale();
  dragged = { x: event.offsetX, y: event.offsetY, moved: true };
  draw();
});
canvas.addEventListener("pointerup", (event) => {
  const clicked = dragged && !dragged.moved;
  dragged = null;
  const number = clicked ? nearest(event.offsetX, event.offsetY, REACH_PX) : -1;
  if (number >= 0) location.assign(addressOf(data.points[number]));
});

function recolour() {
  showLegend();
  showList();
  draw();
  tell();
}

form.addEventListener("change", (event) => {
  const asked = new URLSearchParams(new FormData(form));
  if (!asked.get("finding")) asked.delete("finding");
  if (event.target !== finding) return location.assign(`/map?${asked}`);
  history.replaceState(null, "", `/map?${asked}`);
  recolour();
});
document.addEventListener("ctsearch:theme", recolour);
new ResizeObserver(draw).observe(canvas);

async function load() {
  if (!canvas.dataset.points) return;
  try {
    const response = await fetch(canvas.dataset.points);
    if (!response.ok) throw new Error(await refusal(response));
    data = await response.json();
    const note = data.kept_share === null ? "" : `PCA: the two directions keep ${Math.round(data.kept_share * 100)} % of the variance.`;
    document.getElementById("map-note").textContent = note;
    recolour();
    canvas.dataset.drawn = String(data.points.length);
  } catch (error) {
    at.textContent = error.message;
    at.classList.add("problem");
  }
}

load();
