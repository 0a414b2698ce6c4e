/** Elements and words. What strangers sent only ever becomes text: nothing here reads HTML. */

/**
 * Make an element: `h("a", {href: "/"}, "text", other)`; attributes that are null or false are left out.
 * @param {string} name @param {Object<string, *>} [attributes] @param {...*} children @returns {HTMLElement}
 */
export function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Where a record's page is. */
export const pageOf = (id) => `/record/${id.split("/").map(encodeURIComponent).join("/")}`;
export const mediaOf = (id) => `/media/${id.split("/").map(encodeURIComponent).join("/")}`;

/** A share; of one that is nearly all, a digit more. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  return `${(share * 100).toFixed(share > 0.99 && share < 0.9995 ? 1 : 0)}%`;
}

/** A number as people read it. */
export function count(number) {
  return number.toLocaleString("en", { maximumFractionDigits: number < 100 ? 1 : 0 });
}

/** Milliseconds or seconds. */
export function took(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`;
}

/** How long ago, in one unit. */
export function age(unix, now = Date.now() / 1000) {
  if (unix === null || unix === undefined) return "";
  const seconds = Math.max(0, now - unix);
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

export const moment = (unix) => (unix ? new Date(unix * 1000).toLocaleString() : "–");

/** A plain table: titles, those of them that are numbers, rows of cells. */
export function table(titles, numbers, rows) {
  const kind = (at) => (numbers.has(at) ? "number" : null);
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title, at) => h("th", { scope: "col", class: kind(at) }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) => h("td", { class: kind(at) }, cell)))))));
}

/** What a view says when it has nothing to show, with what to do. */
export const notice = (says, ...more) => h("div", { class: "notice" }, h("p", {}, says), more.map((text) => h("p", {}, text)));

/** A result as a tile: the image or the text, what was said of it, and how sure. */
export function tile(row) {
  const label = row.wrong ? `${row.label}, but it is ${row.truth}` : row.label;
  const payload = h("div", { class: "payload" });
  if (row.text !== null && row.text !== undefined) payload.append(row.text);
  else {
    const image = h("img", { src: mediaOf(row.id), alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => payload.replaceChildren("no image kept"));
    payload.append(image);
  }
  return h("a", { class: row.wrong ? "tile wrong" : "tile", href: pageOf(row.id), "aria-label": `${label}, ${percent(row.confidence)}` },
    payload,
    h("div", { class: "about" },
      h("div", { class: "label" }, h("span", { title: row.label }, row.label), h("span", {}, percent(row.confidence))),
      h("div", { class: "under" }, h("span", {}, row.wrong ? `is ${row.truth}` : row.camera || (row.wrong === false ? "as labelled" : "")), h("time", { "data-at": row.at }, age(row.at)))));
}
