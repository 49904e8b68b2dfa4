// Keeps a desk alive: a heartbeat every ten seconds, and what has changed in between. It is a worker because browsers slow
// the timers of pages nobody looks at, and a heartbeat that comes late takes an agent off the line.
// Of several tabs one does it for all, for as long as it holds a lock; a page that holds one is not frozen either.
const BEAT = 10_000, LOOK = 3_000, PATIENCE = 8_000, SLOWEST = 15_000;
let urls = null, agent = "", token = "", failures = 0, timer = null, lastBeat = -BEAT, isAsking = false, isRefused = false, release = null;

const say = (kind, more = {}) => postMessage({ kind, ...more });

async function ask(isBeat) {
  const body = isBeat ? new URLSearchParams({ agent }) : null;
  const headers = { Accept: "application/json", ...(isBeat ? { "X-CSRFToken": token } : {}) };
  return fetch(isBeat ? urls.heartbeat : urls.state, {
    method: isBeat ? "POST" : "GET", body, headers, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE),
  });
}

async function look() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  const isBeat = !isRefused && performance.now() - lastBeat >= BEAT - LOOK / 2;
  isRefused = false;
  let pause = LOOK;
  try {
    const answer = await ask(isBeat);
    const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
    const said = isJson ? await answer.json() : null;
    if (answer.ok && said) {
      if (isBeat) lastBeat = performance.now();
      failures = 0;
      say("state", { state: said });
    } else if (answer.status === 401) {
      say("signed-out");
      pause = SLOWEST; // somebody may sign in in another tab
    } else if (answer.status === 409) {
      say("somebody-else");
      pause = SLOWEST;
    } else if (answer.status === 403 && said) {
      say("no-desk");
      pause = SLOWEST;
    } else if (answer.status === 403) {
      say("token"); // a new sign-in has changed it, and the page knows the cookie; or nobody is signed in, as the next look tells
      isRefused = true;
      pause = 500;
    } else {
      throw new Error(answer.status);
    }
  } catch {
    failures += 1;
    pause = Math.min(1_000 * 2 ** (failures - 1), SLOWEST);
    if (failures > 1) say("lost", { seconds: Math.round(pause / 1_000) });
  }
  isAsking = false;
  timer = setTimeout(look, pause);
}

function start() {
  if (!self.navigator.locks) return look(); // not over plain http: then each tab asks for itself
  self.navigator.locks.request(`desk-${agent}`, () => new Promise(resolve => { release = resolve; look(); }));
}

onmessage = ({ data }) => {
  if (data.token !== undefined) token = data.token;
  if (data.kind === "start") {
    ({ urls, agent } = data);
    start();
  } else if (data.kind === "now" && (release || !self.navigator.locks)) {
    if (data.beat) lastBeat = -BEAT;
    look();
  }
};
