// SPDX-License-Identifier: MIT
// The runs that were: filters, an order, pages, and two of them to compare.

import { get } from "./api.js";
import { add, badge, counted, facts, h, link, moment, number, outcome, percent, put, query as form, runLink, score, seconds, svg, table,
         time, words } from "./dom.js";

const PAGE = 50;

// ---- filters

const FILTERS = [
  ["name", "Name", "text", "with * and ?"],
  ["layer", "Layer", ["data", "model", "infrastructure"]],
  ["fault", "Fault", "faults"],
  ["verdict", "Verdict", ["passed", "deviated", "inconclusive", "invalid"]],
  ["status", "Status", ["completed", "aborted", "interrupted", "failed", "skipped", "dirty"]],
  ["profile", "Pipeline", ["naive", "hardened"]],
  ["tag", "Tag", "text"],
  ["min_score", "Score from", "number"],
  ["max_score", "Score to", "number"],
  ["since", "Since", "text", "7d, 2026-11-22"],
  ["until", "Until", "text"],
];

function field([key, label, kind, hint], query, faults) {
  const id = `filter-${key}`, value = query.get(key) || "";
  const choices = kind === "faults" ? [...new Set([...faults, value])].filter(Boolean).sort() : kind;
  const input = Array.isArray(choices)
    ? h("select", { id, name: key, onchange: (event) => event.currentTarget.form.requestSubmit() }, h("option", { value: "" }, "any"),
      choices.map((choice) => h("option", { value: choice, selected: choice === value }, words(choice))))
    : h("input", { id, name: key, type: kind, step: kind === "number" ? "any" : null, placeholder: hint || null, value });
  return h("div", {}, h("label", { for: id }, label), input);
}

function filters(query, faults) {
  return form("history", { class: "filters", role: "search", "aria-label": "Runs" }, FILTERS.map((filter) => field(filter, query, faults)),
    query.get("sort") ? h("input", { type: "hidden", name: "sort", value: query.get("sort") }) : null,
    h("div", { class: "answers" }, h("button", { class: "main" }, "Filter"), FILTERS.some(([key]) => query.get(key)) ? h("a", { href: "#/history" }, "show all") : null));
}

// ---- what they come to

const SHARES = [["passed", "good"], ["deviated", "bad"], ["inconclusive", "warn"], ["invalid", "warn"]];

function verdicts(found) {
  const counts = SHARES.map(([word, kind]) => [word, kind, (found.verdicts || {})[word] || 0]).filter(([, , count]) => count > 0);
  const rest = found.runs - counts.reduce((sum, [, , count]) => sum + count, 0);
  if (rest > 0) counts.push(["without a verdict", "waiting", rest]);
  let from = 0;
  return [svg("svg", { class: "tally", viewBox: "0 0 100 2", preserveAspectRatio: "none", "aria-hidden": "true" }, counts.map(([, kind, count]) => {
    const width = (100 * count) / found.runs, part = svg("rect", { class: kind, x: from, width: Math.max(0.3, width - 0.3), height: 2 });
    from += width;
    return part;
  })), h("p", { class: "note" }, counts.map(([word, , count]) => `${count} ${word}`).join(", "))];
}

const summary = (found) => (found.runs === 0 ? null : [
  facts([["runs", number(found.runs)], ["mean score", number(found.mean_resilience_score)], ["worst", number(found.min_resilience_score)],
    ["passed", percent(found.success_rate)], ["recovery, mean", seconds(found.mean_recovery_time)], ["experiments", number(found.experiments)]]),
  h("div", { class: "verdicts" }, verdicts(found))]);

// ---- the list

const COLUMNS = [["experiment", "name", "asc"], ["fault", "fault_type", "asc"], ["layer", "layer", "asc"], ["pipeline"], ["ended", "verdict", "asc"],
  ["score", "resilience_score", "asc", "n"], ["recovery", "recovery_time", "desc", "n"], ["accuracy lost", "accuracy_degradation", "desc", "n"],
  ["errors", "error_count", "desc", "n"], ["started", "started_at", "desc"]];

// Every column can be the order; asked again it is turned round.
function heading([label, key, first, right], query) {
  const [sorted, way] = (query.get("sort") || "started_at:desc").split(":");
  const is = key && sorted === key, now = is ? way || "asc" : null;
  const next = is ? (now === "asc" ? "desc" : "asc") : first;
  const ask = { ...Object.fromEntries(query), sort: `${key}:${next}`, offset: "" };
  return h("th", { scope: "col", class: right || null, "aria-sort": is ? (now === "asc" ? "ascending" : "descending") : null },
    key ? h("a", { class: `order ${now || ""}`, href: link("history", ask) }, label) : label);
}

