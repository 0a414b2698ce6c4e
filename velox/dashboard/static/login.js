/** Asks for the token. */

import { post, Refusal } from "./api.js";
import { h } from "./dom.js";

export function show(view) {
  const said = h("p", { class: "bad", role: "alert" });
  const token = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, autofocus: true });
  const form = h("form", { class: "notice" },
    h("p", {}, "Whoever knows DASHBOARD_TOKEN sees this page."),
    h("div", { class: "actions" }, h("label", {}, "Token", token), h("button", { type: "submit" }, "Log in")), said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await post("/api/login", token.value);
      location.assign("/");
    } catch (error) {
      said.textContent = error instanceof Refusal ? error.message : "";
    }
  });
  view.replaceChildren(form);
  token.focus();
}
