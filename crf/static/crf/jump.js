// "/" goes to the search field of the page, as in most programs; Escape gives the focus back.
"use strict";

(() => {
  const field = document.getElementById("jump");
  if (!field) return;
  let before = null;
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, textarea, select, [contenteditable]")) {
      event.preventDefault();
      before = document.activeElement;
      field.focus();
      field.select();
    } else if (event.key === "Escape" && event.target === field) {
      before?.focus();
    }
  });
})();
