// SPDX-License-Identifier: MIT
// What goes on now: every suite that the server hears of, and a card with charts that move for each run.

import { chart } from "./chart.js";
import { abortButton, controls, update as updateControls } from "./control.js";
import { about, arrange, badge, counted, h, kindOf, ms, number, outcome, percent, put, runLink, score, svg, time, unknown, words, write } from "./dom.js";
import { PHASES, hear as hearOf, load, loadStatus, scene } from "./scene.js";

// ---- a run that goes on

function stepper(run) {
  const now = PHASES.indexOf(run.phase);
  return h("ol", { class: "steps-of-run", "aria-label": "phases" }, PHASES.map((phase, i) =>
    h("li", { class: i < now ? "done" : i === now ? "now" : "", "aria-current": i === now ? "step" : null }, h("span", {}, words(phase)))));
}

class Meter {
  constructor(label, kind) {
    this.fill = h("div", { class: "fill" });
    this.text = h("span", {});
    this.element = h("div", { class: `meter ${kind}`, role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "1" },
      h("span", {}, label), h("div", { class: "bar" }, this.fill), this.text);
  }

  show(value, text) {
    this.fill.style.width = `${100 * Math.max(0, Math.min(1, value))}%`;
    this.element.setAttribute("aria-valuenow", value.toFixed(2));
    write(this.text, text);
  }
}

// Spans of time in which the fault was there.
function windows(samples) {
  const spans = [];
  let from = null;
  for (const { intensity, elapsed } of samples) {
    if (intensity > 0 && from === null) from = elapsed;
    if (intensity === 0 && from !== null) {
      spans.push({ from, to: elapsed });
      from = null;
    }
  }
  return from === null ? spans : [...spans, { from, to: samples[samples.length - 1].elapsed }];
}

const marks = (samples) => samples.filter((sample, i) => i === 0 || samples[i - 1].phase !== sample.phase)
  .map((sample) => ({ at: sample.elapsed, name: words(sample.phase) }));

const line = (samples, key) => samples.map((sample) => [sample.elapsed, sample[key] ?? null]);

const TILES = [["p50", "p50_ms", ms], ["p99", "p99_ms", ms], ["accuracy", "accuracy", percent], ["errors", "errors", (value) => number(value)],
  ["throughput", "throughput", (value) => (value === null || value === undefined ? unknown : `${number(value)}/s`)]];

// What it usually was before the fault came.
function usual(samples, key) {
  const values = samples.filter((sample) => sample.phase === "baseline").map((sample) => sample[key]).filter(Number.isFinite).sort((a, b) => a - b);
  return values.length ? values[Math.floor(values.length / 2)] : null;
}

function tile([name, key, format], samples) {
  const before = usual(samples, key), last = samples[samples.length - 1] || {};
  return h("div", {}, h("dt", {}, name), h("dd", {}, format(last[key])),
    last.phase !== "baseline" && before !== null ? h("dd", { class: "note" }, `before ${format(before)}`) : null);
}

// Kept as long as the run is shown, so that what is focused or open stays so.
class Card {
  constructor(run) {
    const share = (value) => percent(value);
    this.state = h("div", { class: "state" });
    this.readings = h("dl", { class: "readings" });
    this.phase = new Meter("phase", "quiet");
    this.intensity = new Meter("intensity", "");
    this.steps = h("div", {});
    this.meters = h("div", { class: "meters" }, this.intensity.element, this.phase.element);
    this.charts = {
      latency: chart("Latency", "of the last second", { format: ms }),
      accuracy: chart("Accuracy", "share of right predictions", { format: share }),
      errors: chart("Errors", "failed operations of the last second"),
      throughput: chart("Throughput", "good operations a second"),
      fault: chart("Fault", "intensity, 0 to 1", { height: 104 }),
    };
    this.custom = new Map();
    this.figures = h("div", { class: "charts" }, Object.values(this.charts));
    this.waits = h("p", { class: "note" }, "Nothing was measured yet.");
    this.element = h("article", { class: "run", "aria-label": run.experiment },
      h("header", {}, h("div", {}, h("h3", {}, run.experiment, run.repeat ? ` #${run.repeat}` : ""), h("p", { class: "what" }, about(run))), this.state),
      this.steps, this.meters, this.readings, this.waits, this.figures);
  }

