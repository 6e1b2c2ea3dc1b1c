// SPDX-License-Identifier: MIT
// What goes on now: every suite that the server hears of, with charts that move; start, end, and the stop.

import { Refused, get, post, setToken, token } from "./api.js";
import { chart } from "./chart.js";
import { badge, h, number, percent, put, say, time, words } from "./dom.js";

const PHASES = ["preflight", "baseline", "injecting", "verifying", "observing", "rolling_back", "verifying_undo", "recovering"];
const KEPT = 240;

// ---- what is known

let suites = []; // as /api/v1/live has them, the newest first
let status = null;

const suiteOf = (event) => suites.find((suite) => suite.suite === event.suite);
const runOf = (event) => suiteOf(event)?.runs.find((run) => run.run === event.run);

const HEARD = {
  suite_started: (event) => {
    if (suiteOf(event)) return;
    suites.unshift({ ...event, started_at: event.at, document: null, ended: false, runs: event.runs.map((run) => ({
      ...run, id: null, state: "waiting", phase: null, fraction: 0, intensity: 0, status: null, verdict: null, score: null, samples: [] })) });
  },
  run_started: (event) => Object.assign(runOf(event) || {}, { id: event.id, state: "running" }),
  phase: (event) => Object.assign(runOf(event) || {}, { phase: event.phase, fraction: 0, intensity: event.intensity }),
  sample: (event) => {
    const run = runOf(event);
    if (!run) return;
    Object.assign(run, { phase: event.phase, fraction: event.fraction, intensity: event.intensity });
    run.samples.push(event);
    if (run.samples.length > KEPT) run.samples.shift();
  },
  run_ended: (event) => Object.assign(runOf(event) || {}, { id: event.id, state: "ended", phase: null, intensity: 0, fraction: 1,
    status: event.record.status, verdict: event.record.verdict, score: event.record.summary.resilience_score }),
  suite_ended: (event) => Object.assign(suiteOf(event) || {}, { ended: true, exit_code: event.exit_code }),
  suite_left: (event) => {
    const suite = suiteOf(event);
    if (!suite || suite.ended) return;
    Object.assign(suite, { ended: true, lost: true });
    for (const run of suite.runs) if (run.state !== "ended") Object.assign(run, { state: "ended", status: "lost" });
  },
};

const SPOKEN = {
  phase: (event) => `${event.experiment}: ${words(event.phase)}`,
  run_ended: (event) => `${event.experiment} ended: ${event.record.status === "completed" ? event.record.verdict : event.record.status}`,
};

export async function load() {
  suites = (await get("/api/v1/live")).suites;
  status = await get("/api/v1/status");
}

export function hear(event) {
  HEARD[event.event]?.(event);
  if (SPOKEN[event.event]) say(SPOKEN[event.event](event));
  if (event.event === "suite_started" || event.event === "suite_ended") get("/api/v1/live").then((live) => {
    const named = new Map(live.suites.map((suite) => [suite.suite, suite.document]));
    for (const suite of suites) suite.document = named.get(suite.suite) ?? suite.document;
    redraw();
  }, () => {});
  redraw();
}

// ---- a run

function stepper(run) {
  const now = PHASES.indexOf(run.phase);
  return h("ol", { class: "steps-of-run", "aria-label": "phases" }, PHASES.map((phase, i) =>
    h("li", { class: i < now ? "done" : i === now ? "now" : "", "aria-current": i === now ? "step" : null }, words(phase))));
}

function meter(label, value, text) {
  const bar = h("div", { class: "fill" });
  bar.style.width = `${100 * Math.max(0, Math.min(1, value))}%`;
  return h("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "1", "aria-valuenow": value.toFixed(2) },
    h("span", {}, label), h("div", { class: "bar" }, bar), h("span", {}, text));
}

// Spans of time in which the fault was there.
function windows(samples) {
  const spans = [];
  let from = null, last = null;
  for (const sample of samples) {
    if (sample.intensity > 0 && from === null) from = sample.elapsed;
    if (sample.intensity === 0 && from !== null) {
      spans.push([from, sample.elapsed]);
      from = null;
    }
    last = sample.elapsed;
  }
  return from === null ? spans : [...spans, [from, last]];
}

const line = (samples, key, factor = 1) => samples.map((sample) => [sample.elapsed, sample[key] === null ? null : factor * sample[key]]);

