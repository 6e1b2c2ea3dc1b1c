// SPDX-License-Identifier: MIT
// What was: the history with its filters, one run, two runs side by side, and how an experiment does over time.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { add, badge, h, number, percent, put, seconds, table, time, unknown, words } from "./dom.js";

const PAGE = 50;
const link = (route, query) => `#/${route}?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}`;

// ---- history

const FILTERS = [
  ["name", "Name", "text", "with * and ?"],
  ["layer", "Layer", ["data", "model", "infrastructure"]],
  ["fault", "Fault", "text"],
  ["verdict", "Verdict", ["passed", "deviated", "inconclusive", "invalid"]],
  ["status", "Status", ["completed", "aborted", "interrupted", "failed", "skipped", "dirty"]],
  ["profile", "Pipeline", ["naive", "hardened"]],
  ["tag", "Tag", "text"],
  ["min_score", "Score from", "number"],
  ["max_score", "to", "number"],
  ["since", "Since", "text", "7d, 2026-11-22"],
  ["until", "Until", "text"],
  ["sort", "Order", ["started_at:desc", "started_at:asc", "resilience_score:asc", "resilience_score:desc", "recovery_time:desc",
    "error_count:desc", "p99_ms@fault:desc", "name"]],
];

function field([key, label, kind, hint], query) {
  const id = `filter-${key}`;
  const value = query.get(key) || "";
  const input = Array.isArray(kind)
    ? h("select", { id, name: key }, h("option", { value: "" }, key === "sort" ? "newest first" : "any"), kind.map((choice) =>
      h("option", { value: choice, selected: choice === value }, words(choice))))
    : h("input", { id, name: key, type: kind, step: kind === "number" ? "any" : null, placeholder: hint || null, value });
  return h("div", {}, h("label", { for: id }, label), input);
}

function filters(query) {
  return h("form", { class: "filters", role: "search", onsubmit: (event) => {
    event.preventDefault();
    location.hash = link("history", Object.fromEntries(new FormData(event.currentTarget)));
  } }, FILTERS.map((filter) => field(filter, query)), h("div", {}, h("button", {}, "Filter"), " ", h("a", { href: "#/history" }, "all")));
}

function pages(query, total) {
  const offset = Number(query.get("offset") || 0);
  const at = (to, text) => h("a", { href: link("history", { ...Object.fromEntries(query), offset: to || "" }) }, text);
  return h("p", { class: "note pages" }, total ? `${offset + 1} to ${Math.min(offset + PAGE, total)} of ${total} ` : "no runs ",
    offset > 0 ? at(Math.max(0, offset - PAGE), "newer") : null, " ", offset + PAGE < total ? at(offset + PAGE, "older") : null);
}

export async function history(content, query) {
  const listed = await get("/api/v1/runs", { ...Object.fromEntries(query), limit: PAGE });
  const chosen = [];
  const compare = h("button", { disabled: true, onclick: () => {
    location.hash = link("compare", { a: chosen[0], b: chosen[1] });
  } }, "Compare two");
  const choose = (id) => (event) => {
    if (event.currentTarget.checked) chosen.push(id);
    else chosen.splice(chosen.indexOf(id), 1);
    compare.disabled = chosen.length !== 2;
  };
  const rows = listed.runs.map((run) => h("tr", {},
    h("td", {}, h("input", { type: "checkbox", "aria-label": `choose ${run.name} of ${time(run.started_at)}`, onchange: choose(run.id) })),
    h("th", { scope: "row" }, h("a", { href: `#/runs/${encodeURIComponent(run.id)}` }, run.name)),
    h("td", {}, words(run.fault_type)), h("td", {}, run.layer), h("td", {}, badge(run.status, run.verdict)),
    h("td", { class: "n" }, number(run.resilience_score)), h("td", { class: "n" }, seconds(run.recovery_time)),
    h("td", { class: "n" }, number(run.error_count)), h("td", {}, time(run.started_at)),
    h("td", {}, h("a", { href: link("trends", { name: run.name }), "aria-label": `trend of ${run.name}` }, "trend"))));
  put(content, h("h1", {}, "History"), filters(query), h("p", {}, compare),
    table(["two", "experiment", "fault", "layer", "ended", { n: "score" }, { n: "recovery" }, { n: "errors" }, "started", "over time"], rows, "Runs"),
    pages(query, listed.total));
}

// ---- one run

