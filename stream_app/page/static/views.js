// Which charts a document has: by the name in the page, a function that gives traces and layout for plotly.js.

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "dash", "dot", "longdashdot"];
const SYMBOLS = { promoted: "triangle-up", "rolled back": "triangle-down", trigger: "diamond", incident: "circle" };
const HEIGHTS = { promoted: 0.5, "rolled back": 0.5, trigger: 0.15, incident: 0.85 };
const MARK_COLOURS = { promoted: "--line-3", "rolled back": "--line-4", trigger: "--line-5", incident: "--line-2" };

// plotly.js reads a few tags in labels: what comes from the stream is shown as it is
export const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export function chartsOf(document_) {
  return (VIEWS[document_.view] ?? (() => ({})))(document_);
}

// The stretch of time that all charts of a page share.
export function stretchOf(d) {
  if (d.view === "incident") {
    const ends = Object.values(d.series).flatMap(({ t }) => (t.length ? [t[0], t.at(-1)] : []));
    if (ends.length && d.incident) ends.push(d.incident.opened_ms);
    return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
  }
  const stretch = [d.from_ms ?? d.known_from_ms, d.to_ms ?? d.known_to_ms];
  return stretch.includes(null) || stretch[0] >= stretch[1] ? null : stretch;
}

const VIEWS = {
  overview: (d) => ({
    error: () => lines([["error", d.error]]),
    rate: () => lines([["records per second", d.rate]]),
    coverage: () => lines([["coverage", d.labels.series.coverage]]),
    delay: () => lines([["seconds", d.labels.series.delay_median_s]]),
  }),

  performance: (d) => {
    const found = { estimate: () => withMarks(estimate(d.estimate), d.marks) };
    d.metrics.forEach((metric, number) => {
      found[`metric-${number + 1}`] = () => withMarks(lines(
        d.models.map((model, index) => [model.name, d.series[metric][model.name], index]).filter((each) => each[1]),
        { band: false },
      ), d.marks);
    });
    return found;
  },

  signals: (d) => Object.fromEntries(d.signals.map((row) => [
    ["signal", row.shard, row.signal, row.segment, row.detector].join("-"), () => detector(row.series),
  ])),

  signal: (d) => ({
    statistic: () => withLine(detector(d.row.series), d.onset_ms, "last change began", stretchOf(d) ?? undefined),
    panes: () => withLine(lines([["mean", d.panes]]), d.onset_ms, "last change began", stretchOf(d) ?? undefined),
    estimates: () => lines([["estimate", d.estimate_series]]),
    distribution: () => distribution(d.reference, d.current),
  }),

  incident: (d) => {
    if (!d.incident) return {};
    const stretch = stretchOf(d) ?? undefined;
    const told = (chart) => withLine(
      withLine(chart, d.incident.onset_ms, "began", stretch), d.incident.opened_ms, "told", stretch,
    );
    return {
      "series-signal": () => told(lines([["mean", d.series.signal]])),
      "series-statistic": () => told(alarmed(detector(d.series), d.incident.opened_ms, d.evidence)),
      "series-error": () => told(lines([["error", d.series.error]])),
    };
  },

  "dead-letters": (d) => ({ refused: () => lines([["share refused", d.series]]) }),
};

// One line for each [name, series, place in the key]; with a band from least to largest where a bucket holds several.
function lines(named, { band = true } = {}) {
  const data = [];
  named.forEach(([name, series, index = 0]) => {
    if (band && telling(series)) data.push(...ribbon(series.t, series.min, series.max));
    data.push(line(name, series, index));
  });
  return { data };
}

// Least and largest of buckets tell something unless each holds one value, or all hold the same two.
function telling({ min, max }) {
  const apart = min.some((low, i) => low !== max[i]);
  return apart && (min.some((low) => low !== min[0]) || max.some((high) => high !== max[0]));
}

// A line breaks where nothing was told for long: a detector that begins anew says nothing for a while.
function broken({ t, mean }) {
  const steps = t.slice(1).map((time, i) => time - t[i]).sort((one, other) => one - other);
  const long = 4 * steps[Math.floor(steps.length / 2)];
  const x = [], y = [];
  t.forEach((time, i) => {
    if (i && time - t[i - 1] > long) { x.push(t[i - 1] + 1); y.push(null); }
    x.push(time);
    y.push(mean[i]);
  });
  return { x, y };
}

function line(name, series, index, more = {}) {
  const style = { color: `--line-${Math.min(index + 1, 8)}`, width: 1.7, dash: DASHES[index % DASHES.length], simplify: true };
  const lonely = series.t.length < 3 ? "lines+markers" : "lines";
  return { ...broken(series), name: plain(name), connectgaps: false, mode: lonely, line: { ...style, ...more }, hovertemplate: "%{y:.4~g}" };
}

function ribbon(x, low, high) {
  const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
  return [{ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: "--band" }];
}