// One card for each run, kept as long as the run is shown, so that what is focused or open stays so.
class Card {
  constructor(suite, run) {
    this.head = h("div", {});
    this.latency = chart("Latency", "ms, of the last second");
    this.accuracy = chart("Accuracy", "share of right predictions");
    this.errors = chart("Errors", "operations that failed, of the last second");
    this.intensity = chart("Fault", "intensity, 0 to 1");
    this.custom = new Map();
    this.charts = h("div", { class: "charts" }, this.latency, this.accuracy, this.errors, this.intensity);
    this.element = h("article", { class: "run", "aria-label": run.experiment }, this.head, this.charts);
    this.update(run);
  }

  update(run) {
    const last = run.samples[run.samples.length - 1] || {};
    put(this.head,
      h("h3", {}, run.experiment, run.repeat ? ` #${run.repeat}` : "", " ", run.state === "ended" ? badge(run.status, run.verdict) : null),
      h("p", { class: "what" }, h("span", { class: "tag" }, run.layer), h("span", {}, words(run.fault_type)),
        run.profile ? h("span", { class: "of" }, run.profile) : null,
        run.state === "ended" && run.id ? h("a", { href: `#/runs/${encodeURIComponent(run.id)}` }, "its report") : null),
      run.state === "running" ? stepper(run) : null,
      run.state === "running" ? meter("phase", run.fraction, percent(run.fraction)) : null,
      run.state === "running" ? meter("intensity", run.intensity, number(run.intensity, 2)) : null,
      h("dl", { class: "now" }, [["p50", `${number(last.p50_ms)} ms`], ["p99", `${number(last.p99_ms)} ms`], ["accuracy", percent(last.accuracy)],
        ["errors", number(last.errors)], ["throughput", `${number(last.throughput)}/s`]].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
    this.charts.hidden = run.samples.length < 2;
    const shade = { windows: windows(run.samples), span: 10 };
    this.latency.update({ ...shade, top: 1, series: [{ name: "p50", points: line(run.samples, "p50_ms") },
      { name: "p99", kind: "line2", points: line(run.samples, "p99_ms") }] });
    this.accuracy.update({ ...shade, top: 1, series: [{ name: "accuracy", points: line(run.samples, "accuracy") }] });
    this.errors.update({ ...shade, top: 1, series: [{ name: "errors", kind: "line3", points: line(run.samples, "errors") }] });
    this.intensity.update({ ...shade, top: 1, series: [{ name: "intensity", kind: "area", points: line(run.samples, "intensity") }] });
    for (const name of new Set(run.samples.flatMap((sample) => Object.keys(sample.metrics || {})))) {
      if (!this.custom.has(name)) {
        this.custom.set(name, chart(name, "as it was last"));
        this.charts.append(this.custom.get(name));
      }
      this.custom.get(name).update({ ...shade, series: [{ name, points: run.samples.map((sample) => [sample.elapsed, sample.metrics[name] ?? null]) }] });
    }
  }
}

const cards = new Map(); // of what is or was running while this page looks

function runElement(suite, run) {
  const key = `${suite.suite}/${run.run}`;
  if (run.state === "running" || (cards.has(key) && !suite.ended)) {
    if (!cards.has(key)) cards.set(key, new Card(suite, run));
    cards.get(key).update(run);
    return cards.get(key).element;
  }
  return null;
}

// ---- a suite

async function act(button, what) {
  button.disabled = true;
  try {
    await what();
    complain("");
  } catch (error) {
    complain(error instanceof Refused && error.status === 401 ? "The token is missing or wrong. It stands in the address that chaoseater serve printed." : error.message);
    if (error.status === 401) askForToken();
  }
  button.disabled = false;
}

function abortButton(suite) {
  return h("button", { class: "danger", onclick: (event) => act(event.currentTarget, () =>
    post(`/api/v1/suites/${encodeURIComponent(suite.suite)}/abort`, {})) }, "End it");
}

function runRow(run) {
  return h("tr", {}, h("th", { scope: "row" }, run.id && run.state === "ended"
    ? h("a", { href: `#/runs/${encodeURIComponent(run.id)}` }, run.experiment) : run.experiment, run.repeat ? ` #${run.repeat}` : ""),
    h("td", {}, words(run.fault_type)), h("td", {}, run.profile || ""),
    h("td", {}, run.state === "ended" ? badge(run.status, run.verdict) : run.state), h("td", { class: "n" }, number(run.score)));
}

function suiteElement(suite) {
  const done = suite.runs.filter((run) => run.state === "ended").length;
  const shown = suite.runs.map((run) => runElement(suite, run)).filter(Boolean);
  const rows = h("table", {}, h("thead", {}, h("tr", {}, ["experiment", "fault", "pipeline", "state", "score"].map((name) => h("th", { scope: "col", class: name === "score" ? "n" : null }, name)))),
    h("tbody", {}, suite.runs.map(runRow)));
  return h("section", { class: "suite", "aria-label": suite.document || "suite" },
    h("div", { class: "suite-head" }, h("h2", {}, suite.document || `process ${suite.pid}`),
      h("p", { class: "note" }, `since ${time(suite.started_at)}, ${done} of ${suite.runs.length} ended`),
      suite.ended ? h("p", { class: "note" }, suite.lost ? "it was lost: its guard undid what it did" : `exit code ${suite.exit_code}`) : abortButton(suite)),
    shown, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "runs of this suite" }, rows));
}

