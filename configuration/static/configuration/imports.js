// The pages of an import: choosing a file, and following its progress.
"use strict";

const form = document.querySelector("[data-import-form]");
if (form) {
  const field = form.querySelector("[data-import-file]");
  const said = form.querySelector("[data-import-name]");
  const drop = form.querySelector("[data-import-drop]");
  const hint = said.textContent;
  const isTooLarge = () => field.files.length > 0 && field.files[0].size > Number(field.dataset.importFile);
  const tell = () => {
    said.textContent = isTooLarge() ? said.dataset.tooLarge : field.files.length ? field.files[0].name : hint;
    said.classList.toggle("is-bad", isTooLarge());
  };
  field.addEventListener("change", tell);
  tell(); // a file may have been chosen before this ran, or kept by the browser
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("is-over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) {
        field.files = event.dataTransfer.files;
        tell();
      }
    });
  }
  form.addEventListener("submit", (event) => {
    if (isTooLarge()) {
      event.preventDefault();
      tell();
      return;
    }
    form.querySelector("[data-import-wait]").hidden = false;
    form.querySelector("button[type=submit]").disabled = true;
  });
  // A page brought back by the browser's history is to be used again.
  window.addEventListener("pageshow", () => {
    form.querySelector("[data-import-wait]").hidden = true;
    form.querySelector("button[type=submit]").disabled = false;
  });
}

const progress = document.querySelector("[data-import-progress]");
if (progress) {
  const bar = progress.querySelector("[role=progressbar]");
  const follow = async () => {
    try {
      const answer = await fetch(progress.dataset.importProgress, { headers: { Accept: "application/json" } });
      if (answer.ok && (answer.headers.get("Content-Type") || "").startsWith("application/json")) {
        const now = await answer.json();
        if (now.state !== progress.dataset.importState) {
          window.location.reload();
          return;
        }
        const percent = now.rows ? Math.floor((100 * now.done) / now.rows) : 0;
        bar.setAttribute("aria-valuenow", percent);
        bar.firstElementChild.style.width = `${percent}%`;
        progress.querySelector("[data-import-done]").textContent = now.done.toLocaleString(document.documentElement.lang);
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
