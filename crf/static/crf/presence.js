// Two people on one record see each other, whoever of them types or only reads.
"use strict";

(() => {
  const form = document.getElementById("record");
  if (!form?.dataset.presenceUrl) return;
  const EVERY = 15000;

  const said = (more) => new URLSearchParams({ csrfmiddlewaretoken: window.csrfToken(), ...more });

  async function present() {
    if (document.hidden) return;
    const isTyping = form.dataset.kept === "no" || "unsaved" in form.dataset;
    const revision = form.elements.compared?.value ?? form.elements.revision.value;
    try {
      const body = said({ typing: isTyping ? "yes" : "no", revision });
      const answer = await fetch(form.dataset.presenceUrl, { method: "POST", body });
      if (!answer.ok || answer.redirected) return;
      const place = document.getElementById("presence"), html = await answer.text();
      if (place.innerHTML.trim() !== html.trim()) place.innerHTML = html;
    } catch { /* no line: the next time */ }
  }

  window.addEventListener("pagehide", () => navigator.sendBeacon?.(form.dataset.presenceUrl, said({ leaving: "yes" })));
  present();
  setInterval(present, EVERY);
})();
