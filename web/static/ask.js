// Questions about the selected cases: answers as they come, each citation a way to the sentence it rests on.

import { postJson } from "./page.js";
import { closeReader, openReport } from "./reader.js";

const form = document.getElementById("ask");
const box = document.getElementById("question");
const talk = document.getElementById("talk");
const CITED = /\[([^[\]\n]{1,200}?) (findings|impression) (\d{1,4})\]/g;
const history = [];

function selectedCases() {
  if (form.dataset.study) return [{ dataset: form.dataset.dataset, study: form.dataset.study }];
  return [...document.querySelectorAll(".hit")]
    .filter((hit) => hit.querySelector(".ask-about").checked)
    .map((hit) => ({ dataset: hit.dataset.dataset, study: hit.dataset.study }));
}

function count() {
  const place = document.getElementById("selected");
  if (place) place.textContent = `${selectedCases().length} of ${document.querySelectorAll(".hit").length}`;
}

function caseAddress({ dataset, study }) {
  return `/cases/${encodeURIComponent(dataset)}/${encodeURIComponent(study)}`;
}

/** Text with each citation made a link; everything is text, nothing is markup. */
function withCitations(text, cases) {
  const parts = document.createDocumentFragment();
  let place = 0;
  for (const found of text.matchAll(CITED)) {
    const [tag, study, section, number] = found;
    const of = cases.find((each) => each.study === study);
    parts.append(text.slice(place, found.index));
    parts.append(of ? citation(of, `${section}-${number}`, tag) : tag);
    place = found.index + tag.length;
  }
  parts.append(text.slice(place));
  return parts;
}

function citation(of, sentence, tag) {
  const link = document.createElement("a");
  link.className = "cite";
  link.href = `${caseAddress(of)}#${sentence}`;
  link.textContent = tag.slice(1, -1);
  return link;
}

function say(kind, text = "") {
  const line = document.createElement("p");
  line.className = kind;
  line.textContent = text;
  line.dir = "auto";
  talk.append(line);
  talk.scrollTop = talk.scrollHeight;
  return line;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += (value ?? "").replaceAll("\r\n", "\n");
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const lines = rest.slice(0, end).split("\n");
      rest = rest.slice(end + 2);
      const of = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
      const data = of("data").join("\n");
      if (data) yield { name: of("event")[0] ?? "message", data: JSON.parse(data) };
    }
    if (done) return;
  }
}

async function ask(question) {
  const cases = selectedCases();
  if (!cases.length) return say("refused", "No case is selected: tick some, or press s on one.");
  say("asked", question);
  const line = say("answer waiting");
  form.setAttribute("aria-busy", "true");
  let text = "";
  try {
    const response = await postJson("/api/v1/ask", { question, cases, history: [...history] });
    for await (const { name, data } of events(response)) {
      if (name === "problem") throw new Error(data.error);
      if (name === "sentence") text += data.text;
      if (name === "answer") {
        text = data.answer;
        line.classList.toggle("refused", data.refused);
        history.push({ question, answer: data.answer });
        cases.push(...data.citations);
      }
      line.replaceChildren(withCitations(text, cases));
      talk.scrollTop = talk.scrollHeight;
    }
  } catch (error) {
    line.classList.add("problem");
    line.textContent = error.message;
  } finally {
    line.classList.remove("waiting");
    form.removeAttribute("aria-busy");
  }
  return line;
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const question = box.value.trim();
  if (!question || form.getAttribute("aria-busy") === "true") return;
  box.value = "";
  ask(question);
});

box?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    form.requestSubmit();
  }
  if (event.key === "ArrowUp" && !box.value && history.length) box.value = history.at(-1).question;
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.cite");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const address = new URL(link.href);
  openReport(address.pathname, address.hash.slice(1), link);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".to-report");
  if (button) openReport(button.dataset.report, "", button);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) closeReader();
});

document.addEventListener("change", (event) => {
  if (event.target.classList?.contains("ask-about")) count();
});
document.addEventListener("htmx:afterSettle", count);
count();
