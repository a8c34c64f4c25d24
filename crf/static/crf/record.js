// Entry of a record. The server evaluates; this only shows its answer beside the items, without touching what is typed.
"use strict";

(() => {
  const form = document.getElementById("record");
  if (!form) return;
  form.removeAttribute("enctype"); // files are sent by themselves, as they are chosen
  let unsaved = document.getElementById("save-state")?.classList.contains("is-unsaved") ?? false;

  const STOPS = '[name^="value-"], [name^="file-"], .item-comment input, .missing-reason'; // those that are shown

  const itemOf = (element) => element.closest("[data-item]");
  const answers = (item) => [...item.querySelectorAll('[name^="value-"]')];
  const missing = (item) => [...item.querySelectorAll('input[type=radio][name^="missing-"]')];

  function showState(state) {
    const hidden = new Set((state.dataset.hidden || "").split(" "));
    const found = new Map([...state.querySelectorAll("template[data-item]")].map((one) => [one.dataset.item, one]));
    for (const item of form.querySelectorAll(".item[data-item]")) {
      item.hidden = hidden.has(item.dataset.item);
      showFindings(item, found.get(item.dataset.item));
    }
    for (const section of form.querySelectorAll(".section")) {
      section.hidden = ![...section.querySelectorAll(".item")].some((item) => !item.hidden);
    }
    for (const derived of state.querySelectorAll("template[data-derived]")) {
      const place = document.getElementById(`value-${derived.dataset.derived}`)?.querySelector("[data-derived-value]");
      if (place) place.textContent = derived.content.textContent.trim() || "—";
    }
    const toDo = document.getElementById("to-do");
    if (toDo) toDo.textContent = state.querySelector("template[data-missing-count]")?.content.textContent ?? "";
  }

  function showFindings(item, finding) {
    const place = item.querySelector(".item-findings");
    if (!place) return;
    const text = finding ? finding.innerHTML.trim() : "";
    if (place.innerHTML.trim() !== text) place.innerHTML = text;
    for (const answer of answers(item)) answer.toggleAttribute("aria-invalid", false);
    if (finding?.dataset.hard === "yes") answers(item).forEach((answer) => answer.setAttribute("aria-invalid", "true"));
    const comment = item.querySelector(".item-comment");
    if (comment) comment.hidden = finding?.dataset.soft !== "yes" && !comment.querySelector("input").value;
  }

  function showMissing(item) {
    const chosen = missing(item).some((radio) => radio.checked);
    item.classList.toggle("is-missing", chosen);
    const reason = item.querySelector(".missing-reason");
    if (reason) reason.hidden = !chosen;
  }

  function markUnsaved() {
    unsaved = true;
    const state = document.getElementById("save-state");
    state.textContent = state.dataset.unsaved;
    state.classList.add("is-unsaved");
  }

  // Typing a value takes back "not done"; choosing "not done" again takes it back too.
  form.addEventListener("input", (event) => {
    markUnsaved();
    const item = itemOf(event.target);
    if (item && event.target.name.startsWith("value-")) {
      for (const radio of missing(item)) radio.checked = false;
      showMissing(item);
      const asked = form.querySelector(`[data-conflict="${item.dataset.item}"] [value=mine]`);
      if (asked) asked.checked = true; // what is typed now is mine
    }
  });

  let wasChecked = null;
  const remember = (event) => {
    const radio = event.target.closest(".missing-option")?.querySelector("input");
    wasChecked = radio?.checked ? radio : null;
  };
  form.addEventListener("pointerdown", remember);
  form.addEventListener("keydown", (event) => {
    if (event.key === " ") remember(event);
    if (event.key === "Enter" && !event.isComposing) goOn(event); // while Chinese is composed, Enter takes the letters
  });

  form.addEventListener("click", (event) => {
    const radio = event.target.matches('input[name^="missing-"]') ? event.target : null;
    if (radio && radio === wasChecked) {
      radio.checked = false;
      wasChecked = null;
      radio.dispatchEvent(new Event("change", { bubbles: true }));
    }
    if (radio) showMissing(itemOf(radio));
    const clear = event.target.closest("[data-clear]");
    if (clear) clearChoice(clear);
    const pick = event.target.closest("[data-pick]");
    if (pick) pickDate(pick);
  });

  function clearChoice(button) {
    const group = form.querySelectorAll(`[name="${button.dataset.clear}"]`);
    for (const radio of group) radio.checked = false;
    group[0].focus();
    form.dispatchEvent(new Event("change", { bubbles: true }));
    markUnsaved();
  }

  function pickDate(button) {
    const picker = button.parentElement.querySelector("[data-picker]");
    const field = document.getElementById(button.dataset.pick);
    // What the browser cannot take, such as a partial date, leaves its picker empty.
    picker.value = field.value.trim().replace(" ", "T");
    picker.onchange = () => {
      field.value = picker.value.replace("T", " ");
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
    };
    picker.showPicker();
  }

  // `data-values` is {mine | theirs: {field name: [values]}}; the form shows the answer that is chosen.
  function showChoice(radio) {
    const row = radio.closest("[data-conflict]");
    for (const [name, values] of Object.entries(JSON.parse(row.dataset.values)[radio.value])) {
      for (const field of form.querySelectorAll(`[name="${name}"]`)) {
        if (field.type === "radio" || field.type === "checkbox") field.checked = values.includes(field.value);
        else field.value = values[0] ?? "";
      }
    }
    const item = document.getElementById(`item-${row.dataset.conflict}`);
    if (item) showMissing(item);
  }
  form.addEventListener("change", (event) => {
    if (event.target.name?.startsWith("choice-")) showChoice(event.target);
  });

  // Enter goes to the next answer, as on every data entry keypad; Ctrl+Enter saves.
  function goOn(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      form.requestSubmit(form.querySelector('button[value="save"]'));
      return;
    }
    if (!event.target.matches("input, select")) return;
    event.preventDefault();
    const order = [...form.querySelectorAll(`${STOPS}, #reason-code, .save-bar button`)].filter(
      (field) => field.offsetParent !== null && field.name !== event.target.name && (field.type !== "radio" || isEntry(field)),
    );
    const next = order.find((field) => event.target.compareDocumentPosition(field) & Node.DOCUMENT_POSITION_FOLLOWING);
    next?.focus();
    if (next?.select) next.select();
  }

  function isEntry(radio) {
    const group = [...form.querySelectorAll(`[name="${radio.name}"]`)];
    return radio === (group.find((one) => one.checked) || group[0]);
  }

  form.addEventListener("submit", (event) => {
    unsaved = false;
    event.submitter?.setAttribute("aria-busy", "true");
  });
  window.addEventListener("beforeunload", (event) => {
    if (unsaved && form.dataset.kept === "no") event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "record-state") showState(document.getElementById("record-state"));
  });

  const showClears = () => {
    for (const button of form.querySelectorAll("[data-clear]")) {
      button.hidden = !form.querySelector(`[name="${button.dataset.clear}"]:checked`);
    }
  };
  form.addEventListener("change", showClears);
  showClears();
  for (const button of form.querySelectorAll("[data-pick]")) button.hidden = false;
  for (const item of form.querySelectorAll(".item")) showMissing(item);
  showState(document.getElementById("record-state"));
})();
