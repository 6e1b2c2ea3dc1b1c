// SPDX-License-Identifier: MIT
// Charts over time as SVG, as the report draws them: the fault's window shaded, a gap where nothing was measured, and beside each
// the table of its numbers. They are drawn in the pixels that they have, so that a letter is as large in a small one.
//
// What a figure's update() takes:
//   series   [{name, points: [[at, value]], kind, show}]; kind: line (usual), thin, other, dots, bars, steps, mean, none
//   windows  [{from, to, other}]: when a fault was there          marks  [{at, name}]: where a phase begins
//   top      the least upper end of the axis                      span   the least length of time
//   axis     how a time is called; time: how it is called in the table

import { h, number, svg, unknown } from "./dom.js";

const LEFT = 52, RIGHT = 14, ABOVE = 10, BELOW = 24, NAMES = 16, LETTER = 6.2;
const has = (value) => value !== null && value !== undefined && Number.isFinite(value);

// 1, 2 or 5 times a power of ten, so that at most `count` of them make up `span`.
function step(span, count) {
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].find((digit) => digit * power >= raw * 0.9999) * power;
}

export function clock(at) {
  const total = Math.round(Math.abs(at));
  return Math.abs(at) < 120 ? `${number(at, 2)} s` : `${at < 0 ? "\u2212" : ""}${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
}

// ---- scales

// A logarithmic axis is one of latencies that differ a hundredfold.
function rangeOf(chart, height) {
  const values = chart.series.flatMap((series) => series.points.map(([, value]) => value)).filter(has);
  const most = Math.max(chart.top || 0, ...values), positive = values.filter((value) => value > 0);
  if (chart.logarithmic && positive.length && most > 100 * Math.min(...positive)) {
    const low = 10 ** Math.floor(Math.log10(Math.min(...positive))), high = 10 ** Math.ceil(Math.log10(most));
    const decades = Math.round(Math.log10(high / low));
    return { high, ticks: Array.from({ length: decades + 1 }, (_, i) => low * 10 ** i), isLog: true,
             share: (value) => Math.log(Math.max(value, low) / low) / Math.log(high / low) };
  }
  const each = step(most || 1, height < 110 ? 2 : 4);
  const high = chart.top && most <= chart.top ? chart.top : Math.ceil((most || 1) / each - 1e-9) * each;
  const ticks = Array.from({ length: Math.floor(high / each + 1e-9) + 1 }, (_, i) => i * each);
  return { high, ticks, share: (value) => Math.max(0, value) / high };
}

function spanOf(chart) {
  const times = chart.series.flatMap((series) => series.points.map(([at]) => at));
  const begin = times.length ? times.reduce((a, b) => Math.min(a, b)) : 0;
  const end = times.length ? times.reduce((a, b) => Math.max(a, b)) : 0;
  return [begin, Math.max(end, begin + (chart.span || 1))];
}

// ---- what is drawn

function line(points, x, y) {
  let text = "", pen = "M";
  for (const [at, value] of points) {
    if (has(value)) text += `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = has(value) ? "L" : "M"; // what was not measured is a gap
  }
  return text;
}

