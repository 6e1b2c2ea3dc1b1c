// SPDX-License-Identifier: MIT
// Line charts as SVG: one or two measurements over time, the fault's window shaded, and beside each a table of its numbers.

import { h, svg, number } from "./dom.js";

const WIDTH = 720, HEIGHT = 168;
const LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 26;

// A round number that is not below `value`.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function path(points, x, y) {
  let line = "", pen = "M";
  for (const [at, value] of points) {
    if (value === null || value === undefined || !Number.isFinite(value)) {
      pen = "M"; // what was not measured is a gap
      continue;
    }
    line += `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  }
  return line;
}

// `chart.series`: [{name, points: [[seconds, value]], kind: "line" | "line2" | "area" | "line3"}], `chart.windows`: [[from, to]] in
// seconds, `chart.top`: the least upper end of the axis, `chart.span`: the least length of time.
function draw(picture, chart) {
  const all = chart.series.flatMap((series) => series.points);
  const times = all.map(([at]) => at);
  const begin = Math.min(...times, Infinity) === Infinity ? 0 : Math.min(...times);
  const end = Math.max(...times, begin + (chart.span || 1));
  const top = ceiling(Math.max(chart.top || 0, ...all.map(([, value]) => value || 0)));
  const x = (at) => LEFT + ((at - begin) / (end - begin)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  picture.replaceChildren();
  for (const [from, to] of chart.windows || [])
    picture.append(svg("rect", { class: "window", x: x(Math.max(from, begin)), y: TOP,
      width: Math.max(0, x(Math.min(to, end)) - x(Math.max(from, begin))), height: HEIGHT - TOP - BOTTOM }));
  for (const part of [0, 0.5, 1]) {
    picture.append(svg("path", { class: "grid", d: `M${LEFT} ${y(part * top)}H${WIDTH - RIGHT}` }),
      svg("text", { x: LEFT - 8, y: y(part * top) + 4, "text-anchor": "end" }, number(part * top, 2)));
  }
  const step = ceiling((end - begin) / 7);
  for (let at = Math.ceil(begin / step) * step; at <= end + 1e-9; at += step)
    picture.append(svg("text", { x: x(at), y: HEIGHT - 8, "text-anchor": "middle" }, chart.label ? chart.label(at) : `${number(at, 1)} s`));
  for (const series of chart.series) {
    const line = path(series.points, x, y);
    if (!line) continue;
    if (series.kind === "area") {
      const last = series.points[series.points.length - 1];
      picture.append(svg("path", { class: "shade", d: `${line}L${x(last[0]).toFixed(1)} ${y(0)}L${x(series.points[0][0]).toFixed(1)} ${y(0)}Z` }));
    }
    picture.append(svg("path", { class: `line ${series.kind || ""}`, d: line }));
    if (series.dots) for (const [at, value] of series.points)
      if (Number.isFinite(value) && value !== null) picture.append(svg("circle", { class: "dot", cx: x(at), cy: y(value), r: 3 }));
  }
}

function numbers(chart) {
  const rows = new Map();
  chart.series.forEach((series, i) => series.points.forEach(([at, value]) => {
    if (!rows.has(at)) rows.set(at, new Array(chart.series.length).fill(null));
    rows.get(at)[i] = value;
  }));
  return h("table", { class: "data" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, chart.of || "s"), chart.series.map((series) => h("th", { scope: "col" }, series.name)))),
    h("tbody", {}, [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([at, values]) => h("tr", {},
      h("th", { scope: "row" }, chart.label ? chart.label(at) : number(at, 2)), values.map((value) => h("td", {}, number(value, 3)))))));
}

// A figure with `update(chart)`. The table is made only when somebody opens it.
export function chart(title, unit) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}, ${unit}` });
  const key = h("span", { class: "key" });
  const place = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title} in numbers` });
  let shown = { series: [] };
  const details = h("details", { ontoggle: () => details.open && place.replaceChildren(numbers(shown)) },
    h("summary", {}, "numbers"), place);
  const figure = h("figure", {}, h("figcaption", {}, h("strong", {}, title), h("span", {}, unit), key), h("div", { class: "plot" }, picture), details);
  figure.update = (next) => {
    shown = next;
    draw(picture, next);
    key.replaceChildren(...(next.series.length > 1 ? next.series.map((series) =>
      h("span", { class: `of ${series.kind || ""}` }, series.name)) : []));
    if (details.open) place.replaceChildren(numbers(next));
    const last = next.series.map((series) => `${series.name} ${number((series.points[series.points.length - 1] || [])[1], 2)}`);
    picture.setAttribute("aria-label", `${title}, ${unit}; last: ${last.join(", ")}`);
  };
  return figure;
}
