// SPDX-License-Identifier: MIT
// What goes on, as /api/v1/live has it and as events change it.

import { get } from "./api.js";
import { outcome, say, words } from "./dom.js";

export const PHASES = ["preflight", "baseline", "injecting", "verifying", "observing", "rolling_back", "verifying_undo", "recovering"];
const KEPT = 240;

export const scene = { suites: [], status: null }; // suites: the newest first

const suiteOf = (event) => scene.suites.find((suite) => suite.suite === event.suite);
const runOf = (event) => suiteOf(event)?.runs.find((run) => run.run === event.run);
const change = (what, ...values) => what && Object.assign(what, ...values);

const HEARD = {
  suite_started: (event) => {
    if (suiteOf(event)) return;
    scene.suites.unshift({ ...event, started_at: event.at, document: null, ended: false, runs: event.runs.map((run) => ({
      ...run, id: null, state: "waiting", phase: null, fraction: 0, intensity: 0, status: null, verdict: null, score: null, samples: [] })) });
  },
  run_started: (event) => change(runOf(event), { id: event.id, state: "running" }),
  phase: (event) => change(runOf(event), { phase: event.phase, fraction: 0, intensity: event.intensity }),
  sample: (event) => {
    const run = runOf(event), last = run?.samples[run.samples.length - 1];
    if (!run || (last && last.elapsed >= event.elapsed)) return; // it was in what was asked for meanwhile
    change(run, { phase: event.phase, fraction: event.fraction, intensity: event.intensity });
    run.samples.push(event);
    if (run.samples.length > KEPT) run.samples.shift();
  },
  run_ended: (event) => change(runOf(event), { id: event.id, state: "ended", phase: null, intensity: 0, fraction: 1,
    status: event.record.status, verdict: event.record.verdict, score: event.record.summary.resilience_score }),
  suite_ended: (event) => change(suiteOf(event), { ended: true, exit_code: event.exit_code }),
  suite_left: (event) => {
    const suite = suiteOf(event);
    if (!suite || suite.ended) return;
    change(suite, { ended: true, lost: true });
    for (const run of suite.runs) if (run.state !== "ended") change(run, { state: "ended", status: "lost" });
  },
};

const SPOKEN = {
  phase: (event) => `${event.experiment}: ${words(event.phase)}`,
  run_ended: (event) => `${event.experiment} ended: ${outcome(event.record.status, event.record.verdict)}`,
};

// ---- asked for

const heard = []; // while an answer is on its way, which may be older
let asking = 0;

export async function load() {
  asking++;
  try {
    const [live, status] = await Promise.all([get("/api/v1/live"), get("/api/v1/status")]);
    Object.assign(scene, { suites: live.suites, status });
    for (const event of heard) HEARD[event.event]?.(event);
  } finally {
    if (--asking === 0) heard.length = 0;
  }
}

export async function loadStatus() {
  scene.status = await get("/api/v1/status");
}

// What a suite is called is not in its events.
async function loadNames() {
  const named = new Map((await get("/api/v1/live")).suites.map((suite) => [suite.suite, suite.document]));
  for (const suite of scene.suites) suite.document = named.get(suite.suite) ?? suite.document;
}

export function hear(event, changed) {
  if (asking) heard.push(event);
  HEARD[event.event]?.(event);
  if (SPOKEN[event.event]) say(SPOKEN[event.event](event));
  if (event.event === "suite_started" || event.event === "suite_ended")
    Promise.all([loadNames(), loadStatus()]).then(changed, () => {});
  changed();
}
