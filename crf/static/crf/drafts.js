// Nothing typed is lost: the unsaved form is kept on the server two seconds after typing stops; while the server can't be
// reached, or the session has ended, on this computer, sealed with the author's own key.
"use strict";

(() => {
  const form = document.getElementById("record");
  if (!form?.dataset.draftUrl) return;
  const KEEP_AFTER = 2000, MIRROR_AFTER = 300, RETRY_AFTER = 5000, ANSWER_WITHIN = 12000, MIRROR_DAYS = 30;
  const PREFIX = "lobule-draft:";
  const name = PREFIX + form.dataset.mirror;
  const state = document.getElementById("save-state");
  let dirty = false, version = 0, passing = false, waiting = false, keepTimer = 0, mirrorTimer = 0, retryTimer = 0, last = null;

  // ----- what is sent

  function fields() {
    const sent = new URLSearchParams();
    for (const [field, value] of new FormData(form)) {
      if (typeof value === "string" && field !== "csrfmiddlewaretoken") sent.append(field, value);
    }
    return sent;
  }

  // "kept", "offline" (a line that hangs is none), "signed-out" (also where somebody else signed in: 409) or "refused".
  async function send(url, body, options = {}) {
    try {
      const signal = AbortSignal.timeout(ANSWER_WITHIN);
      const answer = await fetch(url, { method: "POST", headers: { "X-CSRFToken": window.csrfToken() }, body, signal, ...options });
      if (answer.redirected || answer.status === 409 || answer.url.includes("/sign-in/")) return "signed-out";
      if (answer.ok && url === form.dataset.draftUrl) form.elements["draft-kept"].value = (await answer.json()).kept;
      return answer.ok ? "kept" : answer.status >= 500 ? "offline" : "refused";
    } catch {
      return "offline";
    }
  }

  // ----- keeping

  // One after the other, so that what was typed earlier never arrives last.
  let keeping = Promise.resolve();
  function keep(options) {
    const next = () => keepNow(options);
    return (keeping = keeping.then(next, next));
  }

  async function keepNow(options) {
    clearTimeout(keepTimer);
    clearTimeout(retryTimer);
    const sent = version;
    const outcome = await send(form.dataset.draftUrl, fields(), options);
    if (outcome === "kept") {
      if (sent === version) {
        dirty = false;
        last = fields().toString();
        forget();
      }
    } else {
      await mirror();
      if (outcome !== "refused") retryTimer = setTimeout(keep, RETRY_AFTER);
    }
    tell(outcome);
    return outcome;
  }

  function tell(outcome) {
    form.dataset.kept = dirty ? "no" : "yes";
    const text = { kept: state.dataset.kept, offline: state.dataset.offline, "signed-out": state.dataset.signedOut }[outcome];
    state.textContent = text ?? state.dataset.unsaved;
    state.classList.add("is-unsaved");
    if (outcome === "signed-out") {
      const link = document.createElement("a");
      link.href = state.dataset.signInUrl;
      link.target = "_blank";
      link.textContent = state.dataset.signIn;
      state.append(" ", link);
    }
  }

  function changed(event) {
    // A field that is left tells once more of what was kept already.
    if (event.type === "change" && !dirty && fields().toString() === last) return;
    dirty = true;
    version += 1;
    form.dataset.kept = "no";
    clearTimeout(keepTimer);
    keepTimer = setTimeout(keep, KEEP_AFTER);
    clearTimeout(mirrorTimer);
    mirrorTimer = setTimeout(mirror, MIRROR_AFTER);
  }
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  window.addEventListener("online", () => { if (dirty) keep(); });
  window.addEventListener("focus", () => { if (dirty && retryTimer) keep(); });
  document.addEventListener("visibilitychange", () => { if (document.hidden && dirty && !passing) keep({ keepalive: true }); });
  window.addEventListener("pagehide", () => {
    if (dirty && !passing) send(form.dataset.draftUrl, fields(), { keepalive: true });
  });

  // A save that can't arrive would leave the page behind: first the draft, then the save.
  form.addEventListener("submit", async (event) => {
    if (passing || !dirty) {
      passing = true;
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if (waiting) return; // a second click
    waiting = true;
    const outcome = await keep();
    waiting = false;
    if (outcome === "kept" || outcome === "refused") {
      passing = true;
      form.requestSubmit(event.submitter);
    } else {
      document.getElementById("announcements").textContent = state.textContent;
      state.scrollIntoView({ block: "nearest" });
    }
  }, { capture: true });
  window.addEventListener("pageshow", (event) => { if (event.persisted) passing = false; });

  document.getElementById("discard-draft")?.addEventListener("submit", () => {
    passing = true;
    dirty = false;
    clearTimeout(keepTimer);
    clearTimeout(retryTimer);
    forget();
  });

  // ----- this computer

  const subtle = window.crypto?.subtle;
  const store = subtle ? window.localStorage : window.sessionStorage;
  const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  const key = () => subtle.importKey("raw", bytes(form.dataset.mirrorKey), "AES-GCM", false, ["encrypt", "decrypt"]);

  async function mirror() {
    if (!dirty) return;
    const sent = version, plain = fields().toString();
    const sealed = subtle ? await seal(plain) : plain;
    if (dirty && sent === version) {
      try { store.setItem(name, JSON.stringify({ at: Date.now(), sealed })); } catch { /* full: the server's copy remains */ }
    }
  }

  async function seal(plain) {
    const nonce = crypto.getRandomValues(new Uint8Array(12));
    const sealed = await subtle.encrypt({ name: "AES-GCM", iv: nonce }, await key(), new TextEncoder().encode(plain));
    const whole = new Uint8Array([...nonce, ...new Uint8Array(sealed)]);
    let binary = "";
    for (const byte of whole) binary += String.fromCharCode(byte);
    return btoa(binary);
  }

  async function open(sealed) {
    if (!subtle) return sealed;
    const whole = Uint8Array.from(atob(sealed), (character) => character.charCodeAt(0));
    const plain = await subtle.decrypt({ name: "AES-GCM", iv: whole.slice(0, 12) }, await key(), whole.slice(12));
    return new TextDecoder().decode(plain);
  }

  function forget() {
    clearTimeout(mirrorTimer);
    store.removeItem(name);
  }

  // What was typed here while the server could not be reached goes to it now, and the page shows it.
  async function bringBack() {
    for (const one of Object.keys(store).filter((candidate) => candidate.startsWith(PREFIX))) {
      const { at } = JSON.parse(store.getItem(one));
      if (Date.now() - at > MIRROR_DAYS * 86400e3) store.removeItem(one);
    }
    const place = Object.keys(store).find((candidate) => candidate === name || candidate.startsWith(`${name}@`));
    if (!place) return;
    const { at, sealed } = JSON.parse(store.getItem(place));
    if (Date.parse(form.elements["draft-kept"].value) > at) {
      // Typed elsewhere since then: that comes first, and this when that is saved.
      store.setItem(`${name}@${at}`, store.getItem(place));
      if (place === name) store.removeItem(name);
      return;
    }
    let plain;
    try {
      plain = await open(sealed);
    } catch {
      return; // sealed with a key that is no more
    }
    if ((await send(form.dataset.draftUrl, new URLSearchParams(plain))) !== "kept") return;
    clearTimeout(mirrorTimer);
    store.removeItem(place);
    passing = true;
    window.location.reload();
  }

  document.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-compare]")) return;
    event.preventDefault();
    if (!dirty || (await keep()) === "kept") {
      passing = true;
      window.location.reload();
    }
  });

  bringBack();
})();
