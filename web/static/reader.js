// The report of a case beside the list, at the sentence that was cited.

import { refusal } from "./page.js";

const reader = document.getElementById("reader");
const text = document.getElementById("reader-text");
const title = document.getElementById("reader-title");
const still = window.matchMedia("(prefers-reduced-motion: reduce)");
let cameFrom = null;

function point(sentence) {
  if (!sentence) return;
  for (const other of document.querySelectorAll(".cited")) other.classList.remove("cited");
  sentence.classList.add("cited");
  sentence.setAttribute("tabindex", "-1");
  sentence.focus({ preventScroll: true });
  sentence.scrollIntoView({ block: "center", behavior: still.matches ? "auto" : "smooth" });
}

/** Show the report of the case at this address; `sentence` is where to look, as in findings-4. */
export async function openReport(address, sentence, from) {
  if (decodeURIComponent(address) === decodeURIComponent(location.pathname)) {
    point(document.getElementById(sentence));
    return;
  }
  cameFrom = from ?? cameFrom;
  if (reader.dataset.shows !== address) {
    const response = await fetch(address);
    if (!response.ok) {
      text.textContent = await refusal(response);
    } else {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const report = page.getElementById("report");
      for (const part of report.querySelectorAll("[id]")) {
        part.dataset.sentence = part.id; // the case page has these ids, and this page may be it
        part.removeAttribute("id");
      }
      text.replaceChildren(...[...report.childNodes].map((node) => document.importNode(node, true)));
      title.textContent = report.dataset.study;
      reader.dataset.shows = address;
    }
    document.getElementById("reader-case").href = address;
  }
  reader.hidden = false;
  document.getElementById("chat").classList.add("below");
  const cited = sentence && text.querySelector(`[data-sentence="${CSS.escape(sentence)}"]`);
  if (cited) point(cited);
  else {
    text.scrollTop = 0;
    title.focus({ preventScroll: true });
  }
}

export function closeReader() {
  if (reader.hidden) return;
  reader.hidden = true;
  document.getElementById("chat").classList.remove("below");
  const back = cameFrom?.closest(".hit") ?? cameFrom;
  if (back?.isConnected) back.focus({ preventScroll: true });
}

reader?.addEventListener("click", (event) => {
  if (event.target.closest('[data-does="close-reader"]')) closeReader();
});
