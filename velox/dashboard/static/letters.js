/** Dead letters: which there are and why, what they say, and what to do about them. */

import { get, post } from "./api.js";
import { age, count, h, notice, table } from "./dom.js";

export async function show(view, signal) {
  const body = h("div", {}, h("p", { class: "quiet" }, "Reading the topic…"));
  const said = h("p", { role: "status" });
  view.replaceChildren(h("h1", {}, "Dead letters"), said, body);

  async function read() {
    let found;
    try {
      found = await get("/api/letters", signal);
    } catch (error) {
      if (!signal.aborted) body.replaceChildren(h("p", { class: "problem", role: "alert" }, h("b", {}, "Dead letters: "), error.message, " ", h("button", { type: "button", onclick: read }, "Try again")));
      return;
    }
    body.replaceChildren(h("p", { class: "quiet" }, `${found.topic}: ${count(found.open)} dead letters, ${count(found.handled)} replayed or discarded already`));
    if (!found.open) {
      body.append(notice("There are none.", "A record whose own data is bad comes here, with the reason."));
      return;
    }
    for (const reason of found.reasons) body.append(group(reason, found.letters.filter((letter) => letter.reason === reason.reason), act));
  }

  async function act(action, choice, words) {
    if (!(await sure(view, `${action === "replay" ? "Publish again" : "Take off the list"}: ${words}?`, action))) return;
    said.textContent = "…";
    try {
      const done = await post(`/api/letters/${action}`, choice, signal);
      said.textContent = action === "replay" ? `Published ${done.done} of ${done.of} again.` : `Took ${done.done} off the list.`;
    } catch (error) {
      said.textContent = error.message;
    }
    await read();
  }
  await read();
}

function group(reason, letters, act) {
  const words = `all ${count(reason.letters)} that are ${reason.reason}`;
  const button = (action, choice, says, what) => h("button", { type: "button", class: action === "discard" ? "danger" : null, onclick: () => act(action, choice, what) }, says);
  return h("section", { class: "panel" },
    h("div", { class: "actions" }, h("h1", {}, reason.reason.replaceAll("_", " ")), h("span", { class: "quiet" }, `${count(reason.letters)} letters, the newest ${age(reason.newest)} ago`),
      button("replay", { reason: reason.reason }, "Replay all", words), button("discard", { reason: reason.reason }, "Discard all", words)),
    table(["record", "age", "attempts", ""], new Set([2]), letters.map((letter) => [
      h("span", { class: "mono" }, letter.source), age(letter.at), String(letter.attempts),
      h("span", {}, preview(letter), " ", button("replay", { record: letter.source }, "Replay", letter.source), " ", button("discard", { record: letter.source }, "Discard", letter.source))])),
    reason.letters > letters.length ? h("p", { class: "quiet" }, `The newest ${letters.length} are shown.`) : null);
}

/** A button that shows, below its row, what a letter says. */
function preview(letter) {
  const button = h("button", { type: "button", "aria-expanded": "false" }, "Show");
  let shown = null;
  button.addEventListener("click", async () => {
    if (shown) {
      shown.remove();
      shown = null;
    } else {
      const row = h("tr", {}, h("td", { colspan: "4" }, h("pre", {}, "Reading…")));
      shown = row;
      button.closest("tr").after(row);
      const text = await get(`/api/letters/${encodeURIComponent(letter.source)}`).then(written, (error) => error.message);
      row.querySelector("pre").textContent = text;
    }
    button.setAttribute("aria-expanded", String(Boolean(shown)));
  });
  return button;
}

const written = (found) => [...found.headers.map(([name, value]) => `${name}: ${value}`), `key: ${found.key}`, `payload: ${found.payload}`].join("\n");

/** Ask whether it is meant. */
export function sure(view, question, yes) {
  return new Promise((resolve) => {
    const dialog = h("dialog", {}, h("p", {}, question), h("form", { method: "dialog", class: "actions" }, h("button", { value: "yes" }, yes), h("button", { value: "", autofocus: true }, "Cancel")));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    view.append(dialog);
    dialog.showModal();
  });
}
