// The pop-up of a call: fetched when the portal says that one rings or has changed, and kept on the desk until something is
// written about it. What the portal draws is put in part by part, so that nobody loses what they are writing or looking for.
(() => {
  const ready = () => {
    const place = document.querySelector("[data-calls]");
    const { state, words } = JSON.parse(document.getElementById("desk-config").textContent);
    if (!place) return;
    const frame = document.querySelector("[data-desk]"), said = document.querySelector("[data-said]");
    const agent = state.agent, listAddress = place.dataset.calls, panelAddress = id => listAddress.replace(/calls\/$/, `call/${id}/`);
    const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    const token = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1]
      ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
    const clock = milliseconds => {
      const seconds = Math.max(0, Math.floor(milliseconds / 1000)), two = n => String(n).padStart(2, "0");
      const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
      return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
    };
    const get = (address, accept) => fetch(address, {
      headers: { Accept: accept }, cache: "no-store", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(10_000),
    });
    const panels = () => [...place.querySelectorAll("[data-call]")];
    const panelOf = id => place.querySelector(`[data-call="${CSS.escape(id)}"]`);

    // --- What this browser keeps: drafts, what was put away, what was opened; for half a day, and for this person alone ---
    const KEPT = 12 * 3600_000, name = kind => `desk:${agent}:${kind}`;
    const read = kind => { try { return JSON.parse(localStorage.getItem(name(kind))) ?? {}; } catch { return {}; } };
    const write = (kind, value) => { try { localStorage.setItem(name(kind), JSON.stringify(value)); } catch { /* a browser that stores nothing */ } };
    const keep = (kind, id, value) => {
      const all = Object.fromEntries(Object.entries(read(kind)).filter(([, one]) => Date.now() - one.at < KEPT));
      if (value === undefined) delete all[id];
      else all[id] = { ...value, at: Date.now() };
      write(kind, all);
    };
    const forget = isMine => {
      try {
        Object.keys(localStorage).filter(key => key.startsWith("desk:") && key.startsWith(`desk:${agent}:`) === isMine && key.endsWith(":drafts"))
          .forEach(key => localStorage.removeItem(key));
      } catch { /* as above */ }
    };
    forget(false); // what somebody else left in this browser
    document.addEventListener("submit", event => { if (/sign-out\/$/.test(event.target.action || "")) forget(true); });

    // --- Fetching --------------------------------------------------------------------------------------------------------
    const underWay = new Map(); // by call: whether it changed while it was fetched
    let isLead = false, isAsking = false;
    async function ask() {
      if (isAsking) return;
      isAsking = true;
      try {
        const answer = await get(listAddress, "application/json");
        if (!answer.ok) throw new Error(answer.status);
        const told = await answer.json();
        if (told.agent !== agent) throw new Error("agent");
        const away = read("away");
        const listed = told.calls.filter(one => !one.is_over || !away[one.id] || panelOf(one.id));
        listed.forEach(({ id, version }) => { if (panelOf(id)?.dataset.version !== version) load(id); });
        const ids = new Set(told.calls.map(({ id }) => String(id)));
        panels().filter(panel => !ids.has(panel.dataset.call) && panel.dataset.stage !== "missed").forEach(panel => {
          if (!isOver(panel)) load(panel.dataset.call); // it ended, or went to somebody else, without a word
          else if (!isBusyWith(panel)) remove(panel);
        });
      } catch { /* it is asked again, and the desk says when the portal is away */ }
      isAsking = false;
    }

    async function load(id) {
      id = String(id);
      if (underWay.has(id)) { underWay.set(id, true); return; }
      underWay.set(id, false);
      try {
        const answer = await get(panelAddress(id), "text/html");
        if (answer.status === 404 || answer.status === 403) { const panel = panelOf(id); if (panel) remove(panel); }
        else if (!answer.ok) throw new Error(answer.status);
        else take(await answer.text());
      } catch { setTimeout(() => load(id), 2_000 * (0.5 + Math.random())); }
      const isStale = underWay.get(id);
      underWay.delete(id);
      if (isStale) load(id);
    }

    // --- Putting in ------------------------------------------------------------------------------------------------------
    const isOver = panel => ["write_up", "missed"].includes(panel.dataset.stage);
    const form = panel => panel.querySelector("[data-remark]");
    const isBusyWith = panel => {
      const own = form(panel);
      return Boolean(own && (own.dataset.dirty || own.contains(document.activeElement) || own.dataset.sending));
    };
    const whoIn = panel => panel.querySelector("h2 bdi, h2")?.textContent.trim() ?? "";

    function take(html) {
      const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("[data-call]");
      if (!fresh) return;
      fresh.dataset.took = performance.now();
      const id = fresh.dataset.call, old = panelOf(id);
      const isNew = !old, changed = isNew || old.dataset.stage !== fresh.dataset.stage;
      if (isNew && (fresh.dataset.stage === "missed" || (isOver(fresh) && read("away")[id]))) return; // nothing to be done about it any more
      if (isNew) place.prepend(document.adoptNode(fresh));
      else if (old.dataset.version <= fresh.dataset.version) renew(old, fresh);
      const panel = panelOf(id);
      recall(panel);
      if (changed && panel.dataset.stage !== "write_up") say(fill(words.call_now, { stage: panel.querySelector("[data-stage-label]").textContent, who: whoIn(panel) }));
      if (panel.dataset.stage === "missed") setTimeout(() => { if (panel.dataset.stage === "missed") remove(panel); }, 10_000);
      openByItself(panel);
      sort();
      tick();
    }

    function renew(old, fresh) {
      for (const part of ["head", "known", "write", "replies"]) {
        const before = old.querySelector(`[data-part="${part}"]`), after = fresh.querySelector(`[data-part="${part}"]`);
        if (!after && before && part === "write") continue; // what was begun can be finished
        if (!after) { before?.remove(); continue; }
        if (!before) {
          const home = part === "write" || part === "replies" ? old.querySelector(".call-work") : old;
          part === "write" ? home.prepend(document.adoptNode(after)) : home.append(document.adoptNode(after));
        } else if (part === "write") renewForm(before, after);
        else if (part === "replies") { /* its search and place stay */ }
        else if (before.innerHTML !== after.innerHTML) {
          const focused = before.contains(document.activeElement) ? document.activeElement : null;
          const key = focused && ["data-page", "data-copy", "data-auto", "data-dismiss"].find(one => focused.hasAttribute(one));
          before.replaceWith(document.adoptNode(after));
          if (key) after.querySelector(`[${key}]`)?.focus();
        }
      }
      old.className = fresh.className;
      for (const one of ["version", "stage", "at", "took"]) old.dataset[one] = fresh.dataset[one];
    }

    // What the platform, or a colleague, writes meanwhile comes into a form that nobody has touched; into one that somebody
    // has, never: saving then tells of it.
    function renewForm(before, after) {
      if (before.dataset.dirty || before.dataset.sending || before.elements.began_with.value === after.elements.began_with.value) return;
      const had = document.activeElement === before.elements.text;
      before.replaceWith(document.adoptNode(after));
      if (had) after.elements.text.focus();
    }

    // The newest that rings first, then those that go on, then what is to be written.
    function sort() {
      const rank = panel => ({ ringing: 0, talking: 1, held: 1, missed: 2, write_up: 3 })[panel.dataset.stage];
      const wanted = panels().sort((one, other) => rank(one) - rank(other) || other.dataset.call - one.dataset.call);
      wanted.forEach((panel, index) => {
        const there = place.children[index];
        if (there !== panel && !place.contains(document.activeElement)) place.insertBefore(panel, there ?? null);
      });
      place.classList.toggle("has-calls", place.childElementCount > 0);
    }

    function remove(panel) {
      const next = panel.contains(document.activeElement);
      panel.remove();
      sort();
      tick();
      if (next) (place.querySelector("textarea, a, button") ?? document.getElementById("desk-content")).focus();
    }

    const say = text => { if (said) said.textContent = text; };

    // --- Clocks ----------------------------------------------------------------------------------------------------------
    function tick() {
      for (const panel of panels()) {
        const now = Number(panel.dataset.at) + performance.now() - Number(panel.dataset.took);
        panel.querySelectorAll("[data-since]").forEach(timer => {
          const text = clock(now - Number(timer.dataset.since));
          if (timer.textContent !== text) timer.textContent = text;
        });
      }
      const rings = panels().some(panel => panel.dataset.stage === "ringing");
      if (rings !== document.title.startsWith("☎ ")) document.title = rings ? `☎ ${document.title}` : document.title.slice(2);
    }
    setInterval(tick, 250);

    // --- The customer's page ---------------------------------------------------------------------------------------------
    const autoOn = () => Boolean(read("auto").page);
    function openByItself(panel) {
      const link = panel.querySelector("[data-page]"), id = panel.dataset.call;
      if (!link || !isLead || !autoOn() || isOver(panel) || read("opened")[id]) return;
      keep("opened", id, {});
      // Opened empty first: only so can be told that the browser blocked it. The page gets no hold of this one.
      const page = window.open("about:blank", "_blank");
      if (!page) return note(panel, words.page_blocked);
      page.opener = null;
      page.location.href = link.href;
      window.focus();
    }
    function note(panel, text) {
      const line = panel.querySelector(".call-note") ?? Object.assign(document.createElement("p"), { className: "call-note" });
      line.textContent = text;
      panel.querySelector("[data-part=head]").append(line);
      say(text);
    }

    // --- Copying ---------------------------------------------------------------------------------------------------------
    async function copy(text) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch { // no secure origin, or not allowed: the old way
        const area = Object.assign(document.createElement("textarea"), { value: text, className: "desk-unseen" });
        const had = document.activeElement;
        document.body.append(area);
        area.select();
        const isDone = document.execCommand("copy");
        area.remove();
        had?.focus();
        return isDone;
      }
    }
    document.addEventListener("click", async event => {
      const button = event.target.closest("[data-calls] [data-copy]");
      if (button) {
        const isDone = await copy(button.dataset.copy), what = button.querySelector("b")?.textContent ?? button.dataset.copy;
        say(isDone ? fill(words.copied, { what }) : words.not_copied);
        if (!isDone) return note(button.closest("[data-call]"), words.not_copied);
        button.classList.add("is-copied");
        const icon = button.querySelector(".material-symbols-outlined");
        icon.textContent = "check";
        setTimeout(() => { button.classList.remove("is-copied"); icon.textContent = "content_copy"; }, 2_000);
        return;
      }
      const away = event.target.closest("[data-calls] [data-dismiss]");
      if (away) {
        const panel = away.closest("[data-call]"), id = panel.dataset.call;
        keep("away", id, {});
        keep("drafts", id);
        tellOthers(id);
        remove(panel);
      }
    });
    const tellOthers = call => document.dispatchEvent(new CustomEvent("desk-tell", { detail: { kind: "written", call } }));
    document.addEventListener("desk-written", ({ detail }) => {
      const panel = panelOf(detail.call);
      if (!panel) return;
      const own = form(panel);
      if (own) { delete own.dataset.dirty; own.dataset.stale = "1"; }
      if (isOver(panel)) remove(panel);
    });
    place.addEventListener("change", event => {
      if (event.target.matches("[data-auto]")) {
        write("auto", event.target.checked ? { page: true } : {});
        panels().forEach(panel => keep("opened", panel.dataset.call, {})); // from the next call on
        place.querySelectorAll("[data-auto]").forEach(box => { box.checked = event.target.checked; });
      }
    });

    // --- Quick replies: searched, and walked through with the arrow keys ------------------------------------------------------
    place.addEventListener("input", event => {
      if (!event.target.matches("[data-replies-search]")) return;
      const part = event.target.closest("[data-part]"), sought = event.target.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
      const items = [...part.querySelectorAll("li")];
      items.forEach(item => { const text = item.textContent.toLocaleLowerCase(); item.hidden = !sought.every(word => text.includes(word)); });
      part.querySelector("[data-replies-none]").hidden = items.some(item => !item.hidden);
    });
    place.addEventListener("keydown", event => {
      const part = event.target.closest("[data-part=replies]");
      if (part) {
        const buttons = [...part.querySelectorAll("li:not([hidden]) button")], at = buttons.indexOf(document.activeElement);
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
          event.preventDefault();
          const next = event.key === "ArrowDown" ? at + 1 : at - 1;
          (next < 0 ? part.querySelector("[data-replies-search]") : buttons[Math.min(next, buttons.length - 1)])?.focus();
        } else if (event.key === "Enter" && event.target.matches("[data-replies-search]")) {
          event.preventDefault();
          buttons[0]?.click();
        } else if (event.key === "Escape" && event.target.value) {
          event.target.value = "";
          event.target.dispatchEvent(new Event("input", { bubbles: true }));
        }
      }
      const own = event.target.closest("[data-remark]");
      if (own && event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); own.requestSubmit(); }
    });
    document.addEventListener("keydown", event => {
      if (event.defaultPrevented || event.isComposing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
      if (!frame.classList.contains("has-keys") || document.querySelector("dialog[open]")) return;
      if (event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select")) return;
      const sought = { n: "[data-remark] textarea", q: "[data-replies-search]" }[event.key.toLowerCase()];
      const target = sought && place.querySelector(sought);
      if (!target) return;
      event.preventDefault();
      target.focus();
      target.scrollIntoView({ block: "nearest" });
    });

    // --- Writing ---------------------------------------------------------------------------------------------------------
    const chosen = own => new FormData(own).get("disposition") ?? "";
    const choose = (own, value) => {
      const field = own.elements.disposition;
      if (!field || !value) return;
      if (field instanceof HTMLSelectElement) field.value = value;
      else [...own.querySelectorAll("[name=disposition]")].forEach(radio => { radio.checked = radio.value === value; });
    };
    const mention = (own, text, isError = false) => {
      const error = own.querySelector("[data-remark-error]");
      error.hidden = !isError;
      error.textContent = isError ? text : "";
      own.querySelector("[data-remark-said]").textContent = isError ? "" : text;
    };
    function recall(panel) {
      panel.querySelectorAll("[data-auto]").forEach(box => { box.checked = autoOn(); });
      const own = form(panel);
      if (!own || own.dataset.ready) return;
      own.dataset.ready = "1";
      const draft = read("drafts")[panel.dataset.call];
      if (!draft) return;
      own.elements.text.value = draft.text;
      choose(own, draft.disposition);
      own.elements.began_with.value = draft.began_with;
      own.dataset.dirty = "1";
      mention(own, words.draft);
    }
    place.addEventListener("input", event => {
      const own = event.target.closest("[data-remark]");
      if (!own) return;
      own.dataset.dirty = "1";
      const id = own.closest("[data-call]").dataset.call;
      keep("drafts", id, { text: own.elements.text.value, disposition: chosen(own), began_with: own.elements.began_with.value });
      mention(own, words.draft);
    });
    place.addEventListener("submit", async event => {
      const own = event.target;
      if (!own.matches("[data-remark]")) return;
      event.preventDefault();
      if (own.dataset.sending) return;
      own.dataset.sending = "1";
      const panel = own.closest("[data-call]"), id = panel.dataset.call, sent = own.elements.text.value;
      mention(own, "");
      try {
        const answer = await fetch(own.getAttribute("action"), {
          method: "POST", body: new URLSearchParams(new FormData(own)), credentials: "same-origin", redirect: "error",
          headers: { Accept: "application/json", "X-CSRFToken": token() }, signal: AbortSignal.timeout(10_000),
        });
        const told = (answer.headers.get("Content-Type") || "").startsWith("application/json") ? await answer.json() : null;
        if (!told) throw new Error(answer.status);
        if (answer.status === 409) overtaken(own, told);
        else if (!answer.ok) mention(own, told.detail, true);
        else {
          keep("drafts", id);
          own.elements.began_with.value = told.began_with;
          own.elements.token.value = told.token;
          const typedOn = own.elements.text.value !== sent;
          if (!typedOn) delete own.dataset.dirty;
          before(own, told.only_adds ? told.text : "");
          if (told.only_adds && !typedOn) own.elements.text.value = "";
          mention(own, told.said);
          say(told.said);
          tellOthers(id);
          if (isOver(panel) && !typedOn) setTimeout(() => { if (isOver(panel) && !own.dataset.dirty) { keep("away", id, {}); remove(panel); } }, 1_500);
        }
      } catch { mention(own, words.not_written, true); }
      delete own.dataset.sending;
    });
    // What stands now is shown above one's own words; saving once more puts these in its place.
    function overtaken(own, told) {
      before(own, [told.text, told.disposition].filter(Boolean).join(" · "));
      own.elements.began_with.value = told.began_with;
      own.elements.token.value = told.token;
      mention(own, told.detail, true);
    }
    function before(own, text) {
      const line = own.querySelector("[data-before]");
      line.textContent = text;
      line.hidden = !text;
    }

    document.addEventListener("desk-call", ({ detail }) => {
      isLead = detail.isLead;
      load(detail.call);
    });
    document.addEventListener("desk-ask", ({ detail }) => {
      isLead = detail.isLead;
      panels().forEach(openByItself);
      ask();
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
    ask();
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
})();
