// Choose a whole folder instead of files; say how much was chosen. The form works without this script.
"use strict";

(() => {
  const form = document.querySelector("form[data-upload]");
  const input = form?.querySelector("input[type=file]");
  if (!input) return;
  const chosen = form.querySelector("[data-chosen]");
  const button = form.querySelector("[data-folder]");
  const folderLabel = button.querySelector("span").textContent;
  const MOST = 5000;

  form.querySelector("[data-folder-row]").hidden = false;
  button.addEventListener("click", () => {
    input.webkitdirectory = !input.webkitdirectory;
    input.value = "";
    button.querySelector("span").textContent = input.webkitdirectory ? button.dataset.filesLabel : folderLabel;
    input.click();
  });

  input.addEventListener("change", () => {
    const files = [...input.files];
    const megabytes = files.reduce((sum, file) => sum + file.size, 0) / 2 ** 20;
    chosen.textContent = files.length > MOST ? chosen.dataset.tooMany
      : files.length ? `${files.length} ${chosen.dataset.text}, ${megabytes.toFixed(1)} MB` : "";
    form.querySelector("[type=submit]").disabled = files.length > MOST;
  });

  form.addEventListener("submit", () => {
    chosen.textContent = chosen.dataset.sending;
    setTimeout(() => { form.querySelector("[type=submit]").disabled = true; });
  });
})();
