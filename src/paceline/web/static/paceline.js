"use strict";
// What the pages cannot do without a script: streams that rest while nobody looks, charts, keys.

// ---- Streams: one per tab, none while it is hidden.
const streams = new Set();

function openStream(url) {
  const source = new EventSource(url);
  if (document.hidden) source.close();
  else streams.add(source);
  return source;
}

function restOrGoOn() {
  if (document.hidden) {
    for (const source of streams) source.close();
    streams.clear();
    return;
  }
  for (const place of document.querySelectorAll("[data-live]")) {
    htmx.ajax("GET", place.dataset.live, { target: place, swap: "innerHTML" });
  }
}

// ---- Charts: drawn from the table beside them, which is what a screen reader reads.
const charts = new Map();

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(name).trim();
}

function readTable(figure) {
  const rows = [...figure.querySelectorAll("tbody tr")];
  const [time, ...names] = [...figure.querySelectorAll("thead th")].map((cell) => cell.textContent);
  const times = rows.map((row) => Number(row.dataset.at));
  const values = names.map((_, at) =>
    rows.map((row) => Number(row.querySelectorAll("td")[at].dataset.value)));
  return { time, names, data: [times, ...values] };
}

// uPlot itself would write times in English, and in the zone of whoever looks instead of the tenant's.
const HEIGHT = 176;

function clock(withSeconds) {
  const { lang, dataset } = document.documentElement;
  const seconds = withSeconds ? { second: "2-digit" } : {};
  return new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", ...seconds, hourCycle: "h23", timeZone: dataset.zone });
}

function drawCharts(root) {
  for (const [place, chart] of charts) {
    if (!place.isConnected) { chart.destroy(); charts.delete(place); }
  }
  for (const figure of root.querySelectorAll("[data-chart]")) {
    const place = figure.querySelector(".plot");
    if (charts.has(place)) continue;
    const { time, names, data } = readTable(figure);
    const colour = colours();
    const strokes = [colour("--accent"), colour("--warn"), colour("--bad"), colour("--quiet")];
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const options = {
      width: Math.max(place.clientWidth, 200),
      height: HEIGHT,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), document.documentElement.dataset.zone),
      cursor: { y: false },
      axes: [{ ...axis, values: (_, ticks, _axis, _space, step) => ticks.map((at) => clock(step < 60).format(at * 1000)) }, { ...axis, size: 60 }],
      scales: { y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.1] } },
      series: [{ label: time, value: (_, at) => (at == null ? "--" : clock(true).format(at * 1000)) },
        ...names.map((label, at) => ({ label, stroke: strokes[at % strokes.length], width: 2, fill: at === 0 ? `${strokes[0]}22` : undefined, points: { show: false } }))],
    };
    charts.set(place, new uPlot(options, data, place));
  }
}

function fitCharts() {
  for (const [place, chart] of charts) {
    chart.setSize({ width: Math.max(place.clientWidth, 200), height: HEIGHT });
  }
}

// ---- Keys: / searches, g and a letter goes somewhere, ? tells them.
let going = -Infinity;

function isWriting(target) {
  return target instanceof HTMLElement && target.matches("input, select, textarea, [contenteditable]");
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
  const since = event.timeStamp - going;
  going = -Infinity;
  if (event.key === "/") {
    const field = document.querySelector("[role=search] input, [role=search] select");
    if (field) { event.preventDefault(); field.focus(); }
  } else if (event.key === "?") {
    const dialog = document.getElementById("keys");
    if (dialog) dialog.showModal();
  } else if (event.key === "g") {
    going = event.timeStamp;
  } else if (since < 1500) {
    const link = document.querySelector(`.side a[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
  }
}

// ---- Forms that go by themselves when something else is chosen.
function onChange(event) {
  if (event.target instanceof HTMLElement && event.target.hasAttribute("data-submit")) {
    event.target.form.requestSubmit();
  }
}

// ---- Fields that say which radio button they belong to, before anybody reads the form.
function onPick(event) {
  const radio = event.target instanceof HTMLElement && document.getElementById(event.target.dataset.picks);
  if (radio && event.target.value) radio.checked = true;
}

// ---- What was reviewed is not what stands in the form any more, once that is changed.
function onInput(event) {
  if (!(event.target instanceof Element && event.target.closest("#draft"))) return;
  for (const each of document.querySelectorAll("[data-until-changed]")) each.hidden = true;
  for (const each of document.querySelectorAll("[data-once-changed]")) each.hidden = false;
}

// ---- Buttons that copy a field, or write into one: a merge tag, or the plain alternative of a text.
async function copy(button) {
  const field = document.getElementById(button.dataset.copy);
  field.select();
  // Without HTTPS a browser has no clipboard for us; then what is selected can be copied by hand.
  if (!navigator.clipboard) return;
  await navigator.clipboard.writeText(field.value);
  button.textContent = button.dataset.copied;
}

function onClick(event) {
  const copier = event.target instanceof Element && event.target.closest("[data-copy]");
  if (copier) copy(copier);
  const button = event.target instanceof Element && event.target.closest("[data-into]");
  if (!button) return;
  const field = document.getElementById(button.dataset.into);
  if (button.dataset.insert !== undefined) {
    field.setRangeText(button.dataset.insert, field.selectionStart, field.selectionEnd, "end");
  } else {
    field.value = button.dataset.text;
  }
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

document.addEventListener("click", onClick);
// Before htmx looks at the page, which it does when all of it is there.
if (window.htmx) htmx.createEventSource = openStream;
document.addEventListener("DOMContentLoaded", () => {
  drawCharts(document);
  // On a narrow screen not all of the navigation is to be seen.
  const nav = document.querySelector(".side ul"), here = nav?.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft - nav.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
});
document.addEventListener("visibilitychange", restOrGoOn);
document.addEventListener("keydown", onKey);
document.addEventListener("change", onPick, true);
document.addEventListener("change", onChange);
document.addEventListener("input", onInput);
// What asks every few seconds rests, too, while nobody looks, and while the focus is on something in it
// that could not be given it back. Tables that were opened stay open.
let opened = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt, focus = document.activeElement;
  if (!(part.getAttribute("hx-trigger") || "").startsWith("every")) return;
  if (document.hidden || (part !== focus && part.contains(focus) && !focus.id)) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  opened = [...event.detail.target.querySelectorAll("details[open][id]")].map((each) => each.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of opened.splice(0)) document.getElementById(id)?.setAttribute("open", "");
});
document.addEventListener("htmx:load", (event) => drawCharts(event.detail.elt));
window.addEventListener("resize", fitCharts);
