// The result list: its filters, the chosen case, its keys, what was marked relevant.

import { isWriting, postJson } from "./page.js";

const byId = (id) => document.getElementById(id);
const hits = () => [...document.querySelectorAll(".hit")];
const chosen = () => document.activeElement?.closest?.(".hit") ?? document.querySelector(".hit.chosen");

// Filters

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.dataset?.other && box.checked) byId(box.dataset.other).checked = false;
  if (box.id === "age-from" || box.id === "age-to") setAge(byId("age-from").value, byId("age-to").value);
}, true);

function setAge(low, high) {
  byId("age").value = low || high ? `${low}:${high}` : "";
}

document.addEventListener("click", (event) => {
  const band = event.target.closest?.(".band");
  if (!band) return;
  const same = byId("age").value === band.dataset.age;
  byId("age").value = same ? "" : band.dataset.age;
  byId("age").dispatchEvent(new Event("change", { bubbles: true }));
});

document.addEventListener("htmx:configRequest", (event) => {
  const { formData, elt } = event.detail;
  if (elt.id !== "asking") return;
  for (const [name, value] of [...formData]) if (typeof value === "string" && !value.trim()) formData.delete(name);
  if (formData.has("text")) for (const name of ["case", "dataset", "report", "upload"]) formData.delete(name);
});

document.addEventListener("submit", (event) => {
  if (event.target.id === "asking") byId("text").blur();
});

// A report is asked by a form of its own, which takes the filters along.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.elt.id !== "report-form") return;
  const set = [...new FormData(byId("asking"))].filter(([name, value]) => value && name !== "text");
  event.detail.formData.set("filters", new URLSearchParams(set).toString());
});
document.addEventListener("htmx:beforeRequest", (event) => {
  const words = byId("text").value.trim();
  if (event.detail.elt.id !== "asking" || words || !document.querySelector("#results[data-report]")) return;
  event.preventDefault();
  byId("report-form").requestSubmit();
});

// A refusal is shown where the hits would be.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400 && event.detail.target.id === "results") event.detail.shouldSwap = true;
});

// The chosen case

function lightUp(hit) {
  for (const other of document.querySelectorAll(".hit.chosen")) other.classList.remove("chosen");
  hit.classList.add("chosen");
}

function choose(hit) {
  if (!hit) return;
  lightUp(hit);
  hit.focus({ preventScroll: true });
  hit.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const all = hits();
  const here = all.indexOf(chosen());
  choose(all[here < 0 ? 0 : Math.min(all.length - 1, Math.max(0, here + by))]);
}

document.addEventListener("focusin", (event) => {
  const hit = event.target.closest?.(".hit");
  if (hit && !hit.classList.contains("chosen")) lightUp(hit);
});

const KEYS = {
  "/": () => { byId("text").focus(); byId("text").select(); },
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Enter: () => (chosen()?.querySelector(".to-compare") ?? chosen()?.querySelector(".to-case"))?.click(),
  o: () => chosen()?.querySelector(".to-report").click(),
  c: () => chosen()?.querySelector(".to-case").click(),
  m: () => chosen()?.querySelector(".to-alike").click(),
  r: () => chosen()?.querySelector('[data-mark="true"]').click(),
  x: () => chosen()?.querySelector('[data-mark="false"]').click(),
  s: () => chosen()?.querySelector(".ask-about").click(),
  a: () => byId("question")?.focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && isWriting(event.target)) { event.target.blur(); return; }
  if (event.key === "/" && event.target.id === "text" && !event.target.value) event.preventDefault();
  if (isWriting(event.target)) return;
  const own = event.target.closest?.("a, button, summary, input");
  if (event.key === "Enter" && own) return;
  if (event.key.startsWith("Arrow") && !event.target.closest?.(".hit")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// Marks

function showMark(hit) {
  for (const button of hit.querySelectorAll(".mark")) {
    button.setAttribute("aria-pressed", String(button.dataset.mark === hit.dataset.relevant));
  }
}

async function mark(hit, value) {
  const before = hit.dataset.relevant;
  const now = before === value ? "" : value;
  hit.dataset.relevant = now;
  showMark(hit);
  const list = byId("hits");
  try {
    await postJson("/api/v1/feedback", {
      query: JSON.parse(list.dataset.query),
      collection: list.dataset.collection,
      dataset: hit.dataset.dataset,
      study: hit.dataset.study,
      relevant: now === "" ? null : now === "true",
    });
  } catch (error) {
    hit.dataset.relevant = before;
    showMark(hit);
    say(hit, error.message);
  }
}

function say(hit, sentence) {
  let place = hit.querySelector(".went-wrong");
  if (!place) {
    place = document.createElement("p");
    place.className = "went-wrong problem";
    place.setAttribute("role", "alert");
    hit.querySelector(".does").after(place);
  }
  place.textContent = sentence;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".mark");
  if (button) mark(button.closest(".hit"), button.dataset.mark);
});

const showMarks = () => hits().forEach(showMark);
document.addEventListener("htmx:afterSettle", showMarks);
showMarks();
