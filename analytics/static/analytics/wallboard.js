// A wallboard. What it shows comes with the figures: tiles, words in the display's language, limits for colours. A link's token
// stands behind the # of the address, which no browser sends; it goes to the portal in a header.
(() => {
  const COLUMNS = ["in_queue", "longest_wait_seconds", "talking", "available", "staffed", "service_level_rolling", "service_level_today", "offered_today", "abandoned_today"];
  const body = document.body, main = document.querySelector("[data-wall]"), message = document.querySelector("[data-wall-message]");
  const stale = document.querySelector("[data-wall-stale]"), cut = document.querySelector("[data-wall-cut]"), clock = document.querySelector("[data-wall-clock]");
  const sound = document.querySelector("[data-wall-sound]");
  const make = (name, options = {}, ...children) => { const made = Object.assign(document.createElement(name), options); made.append(...children); return made; };
  let board = null, current = null, offset = 0, percent = null, whole = null, alarms = null, audio = null;

  // --- Figures
  const aged = seconds => (seconds === null ? null : seconds + Math.max(0, (Date.now() + offset - new Date(current.at)) / 1000));
  const value = (name, from) => (name === "longest_wait_seconds" ? aged(from[name]) : from[name]);
  const shown = (name, it) => {
    if (it === null || it === undefined) return "–";
    if (name === "longest_wait_seconds") return portalClock(it);
    return name.startsWith("service_level") ? percent.format(it) : whole.format(it);
  };
  const mood = (name, it, from) => {
    const { queue, wait, level } = board.limits;
    if (it === null || it === undefined) return "";
    if (name === "in_queue") return it >= queue[1] ? "bad" : it >= queue[0] ? "fair" : "";
    if (name === "longest_wait_seconds") return it >= wait[1] ? "bad" : it >= wait[0] ? "fair" : "";
    if (name.startsWith("service_level")) return it * 100 < level[1] ? "bad" : it * 100 < level[0] ? "fair" : "good";
    if (name === "available") return it === 0 && from.in_queue + from.ringing > 0 ? "bad" : "";
    return "";
  };

  const tick = () => {
    clock.textContent = new Date(Date.now() + offset).toLocaleTimeString(board?.language ?? [], { hour: "2-digit", minute: "2-digit" });
    if (!current) return;
    const bad = new Set();
    const paint = (element, name, from, key) => {
      const it = value(name, from), how = mood(name, it, from);
      element.querySelector("strong") ? (element.querySelector("strong").textContent = shown(name, it)) : (element.textContent = shown(name, it));
      element.dataset.mood = how;
      if (how === "bad") bad.add(key);
    };
    main.querySelectorAll("[data-tile]").forEach(tile => paint(tile, tile.dataset.tile, current.total, tile.dataset.tile));
    main.querySelectorAll("[data-activity]").forEach(item => { item.querySelector("b").textContent = whole.format(current.agents[item.dataset.activity] ?? 0); });
    main.querySelectorAll("tr[data-group]").forEach(row => {
      const group = current.skill_groups.find(one => String(one.id) === row.dataset.group);
      row.querySelectorAll("[data-column]").forEach(cell => paint(cell, cell.dataset.column, group ?? {}, `${row.dataset.group}:${cell.dataset.column}`));
    });
    if (alarms && board.has_sound && !body.classList.contains("is-stale") && [...bad].some(one => !alarms.has(one))) beep();
    alarms = bad;
  };

  // --- Layout
  const build = () => {
    const { words } = board;
    document.documentElement.lang = board.language;
    document.title = board.name;
    document.querySelector("[data-wall-name]").textContent = board.name;
    document.querySelector("[data-wall-full]").textContent = words.full_screen;
    percent = new Intl.NumberFormat(board.language, { style: "percent", maximumFractionDigits: 0 });
    whole = new Intl.NumberFormat(board.language);
    const names = board.tiles.filter(name => name !== "agents" && name !== "groups");
    const tiles = names.map(name => make("li", { className: "wall-tile" }, make("span", { textContent: words[name] }), make("strong", { textContent: "–" })));
    tiles.forEach((tile, place) => { tile.dataset.tile = names[place]; });
    const parts = [];
    if (tiles.length) {
      const list = make("ul", { className: "wall-tiles" }, ...tiles);
      list.style.setProperty("--columns", Math.max(1, Math.min(tiles.length, Math.ceil(Math.sqrt(tiles.length * (innerWidth / innerHeight))))));
      parts.push(list);
    }
    if (board.tiles.includes("agents")) {
      const items = Object.entries(words.activities).map(([name, label]) => {
        const item = make("li", { className: `is-${name}` }, label, make("b", { textContent: "–" }));
        item.dataset.activity = name;
        return item;
      });
      parts.push(make("ul", { className: "wall-agents" }, ...items));
    }
    if (board.tiles.includes("groups")) {
      const header = make("tr", {}, make("th", { scope: "col", textContent: words.skill_group }), ...COLUMNS.map(name => make("th", { scope: "col", textContent: words[name] })));
      const rows = current.skill_groups.map(group => {
        const row = make("tr", {}, make("th", { scope: "row", textContent: group.name }), ...COLUMNS.map(name => { const cell = make("td"); cell.dataset.column = name; return cell; }));
        row.dataset.group = group.id;
        return row;
      });
      parts.push(make("div", { className: "wall-groups", tabIndex: 0 }, rows.length ? make("table", {}, make("thead", {}, header), make("tbody", {}, ...rows)) : make("p", { className: "wall-message", textContent: words.no_groups })));
    }
    main.replaceChildren(...parts);
    main.hidden = false;
    message.hidden = true;
    alarms = null;
    listenForSound();
  };

  // --- Sound: browsers play none before somebody has touched the page
  const listenForSound = () => {
    sound.hidden = true;
    if (!board.has_sound) return;
    audio ??= new AudioContext();
    sound.textContent = board.words.sound;
    sound.hidden = audio.state === "running";
    audio.onstatechange = () => { sound.hidden = audio.state === "running"; };
  };
  const beep = () => {
    if (audio?.state !== "running") return;
    [0, 0.25].forEach(after => {
      const tone = audio.createOscillator(), volume = audio.createGain(), at = audio.currentTime + after;
      tone.frequency.value = 880;
      volume.gain.setValueAtTime(0.0001, at);
      volume.gain.exponentialRampToValueAtTime(0.3, at + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.2);
      tone.connect(volume).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.22);
    });
  };
  document.addEventListener("pointerdown", () => audio?.resume());
  document.addEventListener("keydown", () => audio?.resume());

  // --- The screen
  document.querySelector("[data-wall-full]").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()));
  document.querySelector("[data-wall-choose]")?.addEventListener("change", event => { location.href = event.target.value; });
  let moving = null;
  document.addEventListener("pointermove", () => {
    body.classList.add("is-moving");
    clearTimeout(moving);
    moving = setTimeout(() => body.classList.remove("is-moving"), 3_000);
  });
  const stayAwake = () => navigator.wakeLock?.request("screen").catch(() => {});
  stayAwake();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) stayAwake(); });
  addEventListener("resize", () => { if (board && current) { build(); tick(); } });

  const told = moment => new Date(moment).toLocaleTimeString(board?.language ?? []);
  const groupsOf = figures => figures.skill_groups.map(group => `${group.id}:${group.name}`).join();
  const byLink = "wallByLink" in body.dataset;
  const feed = portalFeed({
    url: body.dataset.wallUrl,
    headers: byLink ? { Authorization: `Display ${location.hash.slice(1)}` } : {},
    show: (figures, answer) => {
      const before = current;
      current = figures;
      offset = new Date(figures.at) - Date.now();
      if (answer?.board) {
        board = answer.board;
        build();
      } else if (figures.version !== board.version) {
        feed.ask();
      } else if (!before || groupsOf(before) !== groupsOf(figures)) {
        build();
      }
      portalLost(cut, figures.connections, board.words.cut, told);
      tick();
    },
    stale: moment => {
      body.classList.toggle("is-stale", Boolean(moment));
      stale.textContent = moment ? `${board?.words.stale ?? "Stale since"} ${told(moment)}` : "";
    },
    gone: answer => {
      current = null;
      main.hidden = cut.hidden = true;
      message.hidden = false;
      message.textContent = board?.words.gone ?? answer?.detail ?? "";
    },
  });
  addEventListener("hashchange", () => location.reload());
  setInterval(tick, 1_000);
  tick();
})();
