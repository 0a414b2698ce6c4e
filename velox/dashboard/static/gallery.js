/** All stored results: filters in the URL, a page at a time. */

import { get } from "./api.js";
import { go } from "./app.js";
import { count, h, notice, percent, tile } from "./dom.js";

const MOST_LABELS = 12;
const TIMES = [["", "any time"], ["600", "last 10 minutes"], ["3600", "last hour"], ["86400", "last day"], ["604800", "last week"]];

/** The same view with some filters changed. */
function changed(asked, change) {
  const next = new URLSearchParams(asked);
  for (const [name, value] of Object.entries(change)) {
    if (value === "" || value === null) next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  return text ? `/gallery?${text}` : "/gallery";
}

/** What the server is asked: a span of time becomes a moment. */
function question(asked, more = {}) {
  const next = new URLSearchParams(asked);
  if (next.get("last")) next.set("since", String(Date.now() / 1000 - Number(next.get("last"))));
  next.delete("last");
  for (const [name, value] of Object.entries(more)) next.set(name, value);
  return next.toString();
}

export async function show(view, signal) {
  const asked = new URLSearchParams(location.search);
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Filters" });
  const labels = h("div", { class: "chips", role: "group", "aria-label": "Labels" });
  const histogram = h("div", { class: "histogram" });
  const tiles = h("ul", { class: "tiles" });
  const more = h("button", { type: "button", hidden: true }, "More");
  const said = h("div", { "aria-live": "polite" }, h("p", { class: "quiet" }, "Loading…"));
  view.replaceChildren(h("h1", {}, "Gallery"), chips, labels, histogram, said, tiles, h("div", { class: "actions" }, more));

  let after = "";
  async function page() {
    more.disabled = true;
    const found = await get(`/api/records?${question(asked, { after })}`, signal);
    filters(chips, asked, new Set(found.absent));
    tiles.append(...found.rows.map((row) => h("li", {}, tile(row))));
    if (found.rows.some((row) => row.text !== null)) tiles.className = "tiles texts";
    after = found.next ?? "";
    more.hidden = !found.next;
    more.disabled = false;
    const isFiltered = asked.toString() !== "";
    said.replaceChildren(tiles.children.length ? "" : isFiltered
      ? notice("Nothing stored matches.", h("a", { href: "/gallery" }, "Show everything"))
      : notice("Nothing is stored yet.", "Results appear here as consumers store them: velox up shows how that looks."));
  }
  const failed = (error) => {
    if (signal.aborted) return;
    more.disabled = false;
    said.replaceChildren(h("p", { class: "problem", role: "alert" }, h("b", {}, "Results: "), error.message, " ",
      h("button", { type: "button", onclick: () => show(view, signal) }, "Try again")));
  };
  more.addEventListener("click", () => page().catch(failed));
  await Promise.all([
    page().catch(failed),
    get(`/api/summary?${question(asked, { label: "" })}`, signal).then((found) => summary(labels, histogram, asked, found)).catch(() => {}),
  ]);
}

function filters(chips, asked, absent) {
  const chip = (name, value, says) => h("a", {
    class: "chip", role: "button", "aria-pressed": String((asked.get(name) ?? "") === value),
    href: changed(asked, { [name]: (asked.get(name) ?? "") === value ? "" : value }),
  }, says);
  const choose = (name, choices, label) => {
    const list = h("select", { "aria-label": label }, choices.map(([value, says]) => h("option", { value, selected: (asked.get(name) ?? "") === value }, says)));
    list.addEventListener("change", () => go(changed(asked, { [name]: list.value })));
    return list;
  };
  const number = (name, says) => {
    const field = h("input", { type: "number", min: "0", max: "100", step: "1", value: asked.get(name) ? String(Math.round(Number(asked.get(name)) * 100)) : null });
    field.addEventListener("change", () => go(changed(asked, { [name]: field.value === "" ? "" : String(Number(field.value) / 100) })));
    return h("label", {}, says, field);
  };
  const set = [...asked.entries()].filter(([name]) => ["label", "version", "camera"].includes(name));
  chips.replaceChildren(
    chip("detections", "1", "detections"),
    ...(absent.has("verdict") ? [h("span", { class: "quiet" }, "this store keeps no ground truth")] : [chip("verdict", "wrong", "wrong"), chip("verdict", "agreed", "as labelled")]),
    choose("last", TIMES, "Time"), number("least", "confidence %, from"), number("most", "to"),
    ...set.map(([name, value]) => h("a", { class: "chip", role: "button", "aria-pressed": "true", href: changed(asked, { [name]: "" }), "aria-label": `without ${name} ${value}` }, `${name}: ${value} ×`)),
    ...(asked.toString() ? [h("a", { href: "/gallery" }, "clear")] : []));
}

function summary(labels, histogram, asked, found) {
  const named = Object.entries(found.labels);
  labels.replaceChildren(...named.slice(0, MOST_LABELS).map(([label, many]) => h("a", {
    class: "chip", role: "button", "aria-pressed": String(asked.get("label") === label), href: changed(asked, { label: asked.get("label") === label ? "" : label }),
  }, label, " ", h("small", {}, count(many)))), ...(named.length > MOST_LABELS ? [h("span", { class: "quiet" }, `and ${named.length - MOST_LABELS} more`)] : []));
  const top = Math.max(...found.confidence, 1);
  const bins = found.confidence.length;
  const bars = found.confidence.map((many, at) => {
    const bar = h("a", { class: "bin", href: changed(asked, { least: String(at / bins), most: String((at + 1) / bins) }), title: `${percent(at / bins)} to ${percent((at + 1) / bins)}: ${count(many)}`, "aria-label": `confidence ${percent(at / bins)} to ${percent((at + 1) / bins)}: ${many}` }, h("i"));
    bar.firstChild.style.height = `${many ? Math.max(4, (many / top) * 100) : 0}%`;
    return bar;
  });
  histogram.replaceChildren(h("div", { class: "bins" }, bars), h("p", { class: "quiet" }, `Confidence from 0 to 100% of the newest ${count(found.of)} that match`));
  histogram.hidden = !found.of;
}
