// SPDX-License-Identifier: MIT
// Elements, numbers and times. Everything that comes from the server becomes a text node: nothing is ever parsed as HTML.

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  add(element, children);
  return element;
}

// Puts these in the place of what is there, or behind it; what is nothing is left out.
const some = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
export const put = (element, ...children) => element.replaceChildren(...some(children));
export const add = (element, ...children) => element.append(...some(children));

// Has these elements in this order; what stays where it is keeps its focus.
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((element, i) => {
    if (parent.children[i] !== element) parent.insertBefore(element, parent.children[i] || null);
  });
}

export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// ---- numbers, times, words

export const unknown = "\u2013";
const is = (value) => value !== null && value !== undefined && Number.isFinite(value);

export function number(value, digits = 1) {
  if (!is(value)) return unknown;
  const shown = Number(value.toFixed(Math.abs(value) >= 1000 ? 0 : digits));
  return (shown === 0 ? "0" : String(shown)).replace("-", "\u2212");
}

export const percent = (value) => (is(value) ? `${number(100 * value)} %` : unknown);
export const seconds = (value) => (is(value) ? `${number(value, 2)} s` : unknown);
export const ms = (value) => (is(value) ? `${number(value, Math.abs(value) >= 100 ? 0 : 1)} ms` : unknown);
export const signed = (text) => (/^[0\u2212\u2013]/.test(text) ? text : `+${text}`);

export function time(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? String(text) : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export const moment = (text) => h("time", { datetime: text }, time(text));
export const words = (name) => String(name).replaceAll("_", " ");
export const counted = (n, one, many) => `${n} ${n === 1 ? one : many}`;

// ---- what is shown in many places

const KINDS = { passed: "good", deviated: "bad", dirty: "bad", invalid: "warn", inconclusive: "warn", failed: "warn", lost: "warn",
                aborted: "warn", interrupted: "warn" };
export const outcome = (status, verdict) => (status === "completed" ? verdict : status) || unknown;
export const kindOf = (word) => KINDS[word] || "quiet";

// How a run ended, in a word that the colour repeats.
export const badge = (status, verdict) =>
  h("span", { class: `badge ${kindOf(outcome(status, verdict))}` }, outcome(status, verdict));

// A score, and how much of a hundred it is.
export function score(value) {
  if (!is(value)) return h("span", { class: "score" }, unknown);
  return h("span", { class: "score" }, number(value), svg("svg", { viewBox: "0 0 72 4", "aria-hidden": "true", class: "score-bar" },
    svg("rect", { class: "all", width: 72, height: 4 }), svg("rect", { class: "kept", width: 0.72 * Math.max(0, value), height: 4 })));
}

export function about(run) {
  return [h("span", { class: "tag" }, run.layer), h("span", { class: "fault" }, words(run.fault_type)),
    run.profile ? h("span", { class: "of" }, run.profile) : null];
}

// For people who listen instead of looking.
export const say = (text) => write(document.getElementById("spoken"), text);

// A cell of the head may be {n: "right-aligned"} or an element.
export function table(head, rows, label) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, head.map((cell) => (cell instanceof Element ? cell
      : h("th", { scope: "col", class: cell.n ? "n" : null }, cell.n || cell))))), h("tbody", {}, rows)));
}

export const facts = (list) => h("dl", { class: "stats" }, list.filter(Boolean).map(([name, value], i) =>
  h("div", { class: i === 0 ? "first" : null }, h("dt", {}, name), h("dd", {}, value))));

// A form of a page whose address says what it shows: what was filled in becomes the address.
export function query(route, attributes, ...children) {
  return h("form", { ...attributes, onsubmit: (event) => {
    event.preventDefault();
    location.hash = link(route, Object.fromEntries(new FormData(event.currentTarget)));
  } }, ...children);
}

export function link(route, asked) {
  const given = Object.entries(asked).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `#/${route}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

export const runLink = (id, ...children) => h("a", { href: `#/runs/${encodeURIComponent(id)}` }, ...children);

// ---- a question that has to be answered first

export function confirmed(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "question", onclose: () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    } }, h("h2", { id: "question" }, title), h("p", {}, text),
    h("div", { class: "answers" }, h("button", { autofocus: true, onclick: () => dialog.close("no") }, "Cancel"),
      h("button", { class: "danger", onclick: () => dialog.close("yes") }, yes)));
    document.body.append(dialog);
    dialog.showModal();
  });
}
