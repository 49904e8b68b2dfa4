// Figures that come by themselves. A page asks once and gets figures and a link; on the link it hears each change. The link is
// good for a minute and what it opens ends after five, so the page asks anew whenever it ends, and asks every two seconds for as
// long as no stream lives. When nothing was heard for a while it says since when what it shows is stale.
//
// portalFeed({url, headers, show(figures, whole answer or nothing), stale(since or null), gone(answer)}), which gives {ask()}.
window.portalFeed = ({ url, headers = {}, show, stale, gone }) => {
  const ASK = 2_000, SLOWEST = 15_000, PATIENCE = 8_000, SILENT = 12_000;
  let source = null, failures = 0, timer = null, heardAt = 0, heardOf = null, isGone = false;

  const heard = (figures, answer) => {
    heardAt = performance.now();
    heardOf = new Date(figures.at);
    stale(null);
    show(figures, answer);
  };
  const hush = () => {
    if (source) source.close();
    source = null;
  };
  const end = answer => {
    isGone = true;
    hush();
    clearTimeout(timer);
    stale(null);
    gone?.(answer);
  };

  const ask = async () => {
    clearTimeout(timer);
    let pause = ASK;
    try {
      const answer = await fetch(url, { headers: { Accept: "application/json", ...headers }, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
      if (answer.status === 404 || answer.status === 401) { end(await answer.json().catch(() => null)); return; }
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      const told = await answer.json();
      failures = 0;
      heard(told.figures, told);
      if (!source) listen(told.link);
    } catch {
      failures += 1;
      if (heardOf) stale(heardOf);
      pause = Math.min(1_000 * 2 ** failures, SLOWEST) * (0.75 + Math.random() / 2);
    }
    if (!source?.isLive) timer = setTimeout(ask, pause);
  };

  const listen = link => {
    const mine = source = new EventSource(link);
    mine.addEventListener("shown", ({ data }) => {
      if (source !== mine) return;
      if (!mine.isLive) { mine.isLive = true; clearTimeout(timer); }
      heard(JSON.parse(data));
    });
    mine.addEventListener("gone", () => { hush(); ask(); });  // whether there is another link, the answer tells
    mine.onerror = () => {
      if (source !== mine) return;
      const wasLive = mine.isLive;
      hush();
      clearTimeout(timer);
      timer = setTimeout(ask, wasLive ? 200 + 800 * Math.random() : ASK);
    };
  };

  setInterval(() => {
    if (isGone || performance.now() - heardAt < SILENT) return;
    if (heardOf) stale(heardOf);
    if (source) { hush(); ask(); }  // a stream that says nothing is none
  }, 1_000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !isGone && performance.now() - heardAt > ASK) ask(); });
  ask();
  return { ask };
};
// Says in an element which connections to telephony are lost, and when each was heard last; hides it when none is.
window.portalLost = (element, connections, words, told) => {
  const lost = connections.filter(one => one.state !== "connected");
  element.hidden = lost.length === 0;
  if (lost.length) element.textContent = `${words} ${lost.map(one => one.heard_at ? `${one.name} (${told(one.heard_at)})` : one.name).join(", ")}`;
};
window.portalClock = seconds => {
  const whole = Math.max(0, Math.floor(seconds)), two = n => String(n).padStart(2, "0");
  const minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${two(minutes % 60)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
};
