// SPDX-License-Identifier: MIT
// Which page is shown, by what stands behind the # of the address, and whether the server is there.

import { listen, takeToken } from "./api.js";
import * as compare from "./compare.js";
import { tokenForm } from "./control.js";
import { add, h } from "./dom.js";
import * as history from "./history.js";
import * as live from "./live.js";
import * as run from "./run.js";
import * as trends from "./trends.js";

const ROUTES = { live: live.show, history: history.show, runs: run.show, compare: compare.show, trends: trends.show };
const NAMES = { runs: "run" };
const content = document.getElementById("content");
const connection = document.getElementById("connection");

function mark(route) {
  for (const link of document.querySelectorAll("nav.main a"))
    if (link.getAttribute("href") === `#/${route}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
}

// Without the token nothing can be seen beyond loopback, and with a wrong one nothing done.
function complain(page, error) {
  if (error.status === 401) add(page, tokenForm(show, "To look takes the token: it stands in the address that chaoseater serve printed."));
  else add(page, h("p", { class: "complaint", role: "alert" }, error.message));
}

let shown = 0, address = null;

async function show() {
  const mine = ++shown;
  const [path, query] = (location.hash.replace(/^#\/?/, "") || "live").split("?");
  const [route, ...rest] = path.split("/");
  mark(route === "runs" ? "history" : route);
  document.title = `${NAMES[route] || route} - ChaosEater`;
  const page = h("div", { class: `page ${route}` });
  content.setAttribute("aria-busy", "true");
  try {
    if (!Object.hasOwn(ROUTES, route)) throw new Error(`there is no page '${route}'`);
    await ROUTES[route](page, new URLSearchParams(query || ""), decodeURIComponent(rest.join("/")));
  } catch (error) {
    complain(page, error);
  }
  if (mine !== shown) return; // somebody has gone on meanwhile
  content.removeAttribute("aria-busy");
  content.replaceChildren(page);
  if (address !== null && address !== path) {
    scrollTo(0, 0);
    content.focus({ preventScroll: true });
  }
  address = path;
}

// What stands behind the # is a page's name: the link that skips to the content may not be one.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});

takeToken();
addEventListener("hashchange", () => {
  takeToken();
  show();
});
show();

let before = null;
listen({
  connected(yes) {
    connection.textContent = yes ? "connected" : "the server does not answer; trying again";
    connection.className = yes ? "connection good" : "connection bad";
    if (yes && before === false) live.again();
    before = yes;
  },
  event: live.hear,
});
