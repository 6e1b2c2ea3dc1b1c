// SPDX-License-Identifier: MIT
// Two runs side by side: what was measured, which of them did better, and their courses over each other.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { about, add, badge, h, link, moment, ms, number, percent, put, query as form, runLink, score, seconds, signed, table, words } from "./dom.js";

// ---- which two

function choice(query) {
  const of = (key, label) => h("div", {}, h("label", { for: key }, label), h("input", { id: key, name: key, value: query.get(key) || "", required: true, list: "known" }));
  const known = h("datalist", { id: "known" });
  get("/api/v1/runs", { limit: 50 }).then(({ runs }) => put(known, runs.map((run) => h("option", { value: run.id }, `${run.name}, ${run.started_at}`))), () => {});
  return form("compare", { class: "filters two" }, of("a", "A: id of a run, its name, or last"), of("b", "B"), known, h("div", { class: "answers" }, h("button", { class: "main" }, "Compare"),
    query.get("a") && query.get("b") ? h("a", { href: link("compare", { a: query.get("b"), b: query.get("a") }) }, "swap") : null));
}

function side(letter, run) {
  return h("section", { class: `side ${letter}`, "aria-label": `run ${letter}` }, h("p", { class: "letter" }, h("span", { class: "swatch-line" }), letter.toUpperCase()),
    h("h2", {}, runLink(run.id, run.name), " ", badge(run.status, run.verdict)), h("p", { class: "what" }, about(run)), h("p", { class: "note" }, moment(run.started_at)),
    h("p", { class: "big" }, score(run.resilience_score)));
}

// ---- the table

const NAMES = { resilience_score: "score", recovery_time: "recovery", accuracy_degradation: "accuracy lost", pipeline_downtime: "downtime", error_count: "errors",
                baseline_accuracy: "accuracy before", fault_accuracy: "accuracy with the fault", lost_accuracy: "points lost by accuracy",
                lost_downtime: "points lost by downtime", lost_errors: "points lost by errors", rollback_seconds: "rollback" };
const SECONDS = new Set(["recovery_time", "pipeline_downtime", "duration", "rollback_seconds"]);

const nameOf = (metric) => NAMES[metric] || words(metric).replace(/^(p\d+|max) ms@(.*)$/, "latency $1, $2").replace("@", ", ");

function formatOf(metric) {
  if (metric.includes("_ms@")) return ms;
  if (SECONDS.has(metric)) return (value) => (value === null || value === undefined ? number(value) : `${number(value, 3)} s`);
  if (/^(accuracy_degradation|baseline_accuracy|fault_accuracy)$/.test(metric)) return percent;
  return (value) => number(value, 2);
}

const GROUPS = [["Outcome", (metric) => /^(resilience_score|lost_|recovery_time|pipeline_downtime|error_count|duration|rollback_seconds)/.test(metric)],
  ["Accuracy", (metric) => /accuracy/.test(metric)], ["Latency", (metric) => /_ms@/.test(metric)], ["Other", () => true]];

// What B is, compared with A: said in a word and by an arrow, which the colour repeats.
function judged(metric, format) {
  const difference = (metric.differences || [])[1];
  if (difference === null || difference === undefined || !Number.isFinite(difference)) return number(null);
  const text = signed(format(difference));
  if (/^[+\u2212]?0( |$)/.test(text)) return h("span", { class: "of" }, "same");
  if (metric.best === null || metric.best === undefined) return text;
  const better = metric.best === 1;
  return [text, h("span", { class: better ? "mark-of better" : "mark-of worse" }, better ? " \u25b2 better" : " \u25bc worse")];
}

function rows(metrics) {
  const left = new Set(metrics);
  return GROUPS.flatMap(([title, belongs]) => {
    const mine = metrics.filter((metric) => left.has(metric) && belongs(metric.metric));
    for (const metric of mine) left.delete(metric);
    if (!mine.length) return [];
    return [h("tr", { class: "group" }, h("th", { scope: "rowgroup", colspan: "4" }, title)), ...mine.map((metric) => {
      const format = formatOf(metric.metric);
      return h("tr", {}, h("th", { scope: "row" }, nameOf(metric.metric)),
        metric.values.map((value, i) => h("td", { class: `n${metric.best === i ? " best" : ""}` }, format(value))), h("td", { class: "n" }, judged(metric, format)));
    })];
  });
}

// ---- the charts

const faultOf = (run) => (run.series?.phases || []).find((phase) => phase.phase === "fault");

// Time counts from the fault, so that the two lie over each other.
function pointsOf(run, key) {
  const zero = faultOf(run)?.begin || 0;
  return (run.series?.at || []).map((at, i) => [at - zero, (run.series[key] || [])[i] ?? null]);
}

function overlay(title, unit, key, a, b, more) {
  const figure = chart(title, unit, more);
  const windows = [a, b].map((run, i) => [faultOf(run), i]).filter(([fault]) => fault).map(([fault, i]) => ({ from: 0, to: fault.end - fault.begin, other: i === 1 }));
  figure.update({ quiet: true, of: "time from the fault", windows, ...more, series: [{ name: "A", points: pointsOf(a, key) }, { name: "B", kind: "other", points: pointsOf(b, key) }] });
  return figure;
}

function courses(a, b) {
  if (!a.series?.at?.length && !b.series?.at?.length) return null;
  return [h("h2", {}, "Courses"), h("p", { class: "note" }, "Time counts from the fault. Shaded: the fault of A; outlined: the fault of B."), h("div", { class: "charts" },
    overlay("Latency p99", "ms", "p99_ms", a, b, { format: ms, logarithmic: true }), overlay("Latency p50", "ms", "p50_ms", a, b, { format: ms, logarithmic: true }),
    overlay("Accuracy", "share of right predictions", "accuracy", a, b, { top: 1, format: percent }), overlay("Errors", "failed operations", "errors", a, b, { top: 1 }),
    overlay("Fault", "intensity, 0 to 1", "intensity", a, b, { top: 1, height: 120 }))];
}

export async function show(content, query) {
  put(content, h("h1", {}, "Compare"), choice(query));
  if (!query.get("a") || !query.get("b")) {
    add(content, h("p", { class: "note" }, "Or choose two in the ", h("a", { href: "#/history" }, "history"), "."));
    return;
  }
  const both = await get("/api/v1/compare", { a: query.get("a"), b: query.get("b") });
  const [a, b] = await Promise.all(both.runs.map((run) => get(`/api/v1/runs/${encodeURIComponent(run.id)}`)));
  add(content, h("div", { class: "sides" }, side("a", both.runs[0]), side("b", both.runs[1])),
    table(["measured", { n: "A" }, { n: "B" }, { n: "B against A" }], rows(both.metrics), "Comparison"), courses(a, b));
}
