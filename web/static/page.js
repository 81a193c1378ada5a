// What every page has: the theme, the list of keys, and how a script talks to the server.

const root = document.documentElement;

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]')?.content ?? "";
}

/** Send JSON; a refusal becomes an Error with the server's sentence. */
export async function postJson(address, body, options = {}) {
  const response = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrfToken() },
    body: JSON.stringify(body),
    ...options,
  });
  if (!response.ok) throw new Error(await refusal(response));
  return response;
}

export async function refusal(response) {
  try {
    return (await response.json()).error ?? `the server answered ${response.status}`;
  } catch {
    return `the server answered ${response.status}`;
  }
}

/** Whether a key belongs to a box that somebody writes into. */
export function isWriting(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
    || (target.tagName === "INPUT" && !/^(checkbox|radio|button|submit|range)$/.test(target.type)));
}

function nameTheme() {
  const button = document.querySelector('[data-does="theme"]');
  if (button) button.textContent = root.dataset.theme === "light" ? "Dark" : "Light";
}

function changeTheme() {
  root.dataset.theme = root.dataset.theme === "light" ? "dark" : "light";
  try {
    localStorage.setItem("ctsearch-theme", root.dataset.theme);
  } catch {
    // it holds for this page, then
  }
  nameTheme();
  document.dispatchEvent(new CustomEvent("ctsearch:theme"));
}

document.addEventListener("click", (event) => {
  const does = event.target.closest?.("[data-does]")?.dataset.does;
  if (does === "theme") changeTheme();
  if (does === "help") document.getElementById("keys")?.showModal();
  if (does === "print") window.print();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "?" && !isWriting(event.target) && !event.ctrlKey && !event.metaKey) {
    document.getElementById("keys")?.showModal();
    event.preventDefault();
  }
});

// A picture that cannot be had leaves its place, with what stands there instead.
document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement) event.target.closest("[data-picture]")?.classList.add("none");
}, true);

nameTheme();
