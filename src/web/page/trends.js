// SPDX-License-Identifier: MIT
// How an experiment does over time; and, where none is asked for, how all of them do.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { add, badge, counted, facts, h, kindOf, link, moment, number, outcome, percent, put, query as form, runLink, score, seconds, signed, svg, table, time,
         unknown, words } from "./dom.js";

const HOUR = 3600, DAY = 86400, MANY = 1000;

// ---- one experiment

const at = (run) => Date.parse(run.started_at) / 1000;

// A mean for each stretch between two changes.
function stretches(found, points) {
  const cuts = found.change_points.map((change) => Date.parse(change.at) / 1000);
  const begin = points[0][0], end = points[points.length - 1][0];
  return [begin, ...cuts].map((from, i) => {
    const to = cuts[i] ?? end, mine = points.filter(([t]) => t >= from && (i === cuts.length ? t <= to : t < to));
    return { from, to, mean: mine.reduce((sum, [, value]) => sum + value, 0) / mine.length };
  }).filter(({ mean }) => Number.isFinite(mean));
}

function lines(found, points) {
  if (points.length < 2) return [];
  const begin = points[0][0], end = points[points.length - 1][0];
  const drawn = [{ name: "mean", kind: "mean", points: found.change_points.length
    ? stretches(found, points).flatMap(({ from, to, mean }) => [[from, mean], [to, mean], [to, null]]) : [[begin, found.mean], [end, found.mean]] }];
  if (found.slope !== null) {
    const middle = points.reduce((sum, [t]) => sum + t, 0) / points.length;
    const on = (t) => Math.min(100, Math.max(0, found.mean + (found.slope * (t - middle)) / DAY));
    drawn.push({ name: "slope", kind: "slope", points: [[begin, on(begin)], [end, on(end)]] });
  }
  return drawn;
}

// Whole days at whole days, so that no day has two marks.
function each(begin, end) {
  const span = end - begin;
  return [60, 300, 900, HOUR, 3 * HOUR, 6 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 365 * DAY].find((step) => span / step <= 8) || 365 * DAY;
}

