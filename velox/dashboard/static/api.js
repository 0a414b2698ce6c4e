/** Asking the server, and telling the page when it does not answer. */

let lastAnswer = Date.now();
let away = false;

const banner = () => document.getElementById("offline");

function tellAway() {
  away = true;
  const seconds = Math.round((Date.now() - lastAnswer) / 1000);
  banner().textContent = `The dashboard does not answer: what is shown is ${seconds} s old. It goes on by itself; is \`velox dashboard\` running?`;
  banner().hidden = false;
}

function tellBack() {
  lastAnswer = Date.now();
  if (away) {
    away = false;
    banner().hidden = true;
  }
}

setInterval(() => away && tellAway(), 1000);

/** An answer that says no: `status` and the server's own words. */
export class Refusal extends Error {
  constructor(status, says) {
    super(says);
    this.status = status;
  }
}

async function asked(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name !== "AbortError") tellAway();
    throw error;
  }
  tellBack();
  if (answer.status === 401 && location.pathname !== "/login") location.assign("/login");
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Refusal(answer.status, said.detail ?? `the server answers ${answer.status}`);
  }
  return answer;
}

/** Ask for JSON. */
export const get = async (path, signal) => (await asked(path, { signal })).json();

/** Ask for bytes. */
export const bytes = async (path, signal) => (await asked(path, { signal })).arrayBuffer();

/** Change something. */
export async function post(path, body, signal) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await asked(path, { method: "POST", body: text, signal, headers: { "X-Velox-Dashboard": "1" } });
  return answer.status === 204 ? null : answer.json();
}

/** Do something again and again until `signal` ends it; after a failure, a little later. */
export async function repeat(step, signal) {
  while (!signal.aborted) {
    try {
      await step();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TypeError || error instanceof Refusal)) console.error(error);
      await pause(1000, signal);
    }
  }
}

export const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});