const facts = (list) => h("dl", { class: "stats" }, list.map(([name, value], i) => h("div", { class: i === 0 ? "first" : null }, h("dt", {}, name), h("dd", {}, value))));

function phases(run) {
  const names = Object.keys(run.metrics.operations || {});
  const cell = (value, digits) => h("td", { class: "n" }, number(value, digits));
  return table(["phase", ...["operations", "failed", "p50 ms", "p90 ms", "p99 ms", "max ms"].map((n) => ({ n }))], names.map((name) => {
    const latency = (run.metrics.latency_ms || {})[name] || {};
    return h("tr", {}, h("th", { scope: "row" }, name), cell(run.metrics.operations[name]), cell((run.metrics.failed_operations || {})[name]),
      cell(latency.p50), cell(latency.p90), cell(latency.p99), cell(latency.max));
  }), "Phases");
}

export async function run(content, query, id) {
  const shown = await get(`/api/v1/runs/${encodeURIComponent(id)}`);
  const { experiment, metrics, score } = shown;
  const lost = Object.entries(score.terms || {}).filter(([, points]) => points > 0).map(([term, points]) => `${number(points)} by ${term}`);
  const frame = h("iframe", { class: "report", title: `Report of ${experiment.name}`, sandbox: "", src: `/api/v1/runs/${encodeURIComponent(id)}/report` });
  put(content, 
    h("h1", {}, experiment.name, " ", badge(shown.status, shown.verdict)),
    h("p", { class: "what" }, h("span", { class: "tag" }, experiment.layer), h("span", {}, words(experiment.fault_type)),
      shown.profile ? h("span", { class: "of" }, shown.profile) : null, h("span", { class: "of" }, time(shown.started_at))),
    shown.reason ? h("p", { class: "why" }, shown.detail || shown.reason) : null,
    facts([["score", number(score.value)], ["lost", lost.join(", ") || "nothing"], ["recovery", seconds(metrics.recovery_time)],
      ["accuracy lost", percent(metrics.accuracy_degradation)], ["downtime", seconds(metrics.pipeline_downtime)], ["errors", number(metrics.error_count)]]),
    h("h2", {}, "Proof"), h("p", {}, shown.verified ? "Seen: " : "Not seen: ", shown.verification || unknown),
    h("h2", {}, "Rollback"), h("p", {}, `${shown.rollback.strategy || unknown}, ${number(shown.rollback.seconds, 3)} s, ${shown.rollback.verified ? "verified" : "not verified"}`),
    h("ol", {}, (shown.rollback.steps || []).map((step) => h("li", {}, `after ${number(step.at, 2)} s: intensity ${number(step.intensity, 2)}, ${step.healthy ? "healthy" : "not healthy"}`))),
    h("h2", {}, "Phases"), phases(shown),
    h("p", {}, h("a", { href: `/api/v1/runs/${encodeURIComponent(id)}/document` }, "its document"), " ",
      h("a", { href: `/api/v1/runs/${encodeURIComponent(id)}/report` }, "its report alone"), " ", h("a", { href: link("trends", { name: experiment.name }) }, "its trend"), " ",
      h("a", { href: link("compare", { a: id }) }, "compare with another")),
    frame);
}

// ---- two runs

const faultOf = (run) => ((run.series || {}).phases || []).filter((phase) => phase.phase === "fault").map((phase) => [phase.begin, phase.end]);
const pointsOf = (run, key) => ((run.series || {}).at || []).map((at, i) => [at, run.series[key][i]]);

function overlay(title, unit, key, a, b, top) {
  const figure = chart(title, unit);
  figure.update({ top, windows: faultOf(a), series: [{ name: "first", points: pointsOf(a, key) }, { name: "second", kind: "line2", points: pointsOf(b, key) }] });
  return figure;
}

function comparison(both) {
  const rows = both.metrics.map((metric) => h("tr", {}, h("th", { scope: "row" }, words(metric.metric)),
    metric.values.map((value, i) => h("td", { class: "n" }, number(value, 3), metric.best === i ? h("span", { class: "best" }, " better") : null)),
    h("td", { class: "n" }, number((metric.differences || [])[1], 3))));
  const texts = ["name", "fault_type", "profile", "status", "verdict", "started_at"].map((key) => h("tr", {}, h("th", { scope: "row" }, words(key)),
    both.runs.map((run) => h("td", { class: "n" }, key === "started_at" ? time(run[key]) : run[key] ?? unknown)), h("td", {})));
  return table(["what", { n: "first" }, { n: "second" }, { n: "difference" }], [...texts, ...rows], "Comparison");
}

