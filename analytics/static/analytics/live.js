// Keeps the live tiles current, and says since when they are not. A wait goes on between two answers.
(() => {
  const EVERY = 2000, SLOWEST = 10000;
  const clock = seconds => {
    const whole = Math.round(seconds), two = n => String(n).padStart(2, "0");
    const minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60);
    return hours ? `${hours}:${two(minutes % 60)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  const start = board => {
    const stale = board.querySelector("[data-live-stale]");
    let current = new Date(board.dataset.liveAt), wait = null, answeredAt = performance.now(), pause = EVERY;

    const show = live => {
      board.querySelectorAll("[data-live]").forEach(element => {
        const value = element.dataset.live.split(".").reduce((part, name) => part?.[name], live);
        if (element.dataset.live !== "longest_wait_seconds") element.textContent = value ?? "–";
      });
      wait = live.longest_wait_seconds;
      answeredAt = performance.now();
      current = new Date(live.at);
      tick();
    };
    const tick = () => {
      const element = board.querySelector('[data-live="longest_wait_seconds"]');
      if (board.classList.contains("is-stale")) return;
      if (wait !== null) element.textContent = clock(wait + (performance.now() - answeredAt) / 1000);
      else if (answeredOnce) element.textContent = "–";
    };
    const fail = () => {
      board.classList.add("is-stale");
      stale.textContent = `${board.dataset.staleText} ${current.toLocaleTimeString(document.documentElement.lang || [])}`;
      pause = Math.min(pause * 1.5, SLOWEST);
    };
    let answeredOnce = false;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(board.dataset.liveUrl, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(8000) });
          if (!answer.ok) throw new Error(answer.status);
          const live = await answer.json();
          board.classList.remove("is-stale");
          stale.textContent = "";
          answeredOnce = true;
          pause = EVERY;
          show(live);
        } catch { fail(); }
      }
      setTimeout(ask, pause);
    };
    setInterval(tick, 1000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) pause = EVERY; });
    ask();
  };

  const ready = () => {
    document.querySelectorAll("[data-live-url]").forEach(start);
    document.querySelectorAll("form[data-submits-itself] select").forEach(select =>
      select.addEventListener("change", () => select.form.requestSubmit()));
    document.querySelectorAll("form[data-submits-itself]").forEach(form =>
      form.addEventListener("formdata", event => {  // an address without empty parameters is one people can read
        for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
      }));
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
})();
