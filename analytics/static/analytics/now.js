// The page of what goes on now: numbers, the groups' table, and who does what. Times go on between two messages.
(() => {
  const ORDER = ["ringing", "on_call", "acw", "available", "break", "busy", "offline"];
  const start = () => {
    const page = document.querySelector("[data-now-url]");
    if (!page) return;
    const { figures, activities, levels } = JSON.parse(document.getElementById("now-told").textContent);
    const language = document.documentElement.lang || [];
    const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
    const whole = new Intl.NumberFormat(language);
    const search = page.querySelector("[data-now-search]"), list = page.querySelector("[data-now-people]");
    const none = page.querySelector("[data-now-none]"), note = page.querySelector("[data-now-stale]"), cut = page.querySelector("[data-now-cut]");
    let current = figures, clockOffset = 0, chosen = page.dataset.nowChosen;

    // Times are the server's; the browser's clock may be wrong.
    const serverNow = () => Date.now() + clockOffset;
    const since = moment => (serverNow() - new Date(moment)) / 1000;
    const waited = seconds => (seconds === null ? "–" : portalClock(seconds + since(current.at)));
    const value = (name, from) => {
      const it = from[name];
      if (name === "longest_wait_seconds") return waited(it);
      if (it === null || it === undefined) return "–";
      return name.startsWith("service_level") ? percent.format(it) : whole.format(it);
    };
    const mood = (name, from) => {
      const it = from[name];
      if (name.startsWith("service_level") && it !== null) {
        const [good, poor] = levels[from.skill_group] ?? levels[""];
        return it >= good ? "good" : it < poor ? "bad" : "fair";
      }
      if (name === "in_queue" && it > 0) return from.available > 0 ? "fair" : "bad";
      if (name === "longest_wait_seconds" && it !== null) return from.in_queue > 0 && it + since(current.at) > 60 ? "bad" : "fair";
      if (name === "available" && !it && from.in_queue + from.ringing > 0) return "bad";
      return "";
    };

    const tick = () => {
      page.querySelectorAll("[data-now]").forEach(element => {
        const path = element.dataset.now.split("."), name = path.pop();
        const from = path.reduce((part, step) => part?.[step], current) ?? {};
        element.textContent = value(name, from);
      });
      page.querySelectorAll("tr[data-now-group]").forEach(row => {
        const group = current.skill_groups.find(one => String(one.skill_group) === row.dataset.nowGroup);
        row.hidden = !group;
        if (!group) return;
        row.querySelectorAll("[data-now-column]").forEach(cell => {
          cell.textContent = value(cell.dataset.nowColumn, group);
          cell.dataset.mood = mood(cell.dataset.nowColumn, group);
        });
      });
      if (list) people();
    };

    const people = () => {
      const doing = new Map((current.people ?? []).map(one => [String(one.agent), one]));
      const words = (search?.value ?? "").trim().toLocaleLowerCase(language);
      let shown = 0;
      const rank = row => { const one = doing.get(row.dataset.nowAgent); return one ? ORDER.indexOf(one.activity) : ORDER.length; };
      const rows = [...list.querySelectorAll("[data-now-agent]")], sorted = [...rows].sort((a, b) => rank(a) - rank(b));
      if (sorted.some((row, place) => row !== rows[place])) list.append(...sorted);
      list.querySelectorAll("[data-now-agent]").forEach(row => {
        const one = doing.get(row.dataset.nowAgent);
        const reason = one?.reason ?? "", label = one ? activities[one.activity] : "";
        const text = `${row.dataset.nowText} ${label} ${reason}`.toLocaleLowerCase(language);
        row.hidden = !one || (chosen && one.activity !== chosen) || (words && !words.split(/\s+/).every(word => text.includes(word)));
        if (row.hidden) return;
        shown += 1;
        row.dataset.activity = one.activity;
        row.querySelector("[data-now-doing]").textContent = label;
        row.querySelector("[data-now-reason]").textContent = reason;
        row.querySelector("[data-now-since]").textContent = portalClock(since(one.since));
      });
      if (none) none.hidden = shown > 0;
    };

    search?.addEventListener("input", people);
    page.querySelectorAll("[data-now-activity]").forEach(button =>
      button.addEventListener("click", () => {
        chosen = chosen === button.dataset.nowActivity ? "" : button.dataset.nowActivity;
        press();
        keep();
        people();
      }));
    const press = () => page.querySelectorAll("[data-now-activity]").forEach(one => one.setAttribute("aria-pressed", String(one.dataset.nowActivity === chosen)));
    // The address holds the view, so that it can be kept and sent.
    const keep = () => {
      const address = new URL(location.href);
      chosen ? address.searchParams.set("activity", chosen) : address.searchParams.delete("activity");
      history.replaceState(null, "", address);
      const form = page.querySelector("[data-saves-view]");
      if (form) form.action = form.action.split("?")[0] + address.search;
    };
    press();

    const told = moment => new Date(moment).toLocaleTimeString(language);
    portalFeed({
      url: page.dataset.nowUrl,
      show: shown => {
        current = shown;
        clockOffset = new Date(shown.at) - Date.now();
        portalLost(cut, shown.connections, cut.dataset.text, told);
        tick();
      },
      stale: moment => {
        page.classList.toggle("is-stale", Boolean(moment));
        note.textContent = moment ? `${note.dataset.text} ${told(moment)}` : "";
      },
    });
    tick();
    setInterval(tick, 1_000);
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
