// Keeps an open page true: on each change the same page is fetched again and the parts marked data-live are exchanged.
// Without this script the page is the same, only still.
"use strict";
(() => {
  const pulse = document.getElementById("pulse");
  const { root } = document.documentElement.dataset;
  const typing = "input:not([type=checkbox]), select, textarea";
  const script = (of) => of.querySelector("script[src]")?.getAttribute("src");
  const units = JSON.parse(document.documentElement.dataset.words);
  let offset = Date.now() / 1000 - Number(document.documentElement.dataset.now);
  let busy = false, again = false, last = 0;

  function show(live) {
    pulse.classList.toggle("on", live);
    pulse.querySelector(".word").textContent = live ? pulse.dataset.liveWord : pulse.dataset.stillWord;
  }

  function exchange(fresh) {
    const focused = document.activeElement;
    // The server was upgraded: this script is not that page's. All of it is fetched anew, as soon as nobody is writing.
    if (script(fresh) !== script(document)) {
      if (!focused?.matches(typing) && !document.querySelector("form.busy")) location.reload();
      return;
    }
    const mark = focused && focused.getAttribute("href");
    const form = focused && focused.closest("form")?.getAttribute("action");
    for (const part of document.querySelectorAll("[data-live][id]")) {
      const other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML) continue;
      const held = part.contains(focused);
      // What a person is in the middle of stays: a part with a field that has the focus waits, ticks are put back.
      if (held && focused.matches(typing)) continue;
      const ticked = [...part.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.name);
      part.innerHTML = other.innerHTML;
      for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked ||= ticked.includes(box.name);
      if (held && mark) part.querySelector(`[href="${CSS.escape(mark)}"]`)?.focus({ preventScroll: true });
      if (held && form) part.querySelector(`form[action="${CSS.escape(form)}"] button`)?.focus({ preventScroll: true });
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

  // A form that takes dropped files, shows how much of them was sent, and can be called off; what the server has against
  // them is said in the form, which keeps what was typed. Without this script it is a plain form.
  function told(form, words, share) {
    const line = form.querySelector(".sent");
    line.hidden = false;
    if (share === null) line.querySelector("progress").removeAttribute("value");
    else line.querySelector("progress").value = share;
    line.querySelector("[role=status]").textContent = words;
  }

  function rest(form, words) {
    told(form, words, 0);
    form.classList.remove("busy");
    form.querySelector(".cancel").hidden = true;
  }

  function answered(form, request) {
    const answer = new DOMParser().parseFromString(request.responseText, "text/html");
    const said = answer.querySelector("main .message");
    if (said && request.status < 400) {
      document.querySelector("main").replaceChildren(said);
      document.title = answer.title;
      document.querySelector("main").focus();
      return;
    }
    rest(form, answer.querySelector("h1")?.textContent ?? form.dataset.lost);
    form.querySelector(".refused").replaceChildren(...(said?.querySelectorAll(".what, dl, .dim") ?? []));
  }

  function send(form) {
    const request = new XMLHttpRequest();
    const cancel = form.querySelector(".cancel");
    request.upload.addEventListener("progress", (seen) => {
      const mib = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;
      const words = form.dataset.sending.replace("{done}", mib(seen.loaded)).replace("{all}", mib(seen.total));
      told(form, words, seen.loaded / seen.total);
    });
    request.upload.addEventListener("load", () => { cancel.hidden = true; told(form, form.dataset.looking, null); });
    request.addEventListener("load", () => answered(form, request));
    request.addEventListener("error", () => rest(form, form.dataset.lost));
    request.addEventListener("abort", () => rest(form, form.dataset.cancelled));
    request.open("POST", form.action);
    form.querySelector(".refused").replaceChildren();
    form.classList.add("busy");
    cancel.hidden = false;
    cancel.onclick = () => request.abort();
    told(form, form.dataset.sending.replace("{done}", "0.0 MiB").replace("{all}", "…"), 0);
    request.send(new FormData(form));
  }

  for (const form of document.querySelectorAll("form[data-drop]")) {
    form.querySelector(".dropped").hidden = false;
    form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
    form.addEventListener("dragleave", () => form.classList.remove("over"));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      form.classList.remove("over");
      for (const file of event.dataTransfer.files) {
        const given = new DataTransfer();
        given.items.add(file);
        form.elements[/\.(env|suit|cose)$/i.test(file.name) ? "envelope" : "image"].files = given.files;
      }
      form.elements.version.focus();
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); if (!form.classList.contains("busy")) send(form); });
  }

  const stream = new EventSource(root + "live");
  stream.addEventListener("open", () => show(true));
  stream.addEventListener("error", () => show(false));
  stream.addEventListener("change", refresh);
  setInterval(tick, 1000);
})();
