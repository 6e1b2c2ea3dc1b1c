// SPDX-License-Identifier: MIT
// Elements, numbers and times. Everything that comes from the server becomes a text node: nothing is ever parsed as HTML.

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  add(element, children);
}

export const unknown = "\u2013";

export function number(value, digits = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return unknown;
  return String(Number(value.toFixed(Math.abs(value) >= 1000 ? 0 : digits)));
}

export const percent = (value) => (Number.isFinite(value) && value !== null ? `${number(100 * value)} %` : unknown);
export const seconds = (value) => (Number.isFinite(value) && value !== null ? `${number(value, 2)} s` : unknown);

export function time(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

// Puts these in the place of what is there, or behind it; what is nothing is left out.
const some = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
export const put = (element, ...children) => element.replaceChildren(...some(children));
export const add = (element, ...children) => element.append(...some(children));

// How a run ended, in a word that the colour repeats.
export function badge(status, verdict) {
  const word = status === "completed" ? verdict : status;
  const kinds = { passed: "good", deviated: "bad", dirty: "bad", invalid: "warn", inconclusive: "warn",
                  failed: "warn", lost: "warn", aborted: "warn" };
  return h("span", { class: `badge ${kinds[word] || "quiet"}` }, word || unknown);
}

export const words = (name) => String(name).replaceAll("_", " ");

// For people who listen instead of looking.
export function say(text) {
  document.getElementById("spoken").textContent = text;
}

export function table(head, rows, label) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col", class: cell.n ? "n" : null }, cell.n || cell)))),
      h("tbody", {}, rows)));
}