function chooseTwo(query) {
  const of = (key, label) => h("div", {}, h("label", { for: key }, label), h("input", { id: key, name: key, value: query.get(key) || "", required: true }));
  return h("form", { class: "filters two", onsubmit: (event) => {
    event.preventDefault();
    location.hash = link("compare", Object.fromEntries(new FormData(event.currentTarget)));
  } }, of("a", "First run: id, name or last"), of("b", "Second run"), h("div", {}, h("button", {}, "Compare")));
}

export async function compare(content, query) {
  put(content, h("h1", {}, "Compare"), chooseTwo(query));
  if (!query.get("a") || !query.get("b")) return;
  const both = await get("/api/v1/compare", { a: query.get("a"), b: query.get("b") });
  const [a, b] = await Promise.all(both.runs.map((run) => get(`/api/v1/runs/${encodeURIComponent(run.id)}`)));
  add(content, comparison(both), h("div", { class: "charts" },
    overlay("Latency p99", "ms over the run", "p99_ms", a, b), overlay("Accuracy", "share of right predictions", "accuracy", a, b, 1),
    overlay("Errors", "operations that failed", "errors", a, b), overlay("Fault", "intensity", "intensity", a, b, 1)));
}

// ---- trends

const DAY = 86400;

function trend(found) {
  const figure = chart("Score", "of each run, 0 to 100");
  const at = (run) => Date.parse(run.started_at) / 1000;
  const runs = found.runs.filter((r) => r.resilience_score !== null);
  const points = runs.map((r) => [at(r), r.resilience_score]);
  const series = [{ name: "score", points, dots: true }];
  if (found.mean !== null && points.length > 1) series.push({ name: "mean", kind: "line2", points: [[points[0][0], found.mean], [points[points.length - 1][0], found.mean]] });
  const long = points.length > 1 && points[points.length - 1][0] - points[0][0] > 2 * DAY;
  figure.update({ top: 100, span: 60, of: "time", series, label: (t) => new Date(1000 * t).toLocaleString(undefined, long ? { dateStyle: "short" } : { timeStyle: "medium" }) });
  return figure;
}

export async function trends(content, query) {
  const name = query.get("name") || "", days = query.get("days") || "30";
  const known = [...new Set((await get("/api/v1/runs", { limit: 1000 })).runs.map((r) => r.name))].sort();
  const form = h("form", { class: "filters", onsubmit: (event) => {
    event.preventDefault();
    location.hash = link("trends", Object.fromEntries(new FormData(event.currentTarget)));
  } }, h("div", {}, h("label", { for: "trend-name" }, "Experiment"), h("select", { id: "trend-name", name: "name" },
    known.map((n) => h("option", { value: n, selected: n === name }, n)))),
  h("div", {}, h("label", { for: "trend-days" }, "Days, 0: all"), h("input", { id: "trend-days", name: "days", type: "number", min: "0", value: days })),
  h("div", {}, h("button", {}, "Show")));
  put(content, h("h1", {}, "Trends"), form);
  if (!name) return;
  const found = await get("/api/v1/trends", { name, days });
  const slope = found.slope === null ? unknown : `${number(found.slope, 2)} a day`;
  const within = found.slope_ci ? `${number(found.slope_ci[0], 2)} to ${number(found.slope_ci[1], 2)}` : unknown;
  add(content, facts([["mean", number(found.mean)], ["spread", number(found.sd)], ["slope", slope], [`slope, ${percent(found.confidence)} sure`, within],
    ["passed", percent(found.success_rate)], ["runs", number(found.total_runs)]]), trend(found),
  found.change_points.length ? h("div", {}, h("h2", {}, "Changes"), h("ul", {}, found.change_points.map((change) =>
    h("li", {}, `${time(change.at)}: from ${number(change.before)} to ${number(change.after)}`)))) : null,
  table(["run", "ended", { n: "score" }, { n: "recovery" }, { n: "errors" }], found.runs.map((r) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: `#/runs/${encodeURIComponent(r.id)}` }, time(r.started_at))), h("td", {}, badge(r.status, r.verdict)),
    h("td", { class: "n" }, number(r.resilience_score)), h("td", { class: "n" }, seconds(r.recovery_time)), h("td", { class: "n" }, number(r.error_count)))), "Runs"));
}
