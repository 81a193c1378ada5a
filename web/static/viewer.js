// The compare page: two volumes, one view of both, an address that says what is seen.

import { Controls } from "./viewer_controls.js";
import { signed, Panel } from "./viewer_panel.js";
import { View } from "./viewer_view.js";
import { webglRenderer } from "./viewer_webgl.js";

const LARGER_EDGE = 256;
const SAY_ADDRESS_MS = 250;

const page = document.getElementById("compare");
const parameters = new URLSearchParams(location.search);
const renderer = parameters.get("draw") === "slices" ? null : webglRenderer();
const panels = [...page.querySelectorAll(".volume-panel")].map((root) => new Panel(root, renderer));
let view = null;
let addressLater = 0;

async function begin() {
  page.dataset.renderer = renderer ? (renderer.isSoftware ? "software" : "hardware") : "none";
  const opened = await Promise.allSettled(panels.map((panel) => panel.open()));
  opened.forEach((one, at) => one.status === "rejected" && panels[at].say(one.reason.message, true));
  const geometry = opened.find((one) => one.status === "fulfilled")?.value;
  if (!geometry) return;
  view = new View(geometry.presets);
  view.read(parameters);
  view.listen(show);
  new Controls(view, panels, { reset, full, other });
  document.addEventListener("click", (event) => pressed(event.target.closest("[data-view]")));
  const resized = new ResizeObserver(show);
  for (const panel of panels) resized.observe(panel.stage);
  show();
  findOthers();
  const usable = panels.filter((panel) => panel.grid);
  await Promise.all(usable.map((panel) => panel.draw(view).then(show)));
  page.dataset.ready = "true";
  if (renderer && !renderer.isSoftware) await enlarge(LARGER_EDGE);
}

function show() {
  const shown = panels.filter((panel) => panel.grid);
  for (const panel of shown) panel.layOut(view);
  const fits = shown.map((panel) => panel.fits());
  const together = fits[0].map((_, tile) => Math.min(...fits.map((one) => one[tile])));
  const zoom = view.layout === "mpr" ? 1 : view.zoom;
  shown.forEach((panel, at) => panel.show(view, (view.sameScale ? together : fits[at]).map((fit) => fit * zoom)));
  sayControls();
  clearTimeout(addressLater);
  addressLater = setTimeout(sayAddress, SAY_ADDRESS_MS);
}

function sayControls() {
  const { width_hu: width, level_hu: level } = view.window;
  page.querySelector(".window-now").textContent = `${width} / ${String(level).replace("-", "−")} HU`;
  page.querySelector(".offset-now").textContent = `${signed(view.offset)} mm`;
  page.querySelector('[data-view^="full"]').hidden = !panels.some((panel) => panel.webgl && panel.isReduced);
  for (const button of page.querySelectorAll("[data-view]")) {
    const [kind, value] = button.dataset.view.split(":");
    const pressed = { window: view.preset, plane: view.layout, scale: view.sameScale ? "same" : "own" }[kind];
    if (pressed !== undefined) button.setAttribute("aria-pressed", String(pressed === value));
  }
}

function sayAddress() {
  view.write(parameters);
  history.replaceState(null, "", `${location.pathname}?${parameters}`);
}

function pressed(button) {
  if (!button) return;
  const [kind, value] = button.dataset.view.split(":");
  ({
    window: () => view.set({ window: view.presets[value] }),
    plane: () => view.set({ layout: value }),
    offset: () => view.shift(value === "0" ? 0 : view.offset + Number(value)),
    scale: () => view.set({ sameScale: !view.sameScale }),
    reset,
    full,
    other: () => other(Number(value)),
  })[kind]?.();
  button.blur();
}

function reset() {
  view.set({ zoom: 1, pan: { up: 0, back: 0, left: 0 } });
}

async function enlarge(edge) {
  for (const panel of panels.filter((one) => one.webgl && one.isReduced)) {
    try {
      await panel.enlarge(view, edge);
      panel.say("");
    } catch (problem) {
      panel.say(`The volume is shown as it was: ${problem.message}.`, true);
    }
    show();
  }
}

async function full() {
  for (const panel of panels.filter((one) => one.webgl && one.isReduced)) panel.say("Fetching all voxels …");
  await enlarge(0);
}

/** The other hits of the result list that the address carries: n and p go to them. */
async function findOthers() {
  const search = parameters.get("search");
  if (!search) return;
  const response = await fetch(`/api/v1/search?${search}`);
  if (!response.ok) return;
  const { hits } = await response.json();
  const names = hits.filter((hit) => hit.volume).map((hit) => `${hit.dataset ?? hit.metadata.dataset}/${hit.volume}`);
  const here = names.indexOf(parameters.get("hit"));
  if (here < 0) return;
  page.querySelector(".rank-now").textContent = `hit ${here + 1} of ${names.length}`;
  for (const [selector, at] of [[".earlier-hit", here - 1], [".next-hit", here + 1]]) {
    const button = page.querySelector(selector);
    button.disabled = !names[at];
    button.dataset.hit = names[at] ?? "";
  }
  page.querySelector(".others").hidden = false;
}

function other(step) {
  const hit = page.querySelector(step > 0 ? ".next-hit" : ".earlier-hit").dataset.hit;
  if (!hit) return;
  view.write(parameters);
  parameters.set("hit", hit);
  for (const name of ["z", "at"]) parameters.delete(name); // of another patient's scan
  location.assign(`${location.pathname}?${parameters}`);
}

begin();
