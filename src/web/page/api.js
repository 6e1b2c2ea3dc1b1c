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
export const setToken = (text) => sessionStorage.setItem(KEY, text.trim());

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  } catch {
    throw new Refused(0, "the server does not answer");
  }
  const text = await answer.text();
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  const body = isJson && text ? JSON.parse(text) : text;
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

const NAMES = ["suite_started", "run_started", "phase", "sample", "run_ended", "suite_ended", "suite_left"];

// Calls listener.connected(yes or no) and listener.event(event). Once connected again, what was missed has to be asked for.
export function listen(listener) {
  const query = token() ? `?token=${token()}` : "";
  const source = new EventSource(`/api/v1/events${query}`);
  source.addEventListener("hello", () => listener.connected(true));
  source.addEventListener("error", () => {
    listener.connected(false);
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => listen(listener), 3000); // it was refused: full, or not allowed
  });
  for (const name of NAMES) source.addEventListener(name, (event) => listener.event(JSON.parse(event.data)));
  return source;
}
