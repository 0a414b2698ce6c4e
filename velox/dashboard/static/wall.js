/** All cameras on one canvas; the next tick is asked for when the last one is drawn. */

import { bytes, pause, post, Refusal, repeat } from "./api.js";
import { count, h, notice, table, took } from "./dom.js";
import { sure } from "./letters.js";

const GAP = 6;
const UNDER = 34;
const WORST = 10;
const STATES = { live: "--good", late: "--warn", frozen: "--warn", black: "--warn", connecting: "--warn", offline: "--bad", paused: "--quiet", ended: "--quiet" };
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dropped = (camera) => Object.values(camera.dropped).reduce((sum, rate) => sum + rate, 0);

/** Take a tick apart: the length of its JSON, the JSON, the pictures. */
function taken(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  for (const camera of head.cameras) {
    camera.jpeg = camera.bytes ? new Blob([new Uint8Array(buffer, at, camera.bytes)], { type: "image/jpeg" }) : null;
    at += camera.bytes;
  }
  return head;
}

export async function show(view, signal) {
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": "All cameras; arrow keys choose one, Enter shows it" });
  const said = h("div", { "aria-live": "polite" }, notice("Loading…"));
  const worst = h("section", { class: "panel" });
  const large = h("div");
  view.replaceChildren(h("div", { class: "actions" }, h("h1", {}, "Wall"), adding(said)), said, large, h("div", { class: "wall" }, canvas), worst);

  const pictures = new Map();
  let cameras = [];
  let places = [];
  let number = 0;
  let chosen = -1;
  let empty = 0;

  /** Lay the tiles out: in the order of their names, so that they stay where they are. */
  function lay() {
    const width = canvas.clientWidth;
    const columns = Math.max(1, Math.min(cameras.length || 1, Math.floor(width / Math.max(110, Math.min(220, Math.sqrt((width * 700) / Math.max(1, cameras.length)))))));
    const wide = (width - GAP * (columns - 1)) / columns;
    const high = (wide * 9) / 16 + UNDER;
    places = cameras.map((camera, at) => ({ x: (at % columns) * (wide + GAP), y: Math.floor(at / columns) * (high + GAP), wide, high }));
    canvas.columns = columns;
    const height = Math.ceil(cameras.length / columns) * (high + GAP);
    canvas.style.height = `${height}px`;
    const scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
  }

  function draw() {
    lay();
    const pen = canvas.getContext("2d");
    const scale = devicePixelRatio || 1;
    const [raised, ink, quiet, accent] = ["--raised", "--ink", "--quiet", "--accent"].map(color);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    cameras.forEach((camera, at) => {
      const { x, y, wide, high } = places[at];
      pen.fillStyle = raised;
      pen.fillRect(x, y, wide, high);
      const picture = pictures.get(camera.id);
      if (picture && camera.state !== "offline") pen.drawImage(picture, x, y, wide, high - UNDER);
      else words(pen, camera.state, x + wide / 2, y + (high - UNDER) / 2, wide, quiet, "12px system-ui", "center");
      pen.fillStyle = color(STATES[camera.state] ?? "--quiet");
      pen.beginPath();
      pen.arc(x + 9, y + high - UNDER + 12, 4, 0, 7);
      pen.fill();
      words(pen, camera.label ? `${camera.id} · ${camera.label}` : camera.id, x + 18, y + high - UNDER + 16, wide - 22, ink, "600 11px system-ui");
      words(pen, `${camera.in.toFixed(1)} in · ${camera.predicted.toFixed(1)} done · ${dropped(camera).toFixed(1)} dropped`, x + 5, y + high - 5, wide - 9, quiet, "10px system-ui");
      if (at === chosen) {
        pen.strokeStyle = accent;
        pen.lineWidth = 2;
        pen.strokeRect(x + 1, y + 1, wide - 2, high - 2);
      }
    });
  }

  const visible = () => {
    const box = canvas.getBoundingClientRect();
    return cameras.filter((_, at) => places[at] && box.top + places[at].y < innerHeight + 200 && box.top + places[at].y + places[at].high > -200).map((camera) => camera.id);
  };

  async function tick() {
    const shown = cameras.length ? `&shown=${visible().map(encodeURIComponent).join(",")}` : "";
    const head = taken(await bytes(`/api/wall?after=${number}${shown}`, signal));
    await Promise.all(head.cameras.filter((camera) => camera.jpeg).map(async (camera) => {
      const before = pictures.get(camera.id);
      const picture = await createImageBitmap(camera.jpeg).catch(() => null);
      if (picture) {
        pictures.set(camera.id, picture);
        before?.close();
      }
    }));
    number = head.number;
    const order = head.cameras.slice(0, WORST);
    cameras = head.cameras.toSorted((one, other) => one.id.localeCompare(other.id, undefined, { numeric: true }));
    empty = cameras.length ? 0 : empty + 1;
    tell(head, order);
    draw();
    if (!number) await pause(500, signal);
  }

  function tell(head, order) {
    if (!cameras.length) {
      if (empty > 3) said.replaceChildren(notice("No cameras answer.", "To see eight drawn ones: velox cameras init --count 8, then velox up --env-file pipelines/cameras.env", head.problem));
      worst.hidden = true;
      return;
    }
    const live = cameras.filter((camera) => camera.state === "live").length;
    said.replaceChildren(h("p", { class: "quiet" }, `${live} of ${cameras.length} cameras live${head.others ? `; ${head.others} more are not shown` : ""}`), ...(head.problem ? [h("p", { class: "problem" }, head.problem)] : []));
    worst.hidden = false;
    worst.replaceChildren(h("h2", {}, "Worst first"), table(["camera", "state", "in/s", "published/s", "predicted/s", "dropped/s", "newest frame"], new Set([2, 3, 4, 5, 6]), order.map((camera) => [
      h("button", { type: "button", onclick: () => open(camera.id) }, camera.id), h("span", { class: STATES[camera.state]?.slice(2) }, camera.state), camera.in.toFixed(1), camera.published.toFixed(1), camera.predicted.toFixed(1),
      Object.entries(camera.dropped).map(([cause, rate]) => `${cause.replace("_", " ")} ${rate.toFixed(1)}`).join(", ") || "0", camera.age === null ? "–" : `${took(camera.age)} ago`])));
  }

  const open = (id) => one(large, id, signal, () => cameras.find((camera) => camera.id === id));
  canvas.addEventListener("click", (event) => {
    const at = places.findIndex(({ x, y, wide, high }) => event.offsetX >= x && event.offsetX <= x + wide && event.offsetY >= y && event.offsetY <= y + high);
    if (at >= 0) open(cameras[(chosen = at)].id);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -canvas.columns, ArrowDown: canvas.columns }[event.key];
    if (step !== undefined && cameras.length) {
      chosen = Math.max(0, Math.min(cameras.length - 1, chosen + step));
      event.preventDefault();
      draw();
    } else if (event.key === "Enter" && chosen >= 0) {
      event.preventDefault(); // or it would press the button that gets the focus
      open(cameras[chosen].id);
    }
  });
  const resized = new ResizeObserver(draw);
  resized.observe(view);
  signal.addEventListener("abort", () => resized.disconnect());
  await repeat(tick, signal);
}

