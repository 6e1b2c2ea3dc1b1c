// SPDX-License-Identifier: MIT
// Which page is shown, by what stands behind the # of the address, and whether the server is there.

import { listen, takeToken } from "./api.js";
import { h } from "./dom.js";
import * as live from "./live.js";
import * as past from "./past.js";

const ROUTES = { live: live.show, history: past.history, runs: past.run, compare: past.compare, trends: past.trends };
const content = document.getElementById("content");
const connection = document.getElementById("connection");

function mark(route) {
  for (const link of document.querySelectorAll("nav a"))
    if (link.getAttribute("href") === `#/${route}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
}

let shown = 0;

async function show() {
  const mine = ++shown;
  const [path, query] = (location.hash.replace(/^#\/?/, "") || "live").split("?");
  const [route, ...rest] = path.split("/");
  const view = ROUTES[route];
  mark(route === "runs" ? "history" : route);
  document.title = `${route} - ChaosEater`;
  const page = h("div", {});
  try {
    if (!view) throw new Error(`there is no page '${route}'`);
    await view(page, new URLSearchParams(query || ""), decodeURIComponent(rest.join("/")));
  } catch (error) {
    page.append(h("p", { class: "complaint", role: "alert" }, error.message));
  }
  if (mine !== shown) return; // somebody has gone on meanwhile
  content.replaceChildren(page);
}

takeToken();
addEventListener("hashchange", show);
show();

let before = null;
listen({
  connected(yes) {
    connection.textContent = yes ? "connected" : "the server does not answer; trying again";
    connection.classList.toggle("bad", !yes);
    if (yes && before === false && location.hash.startsWith("#/live")) show();
    before = yes;
  },
  event: live.hear,
});
