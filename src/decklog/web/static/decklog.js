// decklog's own script: everything works without it. It shows local times, lets one brush a histogram, follows the log.
// Text of the log is set as text, never as markup.
"use strict";

for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;

// Local time on hover
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest && event.target.closest("time[datetime]");
  if (time && !time.title) {
    const when = new Date(time.dateTime);
    if (!Number.isNaN(when.valueOf())) time.title = local.format(when) + " (local)";
  }
});

// Forms: fields that are left empty do not go into the address
for (const form of document.querySelectorAll("form[method=get]")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
  window.addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
}

// Copying
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// Brushing: drag over bars to ask for their time; with the keyboard, arrows move, Shift+arrows stretch, Enter asks
for (const figure of document.querySelectorAll(".histogram")) {
  const bars = Array.from(figure.querySelectorAll("svg a"));
  const svg = figure.querySelector("svg");
  if (!bars.length) continue;
  let from = -1, to = -1, brushing = false, moved = false, at = 0;
  bars[0].setAttribute("tabindex", "0");

  const show = () => {
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    bars.forEach((bar, place) => bar.classList.toggle("brushed", from >= 0 && place >= low && place <= high));
  };
  const clear = () => { from = to = -1; brushing = false; show(); };
  const ask = () => {
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    const url = new URL(figure.dataset.base, location.href);
    url.searchParams.set("after", bars[low].dataset.start);
    url.searchParams.set("until", bars[high].dataset.end);
    location.assign(url);
  };
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.max(0, Math.min(bars.length - 1, Math.floor((event.clientX - box.left) / box.width * bars.length)));
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey) return;
    brushing = true; moved = false; from = to = place(event); show();
  });
  window.addEventListener("pointermove", (event) => {
    if (!brushing) return;
    const now = place(event);
    if (now !== to) { moved = true; to = now; show(); }
  });
  window.addEventListener("pointerup", () => {
    if (!brushing) return;
    brushing = false;
    if (moved) ask();
  });
  window.addEventListener("pointercancel", clear);
  svg.addEventListener("dragstart", (event) => event.preventDefault());
  svg.addEventListener("click", (event) => { if (moved) event.preventDefault(); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") { clear(); return; }
    if (event.key === "Enter" && from >= 0 && from !== to) { event.preventDefault(); ask(); return; }
    if (!step) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(bars.length - 1, at + step));
    if (event.shiftKey) { if (from < 0) from = at; to = next; } else { from = to = -1; }
    bars[at].setAttribute("tabindex", "-1");
    at = next;
    bars[at].setAttribute("tabindex", "0");
    bars[at].focus();
    show();
  });
  window.addEventListener("pageshow", clear);
}

// Following: new rows on top of the table, as they come
for (const button of document.querySelectorAll("[data-live]")) {
  const body = document.querySelector("#requests tbody");
  if (!window.EventSource || !body || !button.dataset.live) continue;
  const MOST_ROWS = 500;
  let source = null;
  button.hidden = false;

  const put = (cells) => {
    const row = document.createElement("tr");
    row.className = "fresh";
    for (const cell of cells) {
      const td = document.createElement("td");
      td.className = cell.kind;
      if (cell.hint) td.title = cell.hint;
      let inner = document.createElement(cell.time ? "time" : "span");
      if (cell.time) inner.dateTime = cell.time;
      inner.textContent = cell.text;
      if (cell.href && cell.href.startsWith("/")) {
        const link = document.createElement("a");
        link.setAttribute("href", cell.href);
        link.append(inner);
        inner = link;
      }
      td.append(inner);
      row.append(td);
    }
    body.prepend(row);
    while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
  };
  const stop = (words) => {
    if (source) source.close();
    source = null;
    button.setAttribute("aria-pressed", "false");
    button.textContent = words || "Follow";
  };
  button.addEventListener("click", () => {
    if (source) { stop(); return; }
    source = new EventSource(button.dataset.live);
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Following …";
    source.addEventListener("open", () => { if (source) button.textContent = "Following"; });
    source.addEventListener("request", (event) => put(JSON.parse(event.data)));
    source.addEventListener("over", (event) => stop(JSON.parse(event.data)));
    source.addEventListener("error", () => { if (source && source.readyState === EventSource.CLOSED) stop("Follow again"); });
  });
  window.addEventListener("pagehide", () => stop());
}

// A file goes into a text field, and is sent from there
for (const chooser of document.querySelectorAll("input[type=file][data-into]")) {
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (file) document.getElementById(chooser.dataset.into).value = await file.text();
  });
}
