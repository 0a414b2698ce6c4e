/** One record: what the model read, what it said, and where the record lies. */

import { get } from "./api.js";
import { go } from "./app.js";
import { h, mediaOf, moment, notice, pageOf, percent } from "./dom.js";

export async function show(view, signal, id) {
  view.replaceChildren(h("p", { class: "quiet" }, "Loading…"));
  let row;
  try {
    row = await get(`/api/records/${id.split("/").map(encodeURIComponent).join("/")}`, signal);
  } catch (error) {
    if (!signal.aborted) view.replaceChildren(notice(error.message, h("a", { href: "/gallery" }, "To the gallery")));
    return;
  }
  document.title = `${row.label} · Velox`;
  const link = (to, says, key) => (to ? h("a", { href: pageOf(to), rel: key === "ArrowLeft" ? "prev" : "next" }, says) : h("span", { class: "quiet" }, says));
  const facts = [
    ["label", h("strong", { class: row.wrong ? "bad" : null }, row.label)], ["confidence", percent(row.confidence)],
    ["ground truth", row.truth === null ? "nobody says" : row.truth], ["detection", row.detection ? "yes" : "no"],
    ["time", moment(row.at)], ["model", `${row.model} ${row.version}`],
    ["in Kafka", h("span", { class: "mono" }, `${row.topic}-${row.partition}-${row.offset}`)], ["id", h("span", { class: "mono" }, row.id)],
    ...(row.camera ? [["camera", h("a", { href: `/gallery?camera=${encodeURIComponent(row.camera)}` }, row.camera)]] : []),
  ];
  const { newer, older, ...document_ } = row;
  view.replaceChildren(
    h("div", { class: "actions" }, link(newer, "← newer", "ArrowLeft"), link(older, "older →", "ArrowRight"),
      h("a", { href: `/gallery?label=${encodeURIComponent(row.label)}` }, `all ${row.label}`), h("span", { class: "quiet" }, "keys: ← →")),
    h("div", { class: "two" }, await payload(row, signal), h("div", {},
      h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      h("h2", {}, "As stored"), h("pre", { tabindex: "0" }, JSON.stringify(document_, null, 1)))));
  addEventListener("keydown", (event) => {
    const to = { ArrowLeft: newer, ArrowRight: older }[event.key];
    if (to && !event.target.closest("input, select, pre")) go(pageOf(to));
  }, { signal });
}

/** The payload: an image, or text; or why there is none. */
async function payload(row, signal) {
  const none = (says) => h("p", { class: "notice" }, says);
  let answer;
  try {
    answer = await fetch(mediaOf(row.id), { signal });
  } catch {
    return none("The dashboard does not answer.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    return row.text === null ? none(said.detail ?? "It cannot be read now.") : h("pre", {}, row.text);
  }
  if (answer.headers.get("content-type").startsWith("image/")) return h("img", { class: "large", src: mediaOf(row.id), alt: `what was predicted as ${row.label}` });
  return h("pre", {}, await answer.text());
}
