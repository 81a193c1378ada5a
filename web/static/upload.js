// A CT that is dropped or chosen: sent with its progress shown, encoded by the server, then searched by.

import { csrfToken } from "./page.js";

const zone = document.getElementById("drop");
const going = document.getElementById("upload");
const stepText = going.querySelector(".step");
const bar = going.querySelector("progress");
let sending = null;
let listening = null;

function show(text, share) {
  going.hidden = false;
  zone.classList.remove("failed");
  stepText.textContent = text;
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

function fail(sentence) {
  stop();
  going.hidden = false;
  zone.classList.add("failed");
  stepText.textContent = sentence;
}

function stop() {
  sending?.abort();
  listening?.close();
  sending = listening = null;
  going.hidden = true;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** files: [File, name with its folders] pairs. */
export function upload(files) {
  if (!files.length) return;
  stop();
  const form = new FormData();
  const collection = document.querySelector('select[name="collection"]')?.value
    ?? document.getElementById("hits")?.dataset.collection;
  if (collection) form.append("collection", collection);
  for (const [file, name] of files) form.append("files", file, name);
  const request = new XMLHttpRequest();
  sending = request;
  request.open("POST", "/api/v1/uploads");
  request.setRequestHeader("X-CSRF-Token", csrfToken());
  request.responseType = "json";
  request.upload.onprogress = (event) => {
    show(`Sending ${size(event.loaded)} of ${size(event.total)}`, event.lengthComputable ? event.loaded / event.total : undefined);
  };
  request.upload.onload = () => show("Looking at it");
  request.onerror = () => fail("The connection broke: drop it again.");
  request.onload = () => {
    sending = null;
    if (request.status >= 400) fail(request.response?.error ?? `The server answered ${request.status}.`);
    else follow(request.response, collection);
  };
  show("Sending", 0);
  request.send(form);
}

function follow(brought, collection) {
  if (brought.job === null || brought.job === undefined) return open(brought, collection);
  show("Waiting for the encoder");
  listening = new EventSource(`/api/v1/jobs/${brought.job}/events`);
  listening.addEventListener("progress", (event) => showJob(JSON.parse(event.data)));
  listening.addEventListener("end", (event) => {
    const job = JSON.parse(event.data);
    listening.close();
    listening = null;
    if (job.state === "finished") open(brought, collection);
    else fail(job.error ?? `The job was ${job.state}.`);
  });
}

function showJob(job) {
  const progress = job.progress ?? {};
  const share = job.state === "queued" ? undefined : progress.share;
  const doing = job.state === "queued" ? "waiting for the encoder" : progress.doing || "encoding";
  const count = progress.total ? ` ${progress.done} of ${progress.total}` : "";
  show(`${doing[0].toUpperCase()}${doing.slice(1)}${count}, ${Math.round(progress.seconds ?? 0)} s`, share);
}

function open(brought, collection) {
  show("Searching");
  const kept = new URLSearchParams(location.search);
  for (const name of ["text", "case", "dataset", "report", "k"]) kept.delete(name);
  kept.set("upload", brought.upload);
  if (collection) kept.set("collection", collection);
  location.assign(`/?${kept}`);
}

// Choosing and dropping

for (const id of ["pick-files", "pick-folder"]) {
  document.getElementById(id).addEventListener("change", (event) => {
    upload([...event.target.files].map((file) => [file, file.webkitRelativePath || file.name]));
    event.target.value = "";
  });
}

going.addEventListener("click", (event) => {
  if (event.target.dataset.does === "stop-upload") stop();
});

document.addEventListener("dragover", (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", async (event) => {
  document.body.classList.remove("dropping");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...event.dataTransfer.files].map((file) => [file, file.name]);
  upload(entries.length ? (await Promise.all(entries.map(filesUnder))).flat() : plain);
});

async function filesUnder(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail));
    return [[file, entry.fullPath.replace(/^\//, "")]];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives at most a hundred entries at a time
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesUnder))).flat();
}
