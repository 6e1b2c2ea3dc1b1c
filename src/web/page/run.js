// SPDX-License-Identifier: MIT
// One run: how it ended and why, its score and what it lost, the proof, the rollback, its course, and its report.

import { get, isFree } from "./api.js";
import { chart } from "./chart.js";
import { about, add, badge, facts, h, link, moment, ms, number, percent, put, seconds, svg, table, unknown, words } from "./dom.js";

const at = (id, what) => `/api/v1/runs/${encodeURIComponent(id)}${what}`;

// ---- the score

const TERMS = [["downtime", "lost1"], ["accuracy", "lost2"], ["errors", "lost3"]];

function scoreBar(value, terms) {
  let from = value;
  const lost = terms.map(([, points, kind]) => {
    const part = svg("rect", { class: kind, x: from, width: points, height: 2 });
    from += points;
    return part;
  });
  return svg("svg", { class: "whole", viewBox: "0 0 100 2", preserveAspectRatio: "none", role: "img",
    "aria-label": `${number(value)} of 100 points; ${terms.map(([term, points]) => `${number(points)} lost by ${words(term)}`).join(", ") || "nothing lost"}` },
  svg("rect", { class: "all", width: 100, height: 2 }), svg("rect", { class: "kept", width: value, height: 2 }), lost);
}

function scored({ score }) {
  const known = new Map(TERMS);
  const terms = Object.entries(score.terms || {}).filter(([, points]) => points > 0).map(([term, points], i) => [term, points, known.get(term) || `lost${1 + (i % 3)}`]);
  return h("div", { class: "scored" }, h("p", { class: score.value === null ? "big none" : "big" }, number(score.value), h("span", { class: "of" }, " of 100")),
    score.value === null ? h("p", { class: "note" }, "nothing was measured") : scoreBar(score.value, terms),
    h("ul", { class: "terms" }, terms.length ? terms.map(([term, points, kind]) => h("li", {}, h("span", { class: `swatch ${kind}` }), `\u2212${number(points)} ${words(term)}`))
      : score.value === null ? null : h("li", {}, "nothing lost")),
    h("p", { class: "note" }, `formula ${score.formula || unknown}`));
}

// ---- the course

const spanOf = (series, name) => (series.phases || []).filter((phase) => phase.phase === name).map((phase) => ({ from: phase.begin, to: phase.end }));
const points = (series, key) => (series.at || []).map((moment_, i) => [moment_, (series[key] || [])[i] ?? null]);

export function course(series) {
  if (!series?.at?.length) return null;
  const shade = { windows: spanOf(series, "fault"), quiet: true, marks: (series.phases || []).map((phase) => ({ at: phase.begin, name: words(phase.phase) })) };
  const latency = chart("Latency", "ms", { height: 210, format: ms }), accuracy = chart("Accuracy", "share of right predictions", { format: percent });
  const errors = chart("Errors", "failed operations", { height: 120 }), fault = chart("Fault", "intensity, 0 to 1", { height: 104 });
  latency.update({ ...shade, named: true, logarithmic: true, series: [{ name: "p50", points: points(series, "p50_ms") }, { name: "p99", kind: "thin", points: points(series, "p99_ms") }] });
  accuracy.update({ ...shade, top: 1, series: [{ name: "accuracy", points: points(series, "accuracy") }] });
  errors.update({ ...shade, top: 1, series: [{ name: "errors", kind: "bars", points: points(series, "errors") }] });
  fault.update({ ...shade, top: 1, series: [{ name: "intensity", kind: "steps", points: points(series, "intensity") }] });
  return [h("h2", {}, "Course"), h("div", { class: "course" }, latency, accuracy, errors, fault)];
}

function phases({ metrics }) {
  const cell = (value, digits) => h("td", { class: "n" }, number(value, digits));
  return table(["phase", ...["operations", "failed", "p50 ms", "p90 ms", "p99 ms", "max ms"].map((n) => ({ n }))], Object.keys(metrics.operations || {}).map((name) => {
    const latency = (metrics.latency_ms || {})[name] || {};
    return h("tr", {}, h("th", { scope: "row" }, words(name)), cell(metrics.operations[name]), cell((metrics.failed_operations || {})[name]),
      cell(latency.p50), cell(latency.p90), cell(latency.p99), cell(latency.max));
  }), "Phases");
}

// ---- what else is known

// Whatever it holds, in words: objects as lists of their keys.
function plain(value) {
  if (value === null || value === undefined || value === "") return unknown;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return number(value, 4);
  if (Array.isArray(value)) return value.length ? value.map(plain).join(", ") : "none";
  if (typeof value === "object") return Object.entries(value).filter(([, part]) => part !== null).map(([key, part]) => `${words(key)} ${plain(part)}`).join("; ") || "none";
  return String(value);
}

