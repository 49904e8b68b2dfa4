// The page of an export: follows how far it is.
"use strict";

const progress = document.querySelector("[data-export-progress]");
if (progress) {
  const calls = progress.querySelector("[data-export-calls]");
  const reached = progress.querySelector("[data-export-reached]");
  const follow = async () => {
    try {
      const answer = await fetch(progress.dataset.exportProgress, { headers: { Accept: "application/json" } });
      if (answer.ok && (answer.headers.get("Content-Type") || "").startsWith("application/json")) {
        const now = await answer.json();
        if (now.state !== progress.dataset.exportState) {
          window.location.reload();
          return;
        }
        calls.textContent = now[progress.dataset.exportCounts || "calls"].toLocaleString(document.documentElement.lang);
        if (reached) {
          reached.hidden = !now.reached;
          reached.querySelector("b").textContent = now.reached;
        }
      } else if (answer.status === 404 || answer.redirected) {
        window.location.reload();
        return;
      }
    } catch {
      // The portal is away for a moment: the next question finds out.
    }
    window.setTimeout(follow, 1000);
  };
  window.setTimeout(follow, 500);
}
