// Keeps the page up to date: documents come as server-sent events and go into the charts; then the page itself is
// fetched again, and what differs is taken over. Without an EventSource, or while paused, the page stays as it is.

import { draw, redraw } from "./plots.js";
import { morph } from "./morph.js";

const LIVE = ["main", "state"]; // elements that change
const pause = document.getElementById("pause");
const connection = document.getElementById("connection");
let source = null;
let newest = null; // document that is not shown yet
let busy = false;

function connect() {
  const address = new URLSearchParams({ view: location.pathname + location.search });
  source = new EventSource(`/api/live?${address}`);
  source.addEventListener("document", (event) => { newest = JSON.parse(event.data); show(); });
  source.addEventListener("open", () => say(""));
  source.addEventListener("error", () => say("The dashboard does not answer; the page shows what was known last."));
}

function disconnect() {
  source?.close();
  source = null;
}

async function show() {
  if (busy) return;
  busy = true;
  try {
    while (newest) {
      const shown = newest;
      newest = null;
      await refresh();
      await draw(shown);
    }
  } finally {
    busy = false;
  }
}

async function refresh() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer || !answer.headers.get("Content-Type")?.startsWith("text/html")) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of LIVE) {
    const fresh = page.getElementById(id);
    if (!fresh) return;
    page.getElementById("connection")?.replaceChildren(connection.textContent);
    morph(document.getElementById(id), fresh);
  }
  document.title = page.title;
  const waits = sessionStorage.getItem("sent") === location.pathname && document.querySelector("form[method=post]");
  say(waits ? "It was sent, and counts as soon as the run has taken it." : "");
}

function say(text) {
  if (connection.textContent !== text) connection.textContent = text;
}

pause.addEventListener("click", () => {
  const paused = pause.getAttribute("aria-pressed") !== "true";
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Resume" : "Pause";
  if (paused) disconnect();
  else connect();
});
document.addEventListener("submit", (event) => {
  if (event.target.method === "post") sessionStorage.setItem("sent", location.pathname);
});
document.addEventListener("visibilitychange", () => {
  if (pause.getAttribute("aria-pressed") === "true") return;
  if (document.hidden) disconnect();
  else if (!source) connect();
});
document.getElementById("sort")?.addEventListener("change", (event) => event.target.form.requestSubmit());
document.addEventListener("click", (event) => {
  const range = document.getElementById("range");
  if (range.open && !range.contains(event.target)) range.open = false;
});
document.addEventListener("keydown", (event) => {
  const range = document.getElementById("range");
  if (event.key === "Escape" && range.open) { range.open = false; range.querySelector("summary").focus(); }
});
document.querySelector(".top [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
addEventListener("themed", redraw);
addEventListener("pagehide", disconnect);
addEventListener("pageshow", (event) => { if (event.persisted && !source) connect(); });
connect();
