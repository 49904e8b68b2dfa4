// Lists whose rows are put in order by hand, and boxes that show at once what a form would do.
(() => {
  // --- Sorting: a handle moves its row among the rows of its group, by pointer or by arrow keys.
  const itemOf = (handle) => handle.closest("[data-sort-item], tbody, li");

  const handlesOf = (handle) => {
    const list = handle.closest("[data-sort-list-items], table");
    return [...list.querySelectorAll("[data-sort-handle]")].filter(
      (other) => other.dataset.sortGroup === handle.dataset.sortGroup,
    );
  };

  let waiting = null;
  const save = (handle) => {
    const list = handle.closest("[data-sort-address]");
    if (!list) {
      handle.dispatchEvent(new Event("input", { bubbles: true }));
      return;
    }
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const ids = [...list.querySelectorAll("[data-sort-handle]")].map((other) => Number(other.dataset.sortId));
      const body = new URLSearchParams({
        ids: JSON.stringify(ids),
        csrfmiddlewaretoken: document.querySelector("[name=csrfmiddlewaretoken]").value,
      });
      const said = list.querySelector(".sort-said");
      let isSaved = false;
      try {
        isSaved = (await fetch(list.dataset.sortAddress, { method: "POST", body })).ok;
      } catch {
        // said below
      }
      said.textContent = isSaved ? list.dataset.sortSaved : list.dataset.sortFailed;
      said.classList.toggle("is-bad", !isSaved);
    }, 250);
  };

  const move = (handle, steps) => {
    const handles = handlesOf(handle);
    const place = handles.indexOf(handle);
    const target = handles[place + steps];
    if (!target) return false;
    const item = itemOf(handle);
    const other = itemOf(target);
    if (steps > 0) other.after(item);
    else other.before(item);
    return true;
  };

  document.addEventListener("keydown", (event) => {
    const handle = event.target.closest?.("[data-sort-handle]");
    const steps = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!handle || !steps) return;
    event.preventDefault();
    if (move(handle, steps)) {
      handle.focus();
      save(handle);
    }
  });

  document.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest("[data-sort-handle]");
    if (!handle || event.button > 0) return;
    event.preventDefault();
    handle.focus();
    const item = itemOf(handle);
    item.classList.add("is-dragged");
    let hasMoved = false;
    const follow = (moved) => {
      for (let guard = 0; guard < 500; guard += 1) {
        const handles = handlesOf(handle);
        const place = handles.indexOf(handle);
        const above = handles[place - 1] && itemOf(handles[place - 1]).getBoundingClientRect();
        const below = handles[place + 1] && itemOf(handles[place + 1]).getBoundingClientRect();
        if (above && moved.clientY < above.top + above.height / 2) move(handle, -1);
        else if (below && moved.clientY > below.top + below.height / 2) move(handle, 1);
        else return;
        hasMoved = true;
      }
    };
    const stop = () => {
      document.removeEventListener("pointermove", follow);
      document.removeEventListener("pointerup", stop);
      document.removeEventListener("pointercancel", stop);
      item.classList.remove("is-dragged");
      if (hasMoved) save(handle);
    };
    document.addEventListener("pointermove", follow);
    document.addEventListener("pointerup", stop);
    document.addEventListener("pointercancel", stop);
  });

  // --- Boxes filled by the server with what the form around them says, while somebody types.
  const timers = new WeakMap();
  const numbers = new WeakMap();

  const show = async (box) => {
    const form = box.closest("form");
    const number = (numbers.get(box) || 0) + 1;
    numbers.set(box, number);
    const body = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (typeof value === "string") body.append(name, value);
    try {
      const answer = await fetch(box.dataset.live, { method: "POST", body });
      const text = await answer.text();
      if (answer.ok && numbers.get(box) === number) box.innerHTML = text;
    } catch {
      // The page stays as it is; saving checks again.
    }
  };

  const later = (box, delay) => {
    clearTimeout(timers.get(box));
    timers.set(box, setTimeout(() => show(box), delay));
  };

  const boxesOf = (form) => (form ? [...form.querySelectorAll("[data-live]")] : []);
  const changed = (event) => {
    for (const box of boxesOf(event.target.closest?.("form"))) if (box.dataset.liveOn !== "submit") later(box, 250);
  };
  document.addEventListener("input", changed);
  document.addEventListener("change", changed);
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-live-form]");
    if (!form) return;
    event.preventDefault();
    for (const box of boxesOf(form)) show(box);
  });

  // --- Fields that only some choice needs.
  const fit = () => {
    for (const field of document.querySelectorAll("[data-only-for]")) {
      const [name, ...values] = field.dataset.onlyFor.split(" ");
      const choice = document.querySelector(`[name="${name}"]`);
      const row = field.closest(".form-row, .field-row") || field.parentElement;
      if (choice) row.hidden = !values.includes(choice.value);
    }
  };
  document.addEventListener("change", fit);

  const start = () => {
    fit();
    for (const box of document.querySelectorAll("[data-live]")) if (box.dataset.liveOn !== "submit") show(box);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();

  // A placeholder is put where the cursor is.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert]");
    if (!button) return;
    const field = document.querySelector(button.dataset.into);
    field.setRangeText(button.dataset.insert, field.selectionStart, field.selectionEnd, "end");
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
})();
