/** Shows the view that the URL names. */

import { notice } from "./dom.js";

const VIEWS = [
  [/^\/$/, "Live", () => import("./live.js")],
  [/^\/gallery$/, "Gallery", () => import("./gallery.js")],
  [/^\/record\/(.+)$/, "Record", () => import("./record.js")],
  [/^\/wall$/, "Wall", () => import("./wall.js")],
  [/^\/letters$/, "Dead letters", () => import("./letters.js")],
  [/^\/login$/, "Log in", () => import("./login.js")],
];
const view = document.getElementById("view");
let leaving = new AbortController();

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const found = VIEWS.find(([path]) => path.test(location.pathname));
  for (const link of document.querySelectorAll("nav a")) {
    const here = new URL(link.href).pathname === location.pathname;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("headline").textContent = "";
  if (!found) {
    view.replaceChildren(notice("There is no such page."));
    return;
  }
  const [path, title, load] = found;
  document.title = `${title} · Velox`;
  const part = path.exec(location.pathname)[1];
  const module = await load();
  if (signal.aborted) return;
  view.replaceChildren();
  await module.show(view, signal, part && part.split("/").map(decodeURIComponent).join("/"));
}

/** Go to another URL of this page without loading it anew. */
export function go(url) {
  history.pushState(null, "", url);
  show();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.origin !== location.origin || link.hash || link.hasAttribute("download") || link.target) return;
  if (!VIEWS.some(([path]) => path.test(link.pathname))) return;
  event.preventDefault();
  go(link.href);
  view.focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("popstate", show);
show();
