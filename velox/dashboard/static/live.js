/** What Velox sees now: speed, where the time goes, and the newest results. */

import { get, repeat } from "./api.js";
import { lines } from "./charts.js";
import { age, count, h, notice, percent, table, tile, took } from "./dom.js";

const CHART_S = 125;
const MOST_NEW = 12;
const DOES = { download: "an object, from the bucket", queue: "waits for a process", decode: "bytes to inputs", inference: "predicts", sink: "stores, in bulk" };

function chart(title, keys, words, least) {
  const figure = h("span", { class: "figure" }, "–");
  const canvas = h("canvas", { role: "img", "aria-label": `${title}, the last two minutes` });
  const panel = h("section", { class: "panel" }, h("h2", {}, title), figure, canvas);
  const draw = (points) => lines(canvas, points, keys, words, least);
  return { panel, figure, canvas, draw };
}

export async function show(view, signal) {
  const rate = chart("Predictions per second", [{ key: "rate", color: "--accent", fill: true }], (value) => `${count(value)}/s`, 1);
  const latency = chart("From produced to stored", [{ key: "p95", color: "--warn" }, { key: "p50", color: "--accent" }], took, 0.01);
  const lag = chart("Records waiting in Kafka", [{ key: "lag", color: "--accent", fill: true }], count, 10);
  const problems = h("div", { "aria-live": "polite" });
  const verdict = h("section", { class: "panel" });
  const stages = h("section", { class: "panel" });
  const topics = h("section", { class: "panel" });
  const tiles = h("ul", { class: "tiles" });
  const sampled = h("p", { class: "quiet", hidden: true }, "More come than can be shown: these are some of them.");
  const newest = h("section", {}, h("h1", {}, "Newest results"), sampled, tiles);
  view.replaceChildren(notice("Loading…"));

  let number = 0;
  let points = [];
  let started = false;
  const shown = new Map();

  const draw = () => [rate, latency, lag].forEach((each) => each.draw(points));
  const resized = new ResizeObserver(draw);
  signal.addEventListener("abort", () => resized.disconnect());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
  const ticking = setInterval(() => {
    for (const time of tiles.querySelectorAll("time[data-at]")) time.textContent = age(Number(time.dataset.at));
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(ticking));

  /** Show the newest; where more come than can be looked at, a few of them each time, and say so. */
  function place(found) {
    const fresh = found.filter((row) => !shown.has(row.id));
    const isSampled = shown.size > 0 && fresh.length > MOST_NEW;
    const rows = isSampled ? [...fresh.slice(0, MOST_NEW), ...[...shown.values()].map((each) => each.row)].slice(0, found.length) : found;
    sampled.hidden = !isSampled;
    const wanted = new Set(rows.map((row) => row.id));
    for (const [id, { item }] of shown) {
      if (!wanted.has(id)) {
        item.remove();
        shown.delete(id);
      }
    }
    const before = new Map(shown);
    shown.clear();
    rows.forEach((row, at) => {
      const item = before.get(row.id)?.item ?? h("li", {}, tile(row));
      shown.set(row.id, { item, row });
      if (tiles.children[at] !== item) tiles.insertBefore(item, tiles.children[at] ?? null);
    });
    tiles.className = rows.some((row) => row.text !== null) ? "tiles texts" : "tiles";
    newest.querySelector(".notice")?.remove();
    if (!rows.length) newest.append(notice("No results are stored yet.", "They appear here as soon as a producer sends records: velox up, or velox produce."));
  }

  function take(state) {
    if (!started) {
      view.replaceChildren(problems, h("div", { class: "panels" }, rate.panel, latency.panel, lag.panel), h("div", { class: "panels" }, verdict, stages, topics), newest);
      [rate, latency, lag].forEach((each) => resized.observe(each.canvas));
      started = true;
    }
    number = state.number;
    points = [...points, ...state.points].filter((point) => point.at > state.at - CHART_S);
    const now = points[points.length - 1] ?? {};
    document.getElementById("headline").textContent = state.headline;
    rate.figure.replaceChildren(`${count(now.rate ?? 0)}/s`);
    latency.figure.replaceChildren(took(now.p50), h("small", {}, `  median, 95 % within ${took(now.p95)}`));
    lag.figure.replaceChildren(count(now.lag ?? 0));
    problems.replaceChildren(...state.problems.map((problem) => h("p", { class: "problem" }, h("b", {}, `${problem.part}: `), `${problem.says}. → ${problem.remedy}`)));
    const idle = Object.entries(state.idle).sort((one, other) => other[1] - one[1]).filter(([, share]) => share >= 0.005);
    verdict.replaceChildren(
      h("h2", {}, "Bottleneck"), h("p", { class: "verdict" }, state.verdict.says), h("p", { class: "quiet" }, `→ ${state.verdict.remedy}`),
      h("p", {}, `Devices predict ${percent(state.predicting)} of the time; idle: ${idle.map(([cause, share]) => `${cause.replace("_", " ")} ${percent(share)}`).join(", ") || "never"}`),
      h("p", { class: "quiet" }, `${count(state.in_flight[0])} of ${count(state.in_flight[1])} records in flight · results from ${state.store ?? "nowhere"}`));
    stages.replaceChildren(h("h2", {}, "Stages of a batch"), table(["stage", "", "busy", "mean", "/s"], new Set([3, 4]), state.stages.map((stage) => [
      stage.name, h("span", { class: "quiet" }, DOES[stage.name] ?? ""), busy(stage.busy), took(stage.mean_s), count(stage.batches_per_s)])));
    const several = state.topics.length > 1;
    topics.replaceChildren(h("h2", {}, several ? "Topics" : "Lag by partition"), several
      ? table(["topic", "records/s", "lag", "dead letters"], new Set([1, 2, 3]), state.topics.map((topic) => [topic.name, topic.records_per_s.toFixed(1), count(topic.lag_records), count(topic.dead_letters)]))
      : state.lag.length
        ? table(["partition", "lag"], new Set([1]), state.lag.slice(0, 8).map((each) => [`${each.topic}-${each.partition}`, count(each.lag)]))
        : h("p", { class: "quiet" }, "Nothing is known of partitions yet."));
    place(state.rows);
    draw();
  }

  await repeat(async () => take(await get(`/api/live?after=${number}`, signal)), signal);
}

function busy(share) {
  if (share === null) return "";
  const bar = h("i");
  bar.style.width = `${Math.round(share * 100)}%`;
  return h("span", {}, h("span", { class: "busy", "aria-hidden": "true" }, bar), percent(share));
}