  update(run) {
    const shown = `${run.state} ${run.phase} ${run.verdict}`;
    if (shown !== this.shown) {
      put(this.state, run.state === "ended"
        ? [badge(run.status, run.verdict), score(run.score), run.id ? runLink(run.id, "its report") : null]
        : h("span", { class: "badge live" }, words(run.phase || run.state)));
      put(this.steps, run.state === "running" ? stepper(run) : null);
      this.shown = shown;
      this.meters.hidden = run.state !== "running";
    }
    this.phase.show(run.fraction, percent(Math.round(100 * run.fraction) / 100));
    this.intensity.show(run.intensity, number(run.intensity, 2));
    const count = run.samples.length, last = run.samples[count - 1];
    this.waits.hidden = count > 0 || run.state === "ended";
    this.figures.hidden = count < 2;
    this.readings.hidden = count === 0;
    if (last === this.last) return;
    this.last = last;
    put(this.readings, TILES.map((each) => tile(each, run.samples)));
    this.draw(run.samples);
  }

  draw(samples) {
    const { latency, accuracy, errors, throughput, fault } = this.charts;
    const shade = { windows: windows(samples), marks: marks(samples), span: 10 };
    const one = (name, key, kind) => [{ name, kind, points: line(samples, key) }];
    latency.update({ ...shade, named: true, top: 1, series: [...one("p50", "p50_ms"), ...one("p99", "p99_ms", "thin")] });
    accuracy.update({ ...shade, named: true, top: 1, series: one("accuracy", "accuracy") });
    errors.update({ ...shade, top: 1, series: one("errors", "errors", "bars") });
    throughput.update({ ...shade, top: 1, series: one("throughput", "throughput") });
    fault.update({ ...shade, top: 1, series: one("intensity", "intensity", "steps") });
    for (const name of new Set(samples.flatMap((sample) => Object.keys(sample.metrics || {})))) {
      if (!this.custom.has(name)) this.custom.set(name, chart(name, "as it was last"));
      this.custom.get(name).update({ ...shade, series: [{ name, points: samples.map((sample) => [sample.elapsed, sample.metrics?.[name] ?? null]) }] });
    }
    arrange(this.figures, [latency, accuracy, errors, throughput, fault, ...this.custom.values()]);
  }
}

// ---- a suite

function row(run) {
  const element = h("tr", {});
  let shown = null;
  element.update = (now) => {
    const next = `${now.state} ${now.phase} ${now.id} ${now.verdict} ${now.score}`;
    if (next === shown) return;
    shown = next;
    const name = [now.experiment, now.repeat ? ` #${now.repeat}` : ""];
    put(element, h("th", { scope: "row" }, now.id && now.state === "ended" ? runLink(now.id, name) : name), h("td", {}, words(now.fault_type)),
      h("td", {}, now.layer), h("td", {}, now.profile || ""),
      h("td", {}, now.state === "ended" ? badge(now.status, now.verdict) : h("span", { class: now.state === "running" ? "badge live" : "of" }, words(now.phase || now.state))),
      h("td", { class: "n" }, score(now.score)));
  };
  element.update(run);
  return element;
}

// One field for each run, and the same in words.
function tally(suite) {
  const counts = new Map();
  const wordOf = (run) => (run.state === "ended" ? outcome(run.status, run.verdict) : run.state);
  for (const run of suite.runs) counts.set(wordOf(run), (counts.get(wordOf(run)) || 0) + 1);
  const width = 100 / Math.max(1, suite.runs.length);
  return [svg("svg", { class: "tally", viewBox: "0 0 100 2", preserveAspectRatio: "none", "aria-hidden": "true" }, suite.runs.map((run, i) =>
    svg("rect", { class: run.state === "ended" ? kindOf(wordOf(run)) : run.state, x: i * width, width: width * 0.94, height: 2 }))),
  h("p", { class: "note" }, [...counts].map(([word, count]) => `${count} ${word}`).join(", "))];
}