const chosen = new Map(); // id: name; from page to page

function chooser() {
  const bar = h("div", { class: "chooser", role: "status" });
  bar.update = () => {
    const [a, b] = [...chosen.keys()];
    bar.classList.toggle("ready", chosen.size > 0);
    const named = [...chosen.values()].join(" and ");
    put(bar, h("p", {}, chosen.size === 0 ? "Choose two runs to compare them." : chosen.size === 1 ? `${named}: choose another to compare it with.` : named),
      h("button", { class: chosen.size === 2 ? "main" : null, disabled: chosen.size !== 2, onclick: () => {
        location.hash = link("compare", { a, b });
      } }, "Compare two"),
      chosen.size ? h("button", { onclick: () => {
        chosen.clear();
        for (const box of document.querySelectorAll("tbody input:checked")) box.checked = false;
        marked();
        bar.update();
      } }, "None") : null);
  };
  bar.update();
  return bar;
}

// Two can be compared: others have to wait until one of them is let go.
function marked() {
  for (const box of document.querySelectorAll("tbody input[type=checkbox]")) {
    box.disabled = chosen.size >= 2 && !box.checked;
    box.closest("tr").classList.toggle("chosen", box.checked);
  }
}

function row(run, bar) {
  const box = h("input", { type: "checkbox", checked: chosen.has(run.id), disabled: chosen.size >= 2 && !chosen.has(run.id),
    "aria-label": `choose ${run.name} of ${time(run.started_at)}`, onchange: () => {
      if (box.checked) chosen.set(run.id, run.name);
      else chosen.delete(run.id);
      marked();
      bar.update();
    } });
  return h("tr", { class: chosen.has(run.id) ? "chosen" : null }, h("td", {}, box),
    h("th", { scope: "row" }, runLink(run.id, run.name), (run.tags || []).map((tag) => h("a", { class: "tag", href: link("history", { tag }) }, tag))),
    h("td", {}, words(run.fault_type)), h("td", {}, run.layer), h("td", {}, run.profile || ""), h("td", {}, badge(run.status, run.verdict)),
    h("td", { class: "n" }, score(run.resilience_score)), h("td", { class: "n" }, seconds(run.recovery_time)),
    h("td", { class: "n" }, percent(run.accuracy_degradation)), h("td", { class: "n" }, number(run.error_count)),
    h("td", { class: "when" }, moment(run.started_at)),
    h("td", {}, h("a", { href: link("trends", { name: run.name }), "aria-label": `trend of ${run.name}` }, "trend")));
}

function pages(query, total) {
  const offset = Number(query.get("offset") || 0);
  const to = (at, text) => h("a", { href: link("history", { ...Object.fromEntries(query), offset: at || "" }) }, text);
  return h("nav", { class: "pages note", "aria-label": "Pages of the list" },
    h("span", {}, total ? `${Math.min(offset + 1, total)} to ${Math.min(offset + PAGE, total)} of ${counted(total, "run", "runs")}` : "no such run"),
    offset > 0 ? to(Math.max(0, offset - PAGE), "before") : null, offset + PAGE < total ? to(offset + PAGE, "next") : null);
}

export async function show(content, query) {
  const asked = Object.fromEntries(query), all = await get("/api/v1/summary").catch(() => null);
  put(content, h("h1", {}, "History"), filters(query, Object.keys(all?.by_fault || {})));
  const { sort, limit, offset, ...only } = asked;
  const [listed, found] = await Promise.all([get("/api/v1/runs", { ...asked, limit: PAGE }), get("/api/v1/summary", only)]);
  const bar = chooser();
  const choose = h("th", { scope: "col" }, h("span", { class: "hidden" }, "chosen"));
  const over = h("th", { scope: "col" }, h("span", { class: "hidden" }, "over time"));
  add(content, summary(found),
    listed.runs.length ? [bar, table([choose, ...COLUMNS.map((column) => heading(column, query)), over], listed.runs.map((run) => row(run, bar)), "Runs")]
      : h("div", { class: "empty" }, h("p", {}, h("strong", {}, listed.total || FILTERS.some(([key]) => query.get(key)) ? "No run is like that." : "No run was recorded yet."))),
    pages(query, listed.total));
}
