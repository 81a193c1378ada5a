// Before anything is drawn: dark, unless this browser was told otherwise.
"use strict";
try {
  document.documentElement.dataset.theme = localStorage.getItem("ctsearch-theme") === "light" ? "light" : "dark";
} catch {
  // storage may be switched off: dark it stays
}