const list = (entries) => h("dl", { class: "list" }, entries.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
const section = (title, ...children) => h("section", {}, h("h2", {}, title), ...children);
const known = (object, ...without) => Object.entries(object || {}).filter(([key, value]) => value !== null && value !== "" && !without.includes(key)).map(([key, value]) => [words(key), plain(value)]);

function proof({ verified, verification, control, fault, steady_state: steady, stopped_by: stopped }) {
  return section("Proof", h("p", {}, control ? "A control run: there is nothing to see. " : h("strong", {}, verified ? "Seen. " : "Not seen. "), verification || ""),
    list([["eligible", number(fault?.eligible, 0)], ["selected", number(fault?.selected, 0)], ["really changed", number(fault?.changed, 0)],
      Object.keys(fault?.skipped || {}).length ? ["skipped", plain(fault.skipped)] : null,
      steady ? ["hypothesis", plain(steady)] : null, stopped ? ["stopped by", plain(stopped)] : null]));
}

function rollback({ rollback: back }) {
  if (!back) return null;
  const steps = (back.steps || []).map((step) => h("tr", {}, h("td", { class: "n" }, seconds(step.at)), h("td", { class: "n" }, number(step.intensity, 2)),
    h("td", {}, step.healthy === null ? unknown : step.healthy ? "\u2713 healthy" : "\u2717 not healthy")));
  return section("Rollback", h("p", {}, h("strong", {}, back.verified ? "Undone, and seen to be. " : "Not seen to be undone. "), back.reason || ""),
    list([["strategy", words(back.strategy || unknown)], ["took", `${number(back.seconds, 3)} s`]]),
    steps.length ? table([{ n: "after" }, { n: "intensity" }, "pipeline"], steps, "Steps of the rollback") : null);
}

function blast({ blast_radius: radius, target, isolation }) {
  return section("Blast radius", radius ? list(known(radius)) : h("p", {}, "Not limited: all of the target."),
    list([["target", target ? plain(target) : "the pipeline under test"], isolation ? ["isolation", isolation] : null]));
}

function recipe({ recipe: made, experiment, pipeline, duration_cap: cap }) {
  return section("Recipe", list([["seed", String(made?.seed ?? unknown)], ["duration", seconds(experiment.duration) + (cap ? `, cut from ${seconds(cap.asked)}` : "")],
    ["strategy asked for", words(experiment.rollback_strategy || unknown)], pipeline ? ["pipeline", plain(pipeline)] : null, ...known(made?.parameters || experiment.parameters)]));
}

// ---- the report

async function report(id, name) {
  const path = at(id, "/report");
  if (!await isFree(path)) return h("p", { class: "note" }, "Its report needs the token, which a frame does not bring: ", h("code", {}, `chaoseater history show ${id}`), " has it.");
  return [h("p", { class: "note" }, h("a", { href: path }, "The report alone")),
    h("iframe", { class: "report", title: `Report of ${name}`, sandbox: "", src: path })];
}

export async function show(content, query, id) {
  const run = await get(at(id, ""));
  const { experiment, metrics } = run;
  put(content, h("p", { class: "trail note" }, h("a", { href: "#/history" }, "History")),
    h("h1", {}, experiment.name, run.repeat ? ` #${run.repeat}` : "", " ", badge(run.status, run.verdict)),
    h("p", { class: "what" }, about({ ...experiment, profile: run.profile }), h("span", { class: "of" }, moment(run.started_at)),
      (experiment.tags || []).map((tag) => h("a", { class: "tag", href: link("history", { tag }) }, tag))),
    run.detail || run.reason ? h("p", { class: "why" }, run.detail || words(run.reason)) : null,
    h("p", { class: "links" }, h("a", { href: link("trends", { name: experiment.name }) }, "Its trend"), h("a", { href: link("compare", { a: run.id }) }, "Compare with another"),
      h("a", { href: at(run.id, "/document") }, "Its document"), h("a", { href: link("history", { name: experiment.name }) }, "Its other runs")),
    h("div", { class: "summary" }, scored(run), h("div", { class: "measured" }, facts([["recovery", seconds(metrics.recovery_time)],
      ["accuracy lost", percent(metrics.accuracy_degradation)], ["downtime", seconds(metrics.pipeline_downtime)], ["errors", number(metrics.error_count)],
      ["accuracy before", percent(metrics.baseline_accuracy)], ["with the fault", percent(metrics.fault_accuracy)]]))),
    course(run.series), h("h2", {}, "Phases"), phases(run),
    h("div", { class: "details" }, proof(run), rollback(run), blast(run), recipe(run)));
  add(content, h("h2", {}, "Report"), await report(run.id, experiment.name));
}