// A value holds until the next one.
function steps(points, x, y) {
  let text = "";
  points.filter(([, value]) => has(value)).forEach(([at, value], i) => {
    text += i ? `H${x(at).toFixed(1)}V${y(value).toFixed(1)}` : `M${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  return text;
}

const DRAW = {
  line: ({ points }, { x, y }) => [svg("path", { class: "line", d: line(points, x, y) })],
  thin: ({ points }, { x, y }) => [svg("path", { class: "line thin", d: line(points, x, y) })],
  other: ({ points }, { x, y }) => [svg("path", { class: "line other", d: line(points, x, y) })],
  mean: ({ points }, { x, y }) => [svg("path", { class: "line mean", d: line(points, x, y) })],
  slope: ({ points }, { x, y }) => [svg("path", { class: "line slope", d: line(points, x, y) })],
  dots: ({ points }, { x, y }) => points.filter(([, value]) => has(value)).map(([at, value, kind]) => (kind === "bad" || kind === "warn"
    ? svg("path", { class: `dot ${kind}`, d: `M${x(at)} ${y(value) - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z` })
    : svg("circle", { class: `dot ${kind || ""}`, cx: x(at), cy: y(value), r: 4 }))),
  bars: ({ points }, { x, y }) => {
    const wide = points.length > 1 ? Math.max(1, Math.min(8, 0.8 * (x(points[1][0]) - x(points[0][0])))) : 4;
    return [svg("path", { class: "line flat", d: `M${x.from} ${y(0)}H${x.to}` }), svg("path", { class: "bars", d: points.filter(([, value]) => value > 0)
      .map(([at, value]) => `M${(x(at) - wide / 2).toFixed(1)} ${y(0)}V${y(value).toFixed(1)}h${wide.toFixed(1)}V${y(0)}Z`).join("") })];
  },
  steps: ({ points }, { x, y }) => {
    const text = steps(points, x, y);
    if (!text) return [];
    const last = points[points.length - 1], first = points[0];
    return [svg("path", { class: "shade", d: `${text}V${y(0)}H${x(first[0]).toFixed(1)}Z` }),
      svg("path", { class: "line", d: text + (last ? `H${x(last[0]).toFixed(1)}` : "") })];
  },
  none: () => [],
};

// A mark where each phase begins, and its name above it where there is room.
function marks(chart, x, top, bottom, named) {
  let free = 0;
  return (chart.marks || []).flatMap(({ at, name }, i, all) => {
    const from = x(at), until = i + 1 < all.length ? x(all[i + 1].at) : x.to + RIGHT;
    const drawn = i === 0 && !chart.marked ? [] : [svg("path", { class: "mark", d: `M${from.toFixed(1)} ${top}V${bottom}` })];
    if (named && from >= free && from + LETTER * name.length <= until) {
      drawn.push(svg("text", { class: "phase", x: from.toFixed(1), y: top - 6 }, name));
      free = from + LETTER * name.length + 6;
    }
    return drawn;
  });
}

function timeAxis(chart, x, begin, end, bottom) {
  const each = chart.each ? chart.each(begin, end) : step(end - begin, Math.max(2, (x.to - x.from) / 76));
  const drawn = [];
  for (let at = Math.ceil(begin / each - 1e-9) * each; at <= end + 1e-9; at += each) {
    const text = (chart.axis || clock)(Math.abs(at) < each / 1e6 ? 0 : at);
    const middle = Math.min(x(at), x.to + RIGHT - LETTER * text.length / 2);
    drawn.push(svg("text", { x: middle.toFixed(1), y: bottom + 17, "text-anchor": "middle" }, text));
  }
  return drawn;
}

function draw(picture, chart, width, height) {
  const named = Boolean(chart.marks && chart.named);
  const top = ABOVE + (named ? NAMES : 0), bottom = height - BELOW;
  const [begin, end] = spanOf(chart), range = rangeOf(chart, bottom - top);
  const x = (at) => LEFT + ((Math.min(Math.max(at, begin), end) - begin) / (end - begin)) * (width - LEFT - RIGHT);
  const y = (value) => bottom - Math.min(1, range.share(value)) * (bottom - top);
  Object.assign(x, { from: LEFT, to: width - RIGHT });
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.replaceChildren(
    ...(chart.windows || []).filter(({ from, to }) => to > begin && from < end).map(({ from, to, other }) => svg("rect",
      { class: other ? "window other" : "window", x: x(from).toFixed(1), y: top, width: Math.max(1, x(to) - x(from)).toFixed(1), height: bottom - top })),
    ...range.ticks.flatMap((value) => [svg("path", { class: "grid", d: `M${LEFT} ${y(value).toFixed(1)}H${width - RIGHT}` }),
      svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, number(value, 3))]),
    ...(range.isLog ? [svg("text", { class: "phase", x: width - RIGHT, y: top + 10, "text-anchor": "end" }, "log")] : []),
    ...marks(chart, x, top, bottom, named), ...timeAxis(chart, x, begin, end, bottom),
    ...chart.series.flatMap((series) => DRAW[series.kind || "line"](series, { x, y })));
  return { x, begin, end, top, bottom };
}

// ---- the numbers

function numbers(chart) {
  const shown = chart.series.filter((series) => series.kind !== "slope" && series.kind !== "mean");
  const rows = new Map();
  shown.forEach((series, i) => series.points.forEach(([at, value]) => {
    if (!rows.has(at)) rows.set(at, new Array(shown.length).fill(null));
    rows.get(at)[i] = value;
  }));
  return h("table", { class: "data" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, chart.of || "time"), shown.map((series) => h("th", { scope: "col" }, series.name)))),
    h("tbody", {}, [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([at, values]) => h("tr", {},
      h("th", { scope: "row" }, (chart.time || ((t) => `${number(t, 2)} s`))(at)), values.map((value) => h("td", {}, number(value, 3)))))));
}

// The value of each series nearest to a time.
function near(series, at) {
  let found = null;
  for (const point of series.points) if (has(point[1]) && (!found || Math.abs(point[0] - at) < Math.abs(found[0] - at))) found = point;
  return found;
}

const lastOf = (series) => {
  for (let i = series.points.length - 1; i >= 0; i--) if (has(series.points[i][1])) return series.points[i];
  return null;
};

// ---- a figure

const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) target.resized?.(Math.round(contentRect.width));
});

export function chart(title, unit, { height = 168, format = (value) => number(value, 2) } = {}) {
  const picture = svg("svg", { role: "img", viewBox: `0 0 720 ${height}`, "aria-label": `${title}, ${unit}` });
  const key = h("span", { class: "key" });
  const place = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title} in numbers` });
  const cursor = h("div", { class: "cursor", hidden: true });
  const plot = h("div", { class: "plot" }, picture, cursor);
  let shown = { series: [] }, width = 720, scale = null, hovered = null;
  const details = h("details", { ontoggle: () => details.open && place.replaceChildren(numbers(shown)) }, h("summary", {}, "numbers"), place);
  const figure = h("figure", {}, h("figcaption", {}, h("strong", {}, title), h("span", { class: "unit" }, unit), key), plot, details);

  // The series by their lines, with the value where the pointer is, or else the last one.
  const tell = () => {
    const told = shown.series.filter((series) => series.kind !== "none").map((series) => {
      const point = hovered === null ? lastOf(series) : near(series, hovered);
      return [series, shown.quiet && hovered === null ? "" : point ? (series.format || format)(point[1]) : unknown];
    });
    key.replaceChildren(...(hovered === null ? [] : [h("span", { class: "at" }, (shown.time || clock)(hovered))]),
      ...told.map(([series, value]) => h("span", { class: `sample ${series.kind || "line"}` },
        shown.series.length > 1 ? `${series.name} ` : "", h("b", {}, value))));
  };
  const name = () => {
    const last = shown.series.filter((series) => series.kind !== "none").map((series) => {
      const point = lastOf(series);
      return `${series.name} ${point ? (series.format || format)(point[1]) : unknown}`;
    });
    picture.setAttribute("aria-label", `${title}, ${unit}; last: ${last.join(", ") || unknown}`);
  };
  const paint = () => {
    scale = draw(picture, shown, width, height);
  };
  const leave = () => {
    hovered = null;
    cursor.hidden = true;
    tell();
  };
  plot.addEventListener("pointermove", (event) => {
    if (!scale || !shown.series.length) return;
    const share = (event.clientX - plot.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT);
    const point = near({ points: shown.series.flatMap((series) => series.points) }, scale.begin + share * (scale.end - scale.begin));
    if (share < -0.02 || share > 1.02 || !point) return leave();
    hovered = point[0];
    cursor.hidden = false;
    cursor.style.left = `${scale.x(hovered)}px`;
    cursor.style.top = `${scale.top}px`;
    cursor.style.height = `${scale.bottom - scale.top}px`;
    tell();
  });
  plot.addEventListener("pointerleave", leave);
  plot.resized = (now) => {
    if (now < 40 || now === width) return;
    width = now;
    paint();
  };
  sizes.observe(plot);
  figure.update = (next) => {
    shown = next;
    paint();
    tell();
    name();
    if (details.open) place.replaceChildren(numbers(next));
  };
  return figure;
}
