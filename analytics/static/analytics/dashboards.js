// Shows that a dashboard is being worked out anew, from the click until the next page is there.
(() => {
  const ready = () => {
    const board = document.querySelector(".figures");
    if (!board) return;
    const load = () => {
      board.classList.add("is-loading");
      board.setAttribute("aria-busy", "true");
    };
    board.addEventListener("click", event => {
      const link = event.target.closest("a[href]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      const to = new URL(link.href);
      if (to.pathname === location.pathname && to.search !== location.search) load();
    });
    board.addEventListener("submit", event => { if (event.target.method === "get") load(); });
    addEventListener("pageshow", () => { board.classList.remove("is-loading"); board.removeAttribute("aria-busy"); });
    document.querySelectorAll("[data-loads]").forEach(async part => {
      try {
        const answer = await fetch(part.dataset.loads, { headers: { Accept: "text/html" } });
        if (!answer.ok) throw new Error(answer.status);
        part.innerHTML = await answer.text();
        if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
      } catch {
        part.replaceChildren(Object.assign(document.createElement("p"), { className: "figures-error", role: "alert", textContent: part.dataset.failedText }));
      }
      part.removeAttribute("aria-busy");
    });
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
})();
