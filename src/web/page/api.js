// SPDX-License-Identifier: MIT
// What is asked of the server, the token that actions need, and the events that it sends.

const KEY = "chaoseater-token";

// The token comes with the address that the server prints; it does not stay there, where shoulders and histories see it.
export function takeToken() {
  const given = /^#token=([0-9a-f]+)$/.exec(location.hash);
  if (!given) return;
  sessionStorage.setItem(KEY, given[1]);
  history.replaceState(null, "", "#/live");
}

export const token = () => sessionStorage.getItem(KEY);

// What people paste may be the whole address.
export const setToken = (text) => sessionStorage.setItem(KEY, text.trim().replace(/^.*#token=/, ""));

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Seeds have more digits than a number here: they stay as they are written.
const exact = (key, value, written) => (key === "seed" && written && Number.isFinite(value) ? written.source : value);

function parsed(answer, text) {
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  if (!isJson || !text) return text;
  try {
    return JSON.parse(text, exact);
  } catch {
    throw new Refused(answer.status, "the server's answer was cut off");
  }
}

async function ask(path, options = {}) {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  let answer, text;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
    text = await answer.text();
  } catch {
    throw new Refused(0, "the server does not answer");
  }
  const body = parsed(answer, text);
  if (answer.ok) return body;
  throw new Refused(answer.status, (body.error && body.error.message) || `the server answered ${answer.status}`);
}

export function get(path, query) {
  const given = Object.entries(query || {}).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return ask(path + (given.length ? `?${new URLSearchParams(given)}` : ""));
}

export function post(path, body) {
  return ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
}

// Whether a frame or a link, which bring no token, may have this.
export const isFree = (path) => fetch(path, { method: "HEAD" }).then((answer) => answer.ok, () => false);

const NAMES = ["suite_started", "run_started", "phase", "sample", "run_ended", "suite_ended", "suite_left"];
const AGAIN_MS = 3000;

// Calls listener.connected(yes or no) and listener.event(event). Once connected again, what was missed has to be asked for.
export function listen(listener) {
  const source = new EventSource(`/api/v1/events${token() ? `?token=${token()}` : ""}`);
  source.addEventListener("hello", () => listener.connected(true));
  source.addEventListener("error", () => {
    listener.connected(false);
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => listen(listener), AGAIN_MS); // it was refused: full, or not allowed
  });
  for (const name of NAMES) source.addEventListener(name, (event) => listener.event(JSON.parse(event.data, exact)));
}
