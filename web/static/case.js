// Keys of the case page.

import { isWriting } from "./page.js";

const KEYS = {
  "/": () => location.assign("/"),
  m: () => document.querySelector(".to-alike")?.click(),
  a: () => document.getElementById("question").focus(),
  Enter: () => document.querySelector(".to-compare")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && isWriting(event.target)) event.target.blur();
  if (isWriting(event.target) || (event.key === "Enter" && event.target !== document.body)) return;
  if (!KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