function words(pen, text, x, y, most, fill, font, align = "left") {
  pen.font = font;
  pen.fillStyle = fill;
  pen.textAlign = align;
  let shown = text;
  while (shown.length > 3 && pen.measureText(shown).width > most) shown = `${shown.slice(0, -2)}…`;
  pen.fillText(shown, x, y);
  pen.textAlign = "left";
}

/** One camera large, with its newest frame from the bucket, once a second. */
function one(place, id, signal, now) {
  const leaving = new AbortController();
  signal.addEventListener("abort", () => leaving.abort());
  const image = h("img", { class: "large", alt: `the newest frame of ${id}` });
  const state = h("p", { class: "quiet", role: "status" });
  const change = (action) => h("button", { type: "button", class: action === "remove" ? "danger" : null, onclick: async () => {
    if (action === "remove" && !(await sure(place, `Remove ${id}? It is read no more.`, action))) return;
    state.textContent = await post(`/api/cameras/${action}`, { id }).then(() => `${action}: on its way to the cameras' processes`, (error) => error.message);
  } }, action);
  const close = h("button", { type: "button", onclick: () => { leaving.abort(); place.replaceChildren(); } }, "Close");
  place.replaceChildren(h("section", { class: "panel" }, h("div", { class: "actions" }, h("h1", {}, id), ["pause", "resume", "remove"].map(change), h("a", { href: `/gallery?camera=${encodeURIComponent(id)}` }, "its results"), close), state, image));
  close.focus();
  repeat(async () => {
    if (!place.contains(image)) leaving.abort();
    try {
      const shown = URL.createObjectURL(new Blob([await bytes(`/api/cameras/${encodeURIComponent(id)}/frame`, leaving.signal)], { type: "image/jpeg" }));
      image.onload = () => URL.revokeObjectURL(shown);
      image.src = shown;
      const camera = now();
      if (camera) image.alt = `the newest frame of ${id}: ${camera.state}, ${count(camera.in)} frames a second`;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      state.textContent = error.message;
    }
    await pause(1000, leaving.signal);
  }, leaving.signal);
}

/** Adds a camera. */
function adding(said) {
  const id = h("input", { name: "id", required: true, placeholder: "camera_9", "aria-label": "id" });
  const url = h("input", { name: "url", required: true, placeholder: "rtsp://… or synthetic:", "aria-label": "address" });
  const form = h("form", { class: "chips" }, id, url, h("button", { type: "submit" }, "Add camera"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await post("/api/cameras/add", { id: id.value, url: url.value }).then(() => `${id.value} is on its way to the cameras' processes`, (error) => error.message);
    said.replaceChildren(h("p", {}, answer));
  });
  return form;
}
