// Deletion and access requests: follows how far one is, and shows the fields that belong to what it is about.
"use strict";

const progress = document.querySelector("[data-request-progress]");
if (progress) {
  const follow = async () => {
    try {
      const answer = await fetch(progress.dataset.requestProgress, { headers: { Accept: "application/json" } });
      if (answer.ok && (answer.headers.get("Content-Type") || "").startsWith("application/json")) {
        const now = await answer.json();
        if (now.state !== progress.dataset.requestState) {
          window.location.reload();
          return;
        }
        for (const [store, step] of Object.entries(now.steps || {})) {
          const row = progress.querySelector(`[data-step="${CSS.escape(store)}"]`);
          for (const cell of row ? row.querySelectorAll("[data-cell]") : []) {
            const value = step[cell.dataset.cell];
            cell.textContent = value === null ? "–" : String(value);
          }
        }
      } else if (answer.status === 404 || answer.redirected) {
        window.location.reload();
        return;
      }
    } catch {
      // The portal is away for a moment: the next question finds out.
    }
    window.setTimeout(follow, 2000);
  };
  window.setTimeout(follow, 1000);
}

const form = document.querySelector("[data-request-form]");
if (form) {
  const belongs = {
    number: ["number"], keeps_block: ["number"], agent: ["agent"], call_id: ["call"], first_day: ["days"], last_day: ["days"],
  };
  const kind = form.querySelector("[name=kind]");
  const show = () => {
    for (const field of form.querySelectorAll("[data-field]")) {
      const kinds = belongs[field.dataset.field];
      field.hidden = Boolean(kinds) && !kinds.includes(kind.value);
    }
  };
  kind.addEventListener("change", show);
  show();
}
