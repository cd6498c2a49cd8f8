// Keeps an open page true: on each change the same page is fetched again and the parts marked data-live are exchanged.
// Without this script the page is the same, only still.
"use strict";
(() => {
  const pulse = document.getElementById("pulse");
  const root = document.querySelector('link[rel="stylesheet"]').getAttribute("href").replace(/static\/console\.css.*$/, "");
  const units = JSON.parse(document.documentElement.dataset.words);
  let offset = Date.now() / 1000 - Number(document.documentElement.dataset.now);
  let busy = false, again = false, last = 0;

  function show(live) {
    pulse.classList.toggle("on", live);
    pulse.querySelector(".word").textContent = live ? pulse.dataset.liveWord : pulse.dataset.stillWord;
  }

  function exchange(fresh) {
    const focused = document.activeElement;
    const mark = focused && focused.getAttribute("href");
    for (const part of document.querySelectorAll("[data-live][id]")) {
      const other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML) continue;
      const held = part.contains(focused);
      part.innerHTML = other.innerHTML;
      if (held && mark) part.querySelector(`[href="${CSS.escape(mark)}"]`)?.focus({ preventScroll: true });
    }
    offset = Date.now() / 1000 - Number(fresh.documentElement.dataset.now);
    tick();
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    await new Promise((go) => setTimeout(go, Math.max(0, last + 1000 - Date.now())));
    try {
      const answer = await fetch(location.href.split("#")[0], { headers: { Accept: "text/html" } });
      if (answer.ok) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { show(false); }
    last = Date.now();
    busy = false;
    if (again) { again = false; refresh(); }
  }

  function tick() {
    const now = Date.now() / 1000 - offset;
    for (const time of document.querySelectorAll("time[data-at]")) {
      const past = Math.round(now - Number(time.dataset.at));
      const [which, size] = past < 100 ? [0, 1] : past < 5700 ? [1, 60] : past < 172800 ? [2, 3600] : [3, 86400];
      if (past >= 2) time.textContent = units[4].replace("{span}", units[which].replace("{n}", Math.round(past / size)));
    }
  }

  const stream = new EventSource(root + "live");
  stream.addEventListener("open", () => show(true));
  stream.addEventListener("error", () => show(false));
  stream.addEventListener("change", refresh);
  setInterval(tick, 1000);
})();
