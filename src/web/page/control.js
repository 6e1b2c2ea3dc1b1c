// SPDX-License-Identifier: MIT
// What people do from here, and the token that it takes: start a document, end a suite, stop everything.

import { get, post, setToken } from "./api.js";
import { confirmed, counted, h, put } from "./dom.js";
import { loadStatus, scene } from "./scene.js";

const WRONG = "The token is missing or wrong. It stands in the address that chaoseater serve printed.";

// ---- the token

// Calls done() once the server takes it.
export function tokenForm(done, sentence) {
  const field = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const button = h("button", { class: "main" }, "Use it");
  const wrong = h("p", { class: "complaint", role: "alert" });
  return h("form", { class: "token", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    setToken(field.value);
    try {
      wrong.textContent = (await get("/api/v1/status")).authorized ? "" : WRONG;
    } catch (error) {
      wrong.textContent = error.status === 401 ? WRONG : error.message;
    }
    button.disabled = false;
    if (wrong.textContent) field.select();
    else done();
  } }, h("p", {}, sentence), h("label", { for: "token" }, "Token"), field, button, wrong);
}

// ---- what is done

const complaint = h("p", { class: "complaint", role: "alert" });

async function act(button, what) {
  button.disabled = true;
  complaint.textContent = "";
  try {
    await what();
  } catch (error) {
    complaint.textContent = error.status === 401 ? WRONG : error.message;
    if (error.status === 401) {
      scene.status.authorized = false;
      update();
    }
  }
  button.disabled = false;
}

export function abortButton(suite) {
  return h("button", { class: "danger", onclick: (event) => act(event.currentTarget, () =>
    post(`/api/v1/suites/${encodeURIComponent(suite.suite)}/abort`, {})) }, "End it");
}

// ---- start

function documentOption(doc) {
  return h("option", { value: doc.name, disabled: Boolean(doc.error) },
    doc.error ? `${doc.name}: ${doc.error}` : `${doc.name} (${counted(doc.experiments, "experiment", "experiments")})`);
}

const field = (id, label, attributes) => h("div", {}, h("label", { for: id }, label), h("input", { id, ...attributes }));

function startForm() {
  const select = h("select", { id: "document" }, scene.status.documents.map(documentOption));
  const button = h("button", { class: "main" }, "Start");
  const value = (form, id) => form.querySelector(`#${id}`).value.trim();
  return h("form", { class: "start", onsubmit: (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const only = value(form, "only").split(",").map((name) => name.trim()).filter(Boolean);
    const numbers = Object.fromEntries(["seed", "parallel"].map((id) => [id, value(form, id)]).filter(([, text]) => text).map(([id, text]) => [id, Number(text)]));
    act(button, () => post("/api/v1/suites", { document: select.value, ...(only.length ? { only } : {}), ...numbers }));
  } }, h("div", {}, h("label", { for: "document" }, "Document"), select),
  field("only", "Only", { type: "text", placeholder: "all, or NAME, tag:NAME, layer:NAME" }),
  field("seed", "Seed", { type: "number", min: "0", max: "9007199254740991", placeholder: "any" }),
  field("parallel", "At once", { type: "number", min: "1", max: "64", placeholder: "1" }), button);
}

// ---- the lever

async function pull(button, release) {
  if (!release && !await confirmed("Stop everything?",
    "Every run of this state folder ends now and is undone, whoever started it. None begins until the stop is released.", "Stop everything")) return;
  await act(button, async () => {
    scene.status.stopped = (await post("/api/v1/stop", { release })).stopped;
  });
  update();
}

const lever = () => (scene.status.stopped ? null
  : h("button", { class: "danger lever", onclick: (event) => pull(event.currentTarget, false) }, "Stop everything"));

function stopped() {
  if (!scene.status.stopped) return null;
  return h("div", { class: "banner", role: "status" }, h("p", {}, h("strong", {}, "Stopped."), " No run begins until the stop is released."),
    scene.status.authorized ? h("button", { onclick: (event) => pull(event.currentTarget, true) }, "Release") : null);
}

// ---- all of it

const place = h("section", { class: "actions", "aria-label": "Start and stop" });
const above = h("div", {});
let shown = null;

// Made anew only when something else may be done: what somebody types stays.
export function update() {
  const { authorized, documents, stopped: is } = scene.status;
  const now = JSON.stringify([authorized, documents, is]);
  if (now === shown) return;
  shown = now;
  put(above, stopped());
  put(place, authorized ? [startForm(), lever()] : tokenForm(async () => {
    await loadStatus();
    complaint.textContent = "";
    update();
    place.querySelector("select, input, button")?.focus();
  }, "Everybody here may look. To start and end runs takes the token: it stands in the address that chaoseater serve printed."), complaint);
}

export function controls() {
  shown = null;
  update();
  return [above, place];
}