// ---- the whole

let root = null, place = null, due = false;
const complaint = h("p", { class: "complaint", role: "alert" });
const tokenPlace = h("div", {});
const lever = h("div", { class: "lever" });

function complain(text) {
  complaint.textContent = text;
}

function askForToken() {
  if (tokenPlace.firstChild) return;
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
  tokenPlace.replaceChildren(h("form", { onsubmit: (event) => {
    event.preventDefault();
    setToken(field.value);
    tokenPlace.replaceChildren();
    complain("");
  } }, h("label", { for: "token" }, "Token, from the address that chaoseater serve printed"), field, h("button", {}, "Use it")));
  field.focus();
}

function startForm() {
  const select = h("select", { id: "document" }, status.documents.map((doc) =>
    h("option", { value: doc.name, disabled: Boolean(doc.error) }, doc.error ? `${doc.name}: ${doc.error}` : `${doc.name} (${doc.experiments})`)));
  const only = h("input", { id: "only", type: "text", placeholder: "all: NAME, tag:NAME, layer:NAME" });
  const button = h("button", {}, "Start");
  return h("form", { class: "start", onsubmit: (event) => {
    event.preventDefault();
    const names = only.value.split(",").map((name) => name.trim()).filter(Boolean);
    act(button, () => post("/api/v1/suites", { document: select.value, ...(names.length ? { only: names } : {}) }));
  } }, h("label", { for: "document" }, "Document"), select, h("label", { for: "only" }, "Only"), only, button);
}

function drawLever() {
  const change = (release) => async (event) => {
    if (!release && !confirm("End every run of this state folder, and refuse new ones?")) return;
    await act(event.currentTarget, async () => {
      status.stopped = (await post("/api/v1/stop", { release })).stopped;
    });
    drawLever();
  };
  lever.replaceChildren(status.stopped
    ? h("p", { class: "stopped" }, "Stopped: nothing is started. ", h("button", { onclick: change(true) }, "Release"))
    : h("button", { class: "danger", onclick: change(false) }, "Stop everything"));
}

function drawNow() {
  due = false;
  if (!place) return;
  const alive = new Set(suites.flatMap((suite) => (suite.ended ? [] : suite.runs.map((run) => `${suite.suite}/${run.run}`))));
  for (const key of cards.keys()) if (!alive.has(key)) cards.delete(key);
  place.replaceChildren(...(suites.length ? suites.map(suiteElement)
    : [h("p", { class: "empty" }, "Nothing goes on. Start a document here, or run one with chaoseater run: it shows up by itself.")]));
}

function redraw() {
  if (due || !root?.isConnected) return;
  due = true;
  requestAnimationFrame(drawNow);
}

export async function show(content) {
  await load();
  place = h("div", {});
  root = h("div", {}, h("h1", {}, "Live"), h("section", { class: "actions", "aria-label": "Start and stop" }, startForm(), lever, tokenPlace, complaint), place);
  drawLever();
  if (!token()) tokenPlace.replaceChildren();
  content.replaceChildren(root);
  drawNow();
}
