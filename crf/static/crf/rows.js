// Rows of groups, files, laboratory results and the pages of a long form. Without script the form has a blank row at
// the end of each group, a box to remove a row, and a button for each page.
"use strict";

(() => {
  const form = document.getElementById("record");
  if (!form) return;
  const changed = () => form.dispatchEvent(new Event("change", { bubbles: true }));

  // ----- rows

  function addRow(group) {
    const number = Number(group.dataset.next);
    const name = group.dataset.group;
    const fresh = document.createElement("template");
    fresh.innerHTML = group.querySelector("[data-row-pattern]").innerHTML.replaceAll(`${name}[0]`, `${name}[${number}]`);
    const row = fresh.content.firstElementChild;
    row.dataset.row = number;
    for (const field of row.querySelectorAll(`[name="row-${name}"], [name="remove-${name}"]`)) field.value = number;
    const title = row.querySelector("[data-row-name]");
    title.textContent = title.textContent.replace("0", number);
    for (const button of row.querySelectorAll("[data-pick]")) button.hidden = false;
    group.querySelector("[data-rows]").append(row);
    group.dataset.next = number + 1;
    showFull(group);
    changed();
    row.querySelector('.item:not([hidden]) :is(input:not([type="hidden"]), select, textarea)')?.focus();
  }

  function showFull(group) {
    const rows = group.querySelectorAll("[data-row]:not(.is-removed)").length;
    const isFull = rows >= Number(group.dataset.most);
    group.querySelector("[data-add-row]").hidden = isFull || form.querySelector(".entry-fields").disabled;
    group.querySelector("[data-rows-full]").hidden = !isFull;
  }

  form.addEventListener("click", (event) => {
    const add = event.target.closest("[data-add-row]");
    if (add) addRow(add.closest("[data-group]"));
  });

  form.addEventListener("input", (event) => {
    const row = event.target.closest(".row-answers");
    if (!row || !/^(value|missing)-/.test(event.target.name)) return;
    row.classList.remove("is-blank");
    row.querySelector("[data-blank-mark]")?.remove();
  });

  form.addEventListener("change", (event) => {
    if (event.target.name?.startsWith("remove-")) {
      event.target.closest("[data-row]").classList.toggle("is-removed", event.target.checked);
      showFull(event.target.closest("[data-group]"));
    }
    if (event.target.type === "file") sendFile(event.target);
    if (event.target.name?.startsWith("clear-")) event.target.closest("[data-file-held]").classList.toggle("is-removed", event.target.checked);
  });

  for (const group of form.querySelectorAll("[data-group]")) showFull(group);

  // ----- files: sent as they are chosen; the form then carries what the server answered

  async function sendFile(field) {
    const answer = field.closest("[data-file-answer]");
    const problem = answer.querySelector("[data-file-problem]");
    const item = field.name.slice("file-".length);
    problem.hidden = true;
    if (!field.files.length) return;
    const body = new FormData();
    body.append("file", field.files[0]);
    field.setAttribute("aria-busy", "true");
    let told = {};
    try {
      const headers = { "X-CSRFToken": window.csrfToken() };
      const url = form.dataset.fileUrl.replace("ITEM", item.replace(/^.*\./, ""));
      told = await (await fetch(url, { method: "POST", headers, body })).json();
    } catch {
      told = { problem: field.dataset.notSent };
    }
    field.removeAttribute("aria-busy");
    field.value = "";
    if (told.problem) {
      problem.textContent = told.problem;
      problem.hidden = false;
      return;
    }
    const value = document.getElementById(`value-${item}`);
    value.value = told.value;
    const held = answer.querySelector("[data-file-held]");
    held.hidden = false;
    held.classList.remove("is-removed");
    held.querySelector("[name^='clear-']").checked = false;
    const link = held.querySelector("[data-file-name]");
    link.textContent = told.name;
    link.href = told.url;
    value.dispatchEvent(new Event("input", { bubbles: true }));
    changed();
  }

  // ----- what the server found

  function showFound() {
    const state = document.getElementById("record-state");
    const results = new Map([...state.querySelectorAll("template[data-result]")].map((one) => [one.dataset.result, one]));
    for (const place of form.querySelectorAll("[data-lab-result]")) {
      const result = results.get(place.closest("[data-item]").dataset.item);
      place.className = `lab-result${result ? ` is-${result.dataset.tone}` : ""}`;
      const text = result ? result.content.textContent : "";
      if (place.textContent !== text) place.textContent = text;
    }
    const hidden = new Set((state.dataset.hidden || "").split(" "));
    const found = new Map([...state.querySelectorAll("template[data-item]")].map((one) => [one.dataset.item, one]));
    for (const group of form.querySelectorAll("[data-group]")) {
      group.closest(".section").hidden = hidden.has(group.dataset.group);
      group.querySelector("[data-group-findings]").innerHTML = found.get(group.dataset.group)?.innerHTML ?? "";
    }
  }
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "record-state") showFound();
  });
  showFound();

  // ----- pages: the way to an item of another page saves this one first

  form.addEventListener("click", (event) => {
    const number = event.target.closest('a[href^="?section="]')?.getAttribute("href").match(/section=(\d+)/)?.[1];
    const button = number && form.querySelector(`button[data-section="${number}"]`);
    if (!button) return;
    event.preventDefault();
    form.requestSubmit(button);
  });
})();
