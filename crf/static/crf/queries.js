// Lists with ticks: tick all of a page; show the fields that an act needs.
"use strict";

(() => {
  const acts = () => {
    for (const field of document.querySelectorAll("[data-only-for]")) {
      const chosen = field.closest("form").querySelector("[name=act]");
      field.hidden = chosen.value !== field.dataset.onlyFor;
    }
  };

  document.addEventListener("change", (event) => {
    const all = event.target.dataset?.tickAll;
    if (all) for (const box of event.target.form.querySelectorAll(`input[name="${all}"]`)) box.checked = event.target.checked;
    if (event.target.name === "act") acts();
  });
  document.addEventListener("DOMContentLoaded", acts);
  document.addEventListener("htmx:afterSwap", acts);
})();