function trend(found) {
  const figure = chart("Score", "of each run, 0 to 100", { height: 260, format: number });
  const runs = found.runs.filter((run) => run.resilience_score !== null);
  const points = runs.map((run) => [at(run), run.resilience_score]).sort((a, b) => a[0] - b[0]);
  const dots = runs.map((run) => [at(run), run.resilience_score, kindOf(outcome(run.status, run.verdict))]);
  const long = points.length > 1 && points[points.length - 1][0] - points[0][0] > 2 * DAY;
  figure.update({ top: 100, span: 60, of: "started", each, quiet: true, marked: true, named: true,
    marks: found.change_points.map((change) => ({ at: Date.parse(change.at) / 1000, name: `${number(change.before)} \u2192 ${number(change.after)}` })),
    series: [{ name: "score", kind: "thin", points }, { name: "run", kind: "dots", points: dots }, ...lines(found, points)],
    axis: (t) => new Date(1000 * t).toLocaleString(undefined, long ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" }),
    time: (t) => time(1000 * t) });
  return figure;
}

function stats(found) {
  const slope = found.slope === null ? unknown : `${signed(number(found.slope, 2))} a day`;
  const within = found.slope_ci ? `${number(found.slope_ci[0], 2)} to ${number(found.slope_ci[1], 2)}` : unknown;
  return facts([["mean", number(found.mean)], ["spread", number(found.sd)], ["lowest", number(found.min)], ["slope", slope],
    [`slope, ${percent(found.confidence)} sure`, within], ["passed", percent(found.success_rate)], ["runs", number(found.total_runs)]]);
}

function changes(found) {
  if (!found.change_points.length) return null;
  return h("section", {}, h("h2", {}, "Changes"), h("ul", {}, found.change_points.map((change) => {
    const worse = change.after < change.before;
    return h("li", {}, moment(change.at), `: from ${number(change.before)} to ${number(change.after)} `,
      h("span", { class: worse ? "mark-of worse" : "mark-of better" }, worse ? "\u25bc worse" : "\u25b2 better"));
  })));
}

const runsOf = (found) => table(["run", "ended", { n: "score" }, { n: "recovery" }, { n: "errors" }], [...found.runs].sort((a, b) => at(b) - at(a)).map((run) => h("tr", {},
  h("th", { scope: "row" }, runLink(run.id, moment(run.started_at))), h("td", {}, badge(run.status, run.verdict)), h("td", { class: "n" }, score(run.resilience_score)),
  h("td", { class: "n" }, seconds(run.recovery_time)), h("td", { class: "n" }, number(run.error_count)))), "Runs");

// ---- all of them

function sparkline(runs) {
  const scores = runs.filter((run) => run.resilience_score !== null).slice(0, 30).reverse().map((run) => run.resilience_score);
  const x = (i) => (scores.length < 2 ? 116 : 4 + (112 * i) / (scores.length - 1)), y = (value) => 24 - 0.2 * value;
  return svg("svg", { class: "spark", viewBox: "0 0 120 28", role: "img", "aria-label": `the last ${counted(scores.length, "score", "scores")}: ${scores.map((value) => number(value)).join(", ") || unknown}` },
    svg("path", { class: "grid", d: "M0 24H120" }), svg("path", { class: "line", d: scores.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("") }),
    scores.length ? svg("circle", { class: "dot", cx: x(scores.length - 1), cy: y(scores[scores.length - 1]), r: 3 }) : "");
}

function overview(runs) {
  const byName = new Map();
  for (const run of runs) byName.set(run.name, [...(byName.get(run.name) || []), run]);
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const rows = [...byName].map(([name, mine]) => {
    const scores = mine.map((run) => run.resilience_score).filter((value) => value !== null);
    return h("tr", {}, h("th", { scope: "row" }, h("a", { href: link("trends", { name }) }, name)), h("td", {}, words(mine[0].fault_type)), h("td", { class: "n" }, String(mine.length)),
      h("td", {}, sparkline(mine)), h("td", {}, badge(mine[0].status, mine[0].verdict)), h("td", { class: "n" }, score(mine[0].resilience_score)),
      h("td", { class: "n" }, number(scores.length ? mean(scores) : null)), h("td", { class: "n" }, number(scores.length ? Math.min(...scores) : null)));
  });
  return table(["experiment", "fault", { n: "runs" }, "scores", "last ended", { n: "last score" }, { n: "mean" }, { n: "worst" }], rows, "Experiments");
}

// ---- the page

function choice(query, names) {
  const name = query.get("name") || "", profile = query.get("profile") || "";
  const again = (event) => event.currentTarget.form.requestSubmit();
  const option = (value, chosen, text) => h("option", { value, selected: value === chosen }, text || value);
  return form("trends", { class: "filters" }, h("div", {}, h("label", { for: "trend-name" }, "Experiment"), h("select", { id: "trend-name", name: "name", onchange: again },
    option("", name, "all"), [...new Set([...names, name])].filter(Boolean).sort().map((each_) => option(each_, name)))),
  h("div", {}, h("label", { for: "trend-days" }, "Days, 0: all"), h("input", { id: "trend-days", name: "days", type: "number", min: "0", value: query.get("days") || "30" })),
  h("div", {}, h("label", { for: "trend-profile" }, "Pipeline"), h("select", { id: "trend-profile", name: "profile", onchange: again },
    option("", profile, "any"), ["naive", "hardened"].map((each_) => option(each_, profile)))),
  h("div", { class: "answers" }, h("button", { class: "main" }, "Show")));
}

export async function show(content, query) {
  const name = query.get("name"), days = query.get("days") || "30", profile = query.get("profile") || "";
  put(content, h("h1", {}, "Trends"));
  const { runs, total } = await get("/api/v1/runs", { limit: MANY });
  add(content, choice(query, runs.map((run) => run.name)));
  if (!name) {
    const some = runs.filter((run) => (!profile || run.profile === profile) && (days === "0" || Date.now() / 1000 - at(run) <= Number(days) * DAY));
    add(content, some.length ? overview(some) : h("p", { class: "empty" }, "No run is like that."),
      total > runs.length ? h("p", { class: "note" }, `Of the last ${MANY} runs, of ${total}.`) : null);
    return;
  }
  const found = await get("/api/v1/trends", { name, days, profile });
  if (!found.runs.length) {
    add(content, h("p", { class: "empty" }, "No run is like that."));
    return;
  }
  add(content, stats(found), h("div", { class: "beside" }, h("div", {}, trend(found), changes(found)), runsOf(found)));
}