class Suite {
  constructor(suite) {
    this.cards = new Map();
    this.rows = new Map();
    this.title = h("h2", {});
    this.note = h("p", { class: "note" });
    this.end = abortButton(suite);
    this.tally = h("div", {});
    this.place = h("div", {});
    this.body = h("tbody", {});
    this.head = h("div", { class: "suite-head" }, this.title, this.note, this.end);
    const columns = ["experiment", "fault", "layer", "pipeline", "state"].map((name) => h("th", { scope: "col" }, name));
    this.element = h("section", { class: "suite" }, this.head, this.tally, this.place,
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "runs of this suite" },
        h("table", {}, h("thead", {}, h("tr", {}, columns, h("th", { scope: "col", class: "n" }, "score"))), this.body)));
    this.update(suite);
  }

  // The runs that go on; between two, and at the end, the one that ended last.
  shown(suite) {
    const running = suite.runs.filter((run) => run.state === "running");
    if (running.length) return running;
    return suite.runs.filter((run) => run.state === "ended" && run.samples.length).slice(-1);
  }

  update(suite) {
    write(this.title, suite.document || `process ${suite.pid}`);
    this.element.setAttribute("aria-label", suite.document || `process ${suite.pid}`);
    write(this.note, `since ${time(suite.started_at)}${suite.seed === undefined ? "" : `, seed ${suite.seed}`}`);
    if (suite.ended && this.end) {
      this.end.remove();
      this.end = null;
      this.head.append(h("p", { class: "note ending" }, suite.lost ? "it was lost: its guard undid what it did" : `exit code ${suite.exit_code}`));
    }
    const states = suite.runs.map((run) => run.state + run.verdict).join();
    if (states !== this.states) put(this.tally, tally(suite));
    this.states = states;
    for (const run of suite.runs) {
      if (this.rows.has(run.run)) this.rows.get(run.run).update(run);
      else this.rows.set(run.run, row(run));
    }
    arrange(this.body, suite.runs.map((run) => this.rows.get(run.run)));
    this.arrangeCards(suite);
  }

  arrangeCards(suite) {
    const runs = this.shown(suite);
    for (const key of this.cards.keys()) if (!runs.some((run) => run.run === key)) this.cards.delete(key);
    for (const run of runs) {
      if (!this.cards.has(run.run)) this.cards.set(run.run, new Card(run));
      this.cards.get(run.run).update(run);
    }
    arrange(this.place, runs.map((run) => this.cards.get(run.run).element));
  }
}

// What has ended is a line that can be opened; what somebody saw end stays as it is.
class Ended {
  constructor(suite) {
    this.place = h("div", {});
    const runs = counted(suite.runs.length, "run", "runs");
    this.element = h("details", { class: "ended", ontoggle: () => {
      if (this.element.open && !this.place.firstChild) this.place.append(new Suite(suite).element);
    } }, h("summary", {}, h("span", {}, suite.document || `process ${suite.pid}`), h("span", { class: "note" }, `${time(suite.started_at)}, ${runs}, ${
      suite.lost ? "lost" : `exit code ${suite.exit_code}`}`)), this.place);
  }

  update() {}
}

// ---- the whole

const views = new Map(); // by suite
let root = null, due = false;
const place = h("div", {}), past = h("div", {}), ended = h("section", { class: "past", "aria-label": "Ended" }, h("h2", {}, "Ended"), past);
const empty = h("div", { class: "empty" }, h("p", {}, h("strong", {}, "Nothing goes on.")),
  h("p", {}, "Start a document here, or run one with ", h("code", {}, "chaoseater run"), ": it shows up by itself."));

const running = () => scene.suites.flatMap((suite) => suite.runs).filter((run) => run.state === "running");

// The name of the tab says it to who looks elsewhere.
function entitle() {
  const [run] = running();
  document.title = run ? `${words(run.phase || "begins")}: ${run.experiment} - ChaosEater` : "live - ChaosEater";
}

function drawNow() {
  due = false;
  if (!root?.isConnected) return;
  const known = new Set(scene.suites.map((suite) => suite.suite)), goes = scene.suites.some((suite) => !suite.ended);
  for (const key of views.keys()) if (!known.has(key)) views.delete(key);
  for (const suite of scene.suites) {
    if (views.has(suite.suite)) views.get(suite.suite).update(suite);
    else views.set(suite.suite, suite.ended && (goes || suite !== scene.suites[0]) ? new Ended(suite) : new Suite(suite));
  }
  const viewOf = (suite) => views.get(suite.suite);
  const open = scene.suites.map(viewOf).filter((view) => view instanceof Suite);
  const closed = scene.suites.map(viewOf).filter((view) => view instanceof Ended);
  arrange(place, open.length ? open.map((view) => view.element) : [empty]);
  arrange(past, closed.map((view) => view.element));
  ended.hidden = closed.length === 0;
  updateControls();
  entitle();
}

function redraw() {
  if (due || !root?.isConnected) return;
  due = true;
  requestAnimationFrame(drawNow);
}

export const hear = (event) => hearOf(event, redraw);

// Others pull the lever, or change a document, without an event.
const LOOK_AGAIN_MS = 10000;
setInterval(() => {
  if (root?.isConnected && !document.hidden) loadStatus().then(redraw, () => {});
}, LOOK_AGAIN_MS);

// After the server was away.
export const again = () => (root?.isConnected ? load().then(redraw, () => {}) : null);

export async function show(content) {
  await load();
  views.clear();
  root = h("div", {}, h("h1", {}, "Live"), controls(), place, ended);
  content.replaceChildren(root);
  due = true;
  requestAnimationFrame(drawNow);
}
