// Keeps a desk alive: a heartbeat every ten seconds, and a stream that tells at once what has changed. Where no stream lives
// it looks every three seconds. It is a worker because browsers slow the timers of pages nobody looks at, and a heartbeat that
// comes late takes an agent off the line.
// Of several tabs one does it for all, for as long as it holds a lock; a page that holds one is not frozen either.
const BEAT = 10_000, LOOK = 3_000, PATIENCE = 8_000, SLOWEST = 15_000;
let urls = null, agent = "", token = "", failures = 0, timer = null, lastBeat = -BEAT, isAsking = false, isRefused = false, release = null;
let isDue = false, beats = 0, source = null, isLive = false, streamFailures = 0, streamTimer = null;

const say = (kind, more = {}) => postMessage({ kind, ...more });

async function ask(isBeat) {
  const body = isBeat ? new URLSearchParams({ agent }) : null;
  const headers = { Accept: "application/json", ...(isBeat ? { "X-CSRFToken": token } : {}) };
  return fetch(isBeat ? urls.heartbeat : urls.state, {
    method: isBeat ? "POST" : "GET", body, headers, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE),
  });
}

async function look() {
  if (isAsking) { isDue = true; return; }
  isAsking = true;
  clearTimeout(timer);
  const isBeat = !isRefused && performance.now() - lastBeat >= BEAT - LOOK / 2;
  isRefused = false;
  let pause = LOOK; // the stream makes it sooner; what it misses is seen within these seconds
  try {
    const answer = await ask(isBeat);
    const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
    const said = isJson ? await answer.json() : null;
    if (answer.ok && said) {
      if (isBeat) lastBeat = performance.now();
      failures = 0;
      say("state", { state: said });
      if (!isLive || ++beats % 3 === 0) say("ask");
      if (!source && !streamTimer) listen();
    } else if (answer.status === 401) {
      hush();
      say("signed-out");
      pause = SLOWEST; // somebody may sign in in another tab
    } else if (answer.status === 409) {
      hush();
      say("somebody-else");
      pause = SLOWEST;
    } else if (answer.status === 403 && said) {
      hush();
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
    hush();
    pause = Math.min(1_000 * 2 ** (failures - 1), SLOWEST);
    if (failures > 1) say("lost", { seconds: Math.round(pause / 1_000) });
  }
  if (isRefused || failures) isDue = false;
  isAsking = false;
  timer = setTimeout(look, isDue ? 0 : pause);
  isDue = false;
}

// --- The stream ------------------------------------------------------------------------------------------------------
// Its link is good for a minute and it ends by itself after five, so it is never left to the browser to open it again.
async function listen() {
  clearTimeout(streamTimer);
  streamTimer = null;
  if (!("EventSource" in self) || source) return;
  source = "asked";
  try {
    const answer = await fetch(urls.stream, {
      headers: { Accept: "application/json" }, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE),
    });
    if (!answer.ok) throw new Error(answer.status);
    const said = await answer.json();
    if (String(said.agent) !== agent) throw new Error("agent");
    hear(said.link);
  } catch {
    listenLater();
  }
}

function hear(link) {
  const mine = source = new EventSource(link);
  const began = performance.now();
  // A stream that opens and says nothing is held back by something on the way.
  const deaf = setTimeout(() => { if (source === mine) listenLater(); }, PATIENCE);
  mine.addEventListener("missed", () => {
    clearTimeout(deaf);
    isLive = true;
    say("live", { live: true });
    say("ask");
    look();
  });
  mine.addEventListener("changed", ({ data }) => {
    const told = JSON.parse(data);
    if (told.call) say("call", { call: told.call });
    else look();
  });
  mine.onerror = () => {
    clearTimeout(deaf);
    if (source !== mine) return;
    if (isLive && performance.now() - began > SLOWEST) streamFailures = 0;
    listenLater();
  };
}

function hush() {
  if (source instanceof EventSource) source.close();
  source = null;
  clearTimeout(streamTimer);
  streamTimer = null;
  if (isLive) say("live", { live: false });
  isLive = false;
}

function listenLater() {
  hush();
  const pause = Math.min(500 * 2 ** streamFailures, 2 * SLOWEST) * (0.5 + Math.random());
  streamFailures += 1;
  streamTimer = setTimeout(listen, pause);
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
