// Draws the charts of a page that can be seen, by plotly.js (`Plotly`); each anew only if what it shows has changed.

import { chartsOf, stretchOf } from "./views.js";

const CONFIG = { displayModeBar: false, responsive: true, showTips: false, doubleClick: false };
let charts = {}; // by name: () => { data, layout }
let timed = true;
let stretch = null; // of time, which all charts share

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.dataset.seen = isIntersecting ? "yes" : "";
    if (isIntersecting) queue([target]);
  }
}, { rootMargin: "200px" });
const observed = new WeakSet();
const drawn = new WeakMap(); // element → what it shows, as text

let waiting = new Set();
let working = false;

export async function draw(document_) {
  charts = chartsOf(document_);
  timed = document_.timed;
  stretch = stretchOf(document_);
  const plots = [...document.querySelectorAll(".plot")];
  for (const plot of plots) {
    if (!observed.has(plot)) { observed.add(plot); seen.observe(plot); }
  }
  await queue(plots.filter((plot) => plot.dataset.seen));
}

export function redraw() {
  const plots = [...document.querySelectorAll(".plot")];
  plots.forEach((plot) => drawn.delete(plot));
  queue(plots.filter((plot) => plot.dataset.seen));
}

async function queue(plots) {
  plots.forEach((plot) => waiting.add(plot));
  if (working) return;
  working = true;
  while (waiting.size) {
    const [plot] = waiting;
    waiting.delete(plot);
    if (plot.isConnected) await one(plot);
  }
  working = false;
}

async function one(plot) {
  const make = charts[plot.dataset.chart];
  if (!make) return;
  const { data, layout = {} } = make();
  const text = JSON.stringify([data, layout, stretch]);
  if (drawn.get(plot) === text) return;
  drawn.set(plot, text);
  const resolved = resolve({ data, layout: laidOut(layout, plot) });
  await window.Plotly.react(plot, resolved.data, resolved.layout, CONFIG);
  plot.dataset.drawn = "yes";
  await new Promise(requestAnimationFrame);
}

function laidOut(layout, plot) {
  const small = plot.closest(".card") !== null, narrow = plot.clientWidth < 420;
  const axis = { fixedrange: true, gridcolor: "--grid", linecolor: "--rule", zeroline: false, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: small ? 10 : 11, color: "--dim" },
    margin: { l: 38, r: 8, t: 6, b: small ? 18 : 24 },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: "--paper", bordercolor: "--rule", font: { color: "--ink", size: 12 } },
    dragmode: false,
    ...layout,
    xaxis: { type: timed ? "date" : "linear", nticks: narrow ? 4 : 7, tickangle: 0, ...axis, showgrid: false, ...(stretch && { range: stretch }), ...layout.xaxis },
    yaxis: { nticks: small ? 3 : 5, ...axis, ...layout.yaxis },
  };
}

// Colours are named as the style sheet names them, and looked up when a chart is drawn.
function resolve(value, styles = getComputedStyle(document.documentElement)) {
  if (typeof value === "string") return value.startsWith("--") ? styles.getPropertyValue(value).trim() : value;
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((each) => resolve(each, styles));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, resolve(each, styles)]));
}
