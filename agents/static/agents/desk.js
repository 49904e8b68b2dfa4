// The desk's page: shows the state the portal tells of, keeps its clocks, and sends what the agent chooses.
// All words come from the portal, in the agent's language.
(() => {
  const $ = (name, root = document) => root.querySelector(`[data-${name}]`);
  const all = (name, root = document) => [...root.querySelectorAll(`[data-${name}]`)];

  const ready = () => {
    const frame = $("desk");
    const { state: first, urls, words } = JSON.parse(document.getElementById("desk-config").textContent);
    const agent = String(first.agent);
    const channel = "BroadcastChannel" in window ? new BroadcastChannel(`desk-${agent}`) : null;
    const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    const token = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1]
      ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";

    // --- The state, and the clocks that go on between two answers ----------------------------------------------------
    let state = null, askedAt = 0;
    const serverNow = () => state.at + (performance.now() - askedAt);
    const clock = milliseconds => {
      const seconds = Math.max(0, Math.floor(milliseconds / 1000)), two = n => String(n).padStart(2, "0");
      const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
      return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
    };
    const write = (name, text) => all(name).forEach(element => { if (element.textContent !== text) element.textContent = text; });
    const show = (name, isThere) => all(name).forEach(element => { element.hidden = !isThere; });
    const mark = (element, isCurrent) => isCurrent ? element.setAttribute("aria-current", "true") : element.removeAttribute("aria-current");
    const paint = (element, status) => {
      element.className = element.className.replace(/\bdesk-(available|busy|break|wrap_up|offline)\b/, `desk-${status}`);
    };

    const take = (next, isOwn = false) => {
      if (String(next.agent) !== agent) return trouble("somebody-else");
      if (state && next.at < state.at) return; // an answer that was overtaken by a later one
      const before = state;
      state = next;
      askedAt = performance.now();
      calm();
      draw();
      if (!before) return;
      const changed = ["status", "reason", "since"].some(name => before[name] !== next[name]);
      if (changed || Boolean(before.forced) !== Boolean(next.forced)) {
        // What has a notice of its own is read out from there.
        write("said", next.forced || next.silent ? ""
          : fill(words.now, { status: [next.label, next.reason].filter(Boolean).join(", ") }) + (next.note ? ` ${next.note}` : ""));
        if (!isOwn) complain("");
        loadRecords();
      }
    };

    const draw = () => {
      const { forced, silent } = state;
      all("now").concat(all("chip")).forEach(element => paint(element, state.status));
      write("label", state.label);
      write("chip-label", state.label);
      write("reason", state.reason);
      write("since", state.since_text);
      write("note", state.note);
      show("wrap-up", state.status === "wrap_up");
      show("more-time", state.wrap_up_until !== null);
      show("forced", forced);
      show("silent", silent);
      show("choices", !forced);
      if (forced) ["title", "text", "whom"].forEach(name => write(`forced-${name}`, forced[name]));
      if (silent) {
        ["title", "text"].forEach(name => write(`silent-${name}`, silent[name]));
        write("silent-back", silent.back_text);
        all("silent-back").forEach(button => { button.value = silent.back; });
        all("silent-reason").forEach(input => { input.value = silent.back_reason; });
      }
      all("status").forEach(button => mark(button, button.dataset.status === state.status));
      all("breaks").forEach(form => mark(form, state.status === "break"));
      all("break-reason").forEach(button => mark(button, state.status === "break" && button.dataset.breakReason === state.reason && state.reason));
      show("after", state.can_plan_break);
      all("after-switch").forEach(button => {
        button.setAttribute("aria-checked", String(state.break_planned));
        button.value = state.break_planned ? "0" : "1";
      });
      all("after-reason").forEach(select => {
        if (state.break_planned && [...select.options].some(option => option.value === state.break_reason)) select.value = state.break_reason;
      });
      document.title = document.title.replace(/^(☎ )?(● [^|]*\| )?/, (_, rings = "") => rings + ($("now") ? `● ${state.label} | ` : ""));
      tick();
    };

    let saidWrapUp = "", overSince = 0;
    const tick = () => {
      write("timer", clock(serverNow() - state.since));
      if (state.status !== "wrap_up") return;
      const left = state.wrap_up_until === null ? null : state.wrap_up_until - serverNow();
      const text = left === null ? words.ends_open : fill(words.ends_in, { time: clock(Math.ceil(left / 1000) * 1000) });
      if (text !== saidWrapUp) write("wrap-up-text", saidWrapUp = text);
      all("wrap-up-bar").forEach(bar => {
        bar.parentElement.hidden = left === null;
        bar.style.transform = `scaleX(${left === null ? 0 : Math.min(1, Math.max(0, left / Math.max(1, state.wrap_up_until - state.since)))})`;
      });
      if (left !== null && left < 0 && overSince !== state.wrap_up_until) {
        overSince = state.wrap_up_until;
        again(false);
      }
    };

    // --- What is wrong -----------------------------------------------------------------------------------------------
    const banner = $("banner");
    let troubled = "", retryIn = 0;
    const trouble = (kind, seconds = 0) => {
      const key = kind.replace("-", "_");
      troubled = kind;
      retryIn = seconds;
      banner.hidden = false;
      banner.dataset.kind = kind;
      write("banner-title", words[key]);
      write("banner-text", fill(words[`${key}_text`], { seconds }));
      $("banner-icon").textContent = kind === "lost" ? "cloud_off" : "lock";
      $("banner-retry").hidden = kind !== "lost";
      $("banner-sign-in").hidden = kind !== "signed-out";
      $("banner-reload").hidden = kind !== "somebody-else";
      frame.classList.add("is-troubled");
    };
    const calm = () => {
      if (!troubled) return;
      if (troubled === "lost") write("said", words.back);
      troubled = "";
      banner.hidden = true;
      frame.classList.remove("is-troubled");
    };
    const countDown = () => {
      if (troubled !== "lost" || retryIn <= 0) return;
      retryIn -= 1;
      write("banner-text", retryIn ? fill(words.lost_text, { seconds: retryIn }) : words.trying);
    };
    const complain = text => {
      write("error", text);
      show("error", Boolean(text));
    };

    // --- Heartbeat and what changed elsewhere ------------------------------------------------------------------------
    const worker = new Worker(frame.dataset.worker);
    // What concerns calls goes on to the pop-up. Of several tabs, one leads: what is to happen once, happens there.
    const tell = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
    let recordsLater = null;
    const heard = (message, isLead = false) => {
      if (message.kind === "state") take(message.state);
      else if (message.kind === "ask") tell("desk-ask", { isLead });
      else if (message.kind === "live") frame.classList.toggle("is-live", message.live);
      else if (message.kind === "written") tell("desk-written", message);
      else if (message.kind === "call") {
        tell("desk-call", { call: message.call, isLead });
        clearTimeout(recordsLater);
        recordsLater = setTimeout(loadRecords, 700);
      }
      else if (message.kind === "lost") trouble("lost", message.seconds);
      else if (message.kind !== "token") trouble(message.kind);
    };
    worker.onmessage = ({ data }) => {
      if (data.kind === "token") return worker.postMessage({ token: token() });
      heard(data, true);
      channel?.postMessage(data);
    };
    document.addEventListener("desk-tell", ({ detail }) => channel?.postMessage(detail));
    worker.postMessage({ kind: "start", urls, agent, token: token() });
    const again = beat => {
      const message = { kind: "now", beat, token: token() };
      worker.postMessage(message);
      channel?.postMessage(message);
    };
    if (channel) channel.onmessage = ({ data }) => data.kind === "now" ? worker.postMessage(data) : heard(data);
    addEventListener("online", () => again(true));
    addEventListener("pageshow", event => { if (event.persisted) again(true); });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) again(false); });
    $("banner-retry").addEventListener("click", () => { write("banner-text", words.trying); again(true); });
    $("banner-reload").addEventListener("click", () => location.reload());

    // --- What the agent chooses --------------------------------------------------------------------------------------
    const send = async (name, body) => {
      complain("");
      frame.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(urls[name], {
          method: "POST", body, credentials: "same-origin", signal: AbortSignal.timeout(10_000),
          headers: { Accept: "application/json", "X-CSRFToken": token() },
        });
        const said = (answer.headers.get("Content-Type") || "").startsWith("application/json") ? await answer.json() : null;
        if (answer.status === 401) return trouble("signed-out");
        if (answer.status === 409) return trouble("somebody-else");
        if (!said) throw new Error(answer.status);
        const next = answer.ok ? said : said.state;
        if (next) {
          take(next, true);
          channel?.postMessage({ kind: "state", state: next });
        }
        if (!answer.ok) complain(said.detail);
      } catch {
        complain(words.not_saved);
        draw();
      } finally {
        frame.removeAttribute("aria-busy");
      }
    };
    document.addEventListener("submit", event => {
      const form = event.target, name = event.submitter?.dataset.to || form.dataset.send;
      if (!name || !urls[name]) return;
      event.preventDefault();
      const body = new URLSearchParams(new FormData(form));
      if (event.submitter?.name) body.set(event.submitter.name, event.submitter.value);
      send(name, body);
    });
    all("after-reason").forEach(select => select.addEventListener("change", () => {
      if (state.break_planned) send("break-after-call", new URLSearchParams({ agent, on: "1", reason: select.value }));
    }));

    // --- Own calls ---------------------------------------------------------------------------------------------------
    const records = $("records");
    let isLoading = false;
    async function loadRecords() {
      if (!records || isLoading || document.hidden) return;
      isLoading = true;
      try {
        const answer = await fetch(records.dataset.records, { credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(10_000) });
        if (!answer.ok) throw new Error(answer.status);
        const html = await answer.text();
        if (html !== records.shown) {
          const place = records.querySelector("[tabindex]"), [top, hadFocus] = [place?.scrollTop ?? 0, place === document.activeElement];
          records.innerHTML = records.shown = html;
          const now = records.querySelector("[tabindex]");
          if (now) { now.scrollTop = top; if (hadFocus) now.focus(); }
        }
        show("records-error", false);
      } catch {
        write("records-error", words.records_failed);
        show("records-error", !troubled);
      }
      isLoading = false;
    }
    setInterval(loadRecords, 30_000);
    document.addEventListener("visibilitychange", loadRecords);

    // --- Menu and keys -----------------------------------------------------------------------------------------------
    const menu = document.querySelector(".desk-menu"), keys = $("keys"), keysOn = $("keys-on");
    document.addEventListener("click", event => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
    document.addEventListener("keydown", event => {
      if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); }
    });
    const openKeys = () => { menu.open = false; if (!keys.open) keys.showModal(); };
    show("keys-open", true);
    $("keys-open").addEventListener("click", openKeys);
    try { keysOn.checked = localStorage.getItem("deskKeys") !== "off"; } catch { /* a browser that stores nothing */ }
    const useKeys = () => frame.classList.toggle("has-keys", keysOn.checked);
    useKeys();
    keysOn.addEventListener("change", () => {
      useKeys();
      try { localStorage.setItem("deskKeys", keysOn.checked ? "on" : "off"); } catch { /* as above */ }
    });
    const isTyping = element => element.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
    const isSeen = element => element.getClientRects().length > 0;
    document.addEventListener("keydown", event => {
      if (event.defaultPrevented || event.isComposing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      if (event.key === "?") { event.preventDefault(); return openKeys(); }
      if (!keysOn.checked) return;
      const key = event.key.toLowerCase();
      if (key === "d") { location.href = urls["device-check"]; return; }
      const target = key === "3"
        ? document.querySelector("[data-breaks] .desk-reasons button, [data-breaks] input:not([type=hidden])")
        : document.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (!target || !isSeen(target)) return;
      event.preventDefault();
      key === "3" ? target.focus() : target.click();
    });
    document.querySelector(".desk-reasons")?.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const buttons = [...event.currentTarget.querySelectorAll("button")];
      buttons.at((buttons.indexOf(document.activeElement) + step) % buttons.length).focus();
    });

    take(first);
    loadRecords();
    setInterval(tick, 200); // often, so that no second is left out
    setInterval(countDown, 1_000);
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
})();
