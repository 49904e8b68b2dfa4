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
    document.querySelectorAll("[data-prints]").forEach(button => button.addEventListener("click", () => print()));
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
})();