function detector({ statistic, threshold }) {
  const chart = lines([["statistic", statistic]]);
  chart.data.push(line("threshold", threshold, 1, { width: 1.3 }));
  chart.layout = { yaxis: { rangemode: "tozero" } };
  return chart;
}

// Where the statistic stood when it alarmed: the detector began anew right then, so no line leads there.
function alarmed(chart, time, evidence) {
  if (evidence?.statistic == null) return chart;
  const color = "--line-2";
  const limit = { type: "line", xref: "paper", x0: 0, x1: 1, y0: evidence.threshold, y1: evidence.threshold, line: { color, width: 1.3, dash: "dash" } };
  chart.data.push({
    x: [time], y: [evidence.statistic], mode: "markers", name: "at the alarm", cliponaxis: false,
    marker: { color, size: 9, symbol: "diamond" }, hovertemplate: "%{y:.4~g}",
  });
  return { ...chart, layout: { ...chart.layout, shapes: evidence.threshold === null ? [] : [limit] } };
}

function estimate({ estimated, low, high, realised }) {
  return { data: [
    ...ribbon(estimated.t, low.mean, high.mean), line("estimated", estimated, 0), line("realised", realised, 1),
  ] };
}

function distribution(reference, current) {
  const byName = reference.bins[0]?.length === 2;
  const values = byName
    ? [...new Set([...reference.bins, ...current.bins].map(([name]) => name))].slice(0, 24)
    : null;
  const bars = (name, found, index) => {
    const look = { color: `--line-${index + 1}`, pattern: { shape: index ? "/" : "", fgcolor: `--line-${index + 1}`, bgcolor: "--paper", size: 5, solidity: .45 } };
    const shares = new Map(found.bins.map((bin) => [bin[0], bin.at(-1)]));
    return byName
      ? { type: "bar", name, x: values.map(plain), y: values.map((value) => shares.get(value) ?? 0), marker: look, hovertemplate: "%{y:.1%}" }
      : { type: "bar", name, x: found.bins.map(label), y: found.bins.map((bin) => bin[2]), marker: look, hovertemplate: "%{y:.1%}" };
  };
  const order = byName ? values.map(plain) : inOrder(reference.bins, current.bins);
  return {
    data: [bars("reference", reference, 0), bars("now", current, 1)],
    layout: {
      showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, margin: { l: 38, r: 8, t: 26, b: 30 },
      bargap: .15, xaxis: { type: "category", range: null, autorange: true, categoryorder: "array", categoryarray: order, nticks: 10 },
      yaxis: { tickformat: ".0%", rangemode: "tozero" },
    },
  };
}

const figure = (value) => Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 });
const label = ([low, high]) => (low === high ? figure(low) : `${figure(low)} – ${figure(high)}`);

function inOrder(...parts) {
  const bins = parts.flat().sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  return [...new Set(bins.map(label))];
}

function withLine(chart, time, text, [first, last] = [0, 0]) {
  if (time === null) return chart;
  const late = time > first + 0.75 * (last - first);
  const layout = chart.layout ?? {};
  const shape = { type: "line", xref: "x", yref: "paper", x0: time, x1: time, y0: 0, y1: 1, line: { color: "--line-8", width: 1.2, dash: "dot" } };
  const note = { x: time, xref: "x", y: 1, yref: "paper", text, showarrow: false, xanchor: late ? "right" : "left", yanchor: "top", xshift: late ? -3 : 3, yshift: -14 * (layout.annotations?.length ?? 0), font: { color: "--ink", size: 11 } };
  return { ...chart, layout: { ...layout, shapes: [...(layout.shapes ?? []), shape], annotations: [...(layout.annotations ?? []), note] } };
}

// Promotions, triggers and incidents on the time axis: a mark above the lines, and a hair line through them.
function withMarks(chart, shown) {
  if (!shown.length) return chart;
  const kinds = Object.keys(SYMBOLS).filter((kind) => shown.some((mark) => mark.kind === kind));
  const traces = kinds.map((kind) => {
    const mine = shown.filter((mark) => mark.kind === kind);
    return {
      x: mine.map((mark) => mark.time_ms), y: mine.map(() => HEIGHTS[kind]), yaxis: "y2", mode: "markers", name: kind,
      text: mine.map((mark) => plain(shortened(mark.text))), hovertemplate: "%{text}",
      marker: { symbol: SYMBOLS[kind], color: MARK_COLOURS[kind], size: 8 },
    };
  });
  const shapes = shown.map((mark) => ({
    type: "line", xref: "x", yref: "paper", x0: mark.time_ms, x1: mark.time_ms, y0: 0, y1: .86,
    line: { color: "--line-7", width: .8, dash: "dot" }, opacity: .45,
  }));
  const layout = { ...chart.layout, shapes, yaxis: { domain: [0, .84] }, yaxis2: { domain: [.87, 1], range: [-.1, 1.1], visible: false, fixedrange: true } };
  return { data: [...chart.data, ...traces], layout };
}

const shortened = (text) => (text.length > 70 ? `${text.slice(0, 69)}…` : text);
