// What every page does beyond links and forms: open the side panel, move focus to errors, announce.
"use strict";

(() => {
  const panel = () => document.getElementById("panel");
  let opener = null;

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target?.id === "panel-body") opener = event.detail.elt;
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "panel-body" && !panel().open) panel().showModal();
  });

  // After signing in again in another tab the page's own token no longer counts; the cookie has the new one.
  window.csrfToken = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1]
    ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value;
  document.addEventListener("htmx:configRequest", (event) => {
    const { headers, formData } = event.detail;
    headers["X-CSRFToken"] = window.csrfToken() ?? headers["X-CSRFToken"];
    if (formData.has("csrfmiddlewaretoken")) formData.set("csrfmiddlewaretoken", headers["X-CSRFToken"]);
  });
  document.addEventListener("submit", (event) => {
    const field = event.target.querySelector("[name=csrfmiddlewaretoken]");
    if (field) field.value = window.csrfToken();
  }, { capture: true });

  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 403) announce(say("Your role does not allow this.", "您的角色无权执行此操作。"));
    else announce(say("The server could not answer. Nothing was changed; try again.", "服务器未能应答，数据没有改变，请重试。"));
  });

  // A session that ended answers with the sign-in page; a fragment must not be replaced by it.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.responseURL.includes("/sign-in/")) {
      event.detail.shouldSwap = false;
      announce(say(
        "Your session has ended. Sign in again in another tab; what you typed stays here.",
        "登录已过期。请在另一标签页重新登录，已填写的内容仍保留在此页。",
      ));
    }
  });

  document.addEventListener("htmx:sendError", () => {
    announce(say("The server can't be reached. What you typed stays here; try again.", "无法连接服务器。已填写的内容仍保留在此页，请重试。"));
  });

  function say(english, chinese) {
    return document.documentElement.lang === "en" ? english : chinese;
  }

  function announce(text) {
    const place = document.getElementById("announcements");
    place.textContent = text;
    place.classList.remove("visually-hidden");
    place.classList.add("announcement");
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector("[data-focus]")?.focus();
    panel()?.addEventListener("close", () => opener?.focus());
    panel()?.addEventListener("click", (event) => { if (event.target === panel()) panel().close(); });
  });

  // Filters apply as they are chosen; without script the button does it.
  document.addEventListener("change", (event) => {
    if (event.target.matches("form[data-apply] select")) event.target.form.requestSubmit();
  });
})();
