// What htmx does not do: times in the visitor's time zone, copying, ticking all boxes, and pages that say that left4me does not answer or
// that the session has ended. Without it pages still work. Sentences are in templates/page, as template elements.

// Times

// The server's clock counts: this computer's may be wrong.
const ahead = Date.now() - Date.parse(document.documentElement.dataset.now);

const dateAndTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
const timeOfDay = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// The same as page.Ago, so that no text changes when a page has loaded.
const units = [
  ["year", 365 * 86400], ["month", 30 * 86400], ["week", 7 * 86400], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1],
];
function ago(time) {
  let seconds = (Date.now() - ahead - time) / 1000;
  const future = seconds <= -60;
  if (future) seconds = -seconds;
  const [unit, length] = units.find(([, length]) => seconds >= length) ?? [];
  if (!unit) return "just now";
  const count = Math.floor(seconds / length);
  return `${count} ${unit}${count === 1 ? "" : "s"} ${future ? "from now" : "ago"}`;
}

const formats = { ago, exact: (time) => dateAndTime.format(time), clock: (time) => timeOfDay.format(time) };

function showTimes(elements) {
  for (const element of elements) {
    const time = Date.parse(element.dateTime);
    const text = formats[element.dataset.format](time);
    if (element.textContent !== text) element.textContent = text;
    element.title = dateAndTime.format(time);
  }
}

// Copying

async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch { // over plain http browsers have no clipboard
    getSelection().selectAllChildren(source);
    if (!document.execCommand("copy")) return; // it stays selected
  }
  button.firstChild.textContent = "Copied ";
}

addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-copy]");
  if (button) copy(button);
});

// Ticking all boxes of a form that have the name in data-ticks

addEventListener("change", ({ target }) => {
  const { ticks } = target.dataset;
  if (ticks) for (const box of target.form.querySelectorAll(`[name="${ticks}"]`)) box.checked = target.checked;
});

// Dragging an element with data-drag to the place of another one sends its first form with the number of that place as `to`

let dragged;
addEventListener("dragstart", ({ target }) => {
  dragged = target.closest?.("[data-drag]");
});
for (const move of ["dragover", "drop", "dragend"]) {
  addEventListener(move, (event) => {
    const over = dragged && event.target.closest?.("[data-drag]");
    for (const element of document.querySelectorAll(".over")) element.classList.remove("over");
    if (over?.parentNode !== dragged?.parentNode || !over) return;
    event.preventDefault();
    if (move === "dragover") over.classList.add("over");
    if (move !== "drop" || over === dragged) return;
    const form = dragged.querySelector("form");
    const to = Object.assign(document.createElement("input"), { type: "hidden", name: "to" });
    to.value = 1 + [...over.parentNode.children].indexOf(over);
    form.append(to);
    form.requestSubmit();
  });
}

// Whether left4me answers and the session lasts

const connection = document.getElementById("connection");
let state = connection.dataset.state; // "lost": left4me does not answer; "ended": the session has ended; "": neither
let pause = 60_000; // milliseconds until left4me is asked again
let timer = setTimeout(check, pause);
const held = new Set(); // elements whose requests start by themselves, and have failed or were held back

// ask returns the state, and gives the page fresh tokens after another state.
async function ask() {
  try {
    // As htmx's, because a notice in the cookies is for the next page.
    const answer = await fetch(connection.dataset.ask, { headers: { "HX-Request": "true" }, cache: "no-store", signal: AbortSignal.timeout(20_000) });
    if (answer.status === 401) return "ended";
    if (!answer.ok) return "lost";
    if (state !== "") renew(await answer.text());
    return "";
  } catch {
    return "lost";
  }
}

async function check() {
  clearTimeout(timer);
  if (state !== "" || !document.hidden) become(await ask());
  clearTimeout(timer);
  pause = state === "lost" ? Math.min(2 * pause, 60_000) : 60_000;
  timer = setTimeout(check, pause);
}

// renew makes the forms of this page those of the session that another page has.
function renew(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const token = page.querySelector("[name=csrf_token]")?.value;
  if (!token) return;
  for (const field of document.querySelectorAll("[name=csrf_token]")) field.value = token;
  const [here, there] = [document, page].map((of) => of.querySelector(".who bdi"));
  if (here) here.textContent = there.textContent;
}

function become(next) {
  if (next === state) return;
  const news = next || (state === "lost" ? "back" : "again");
  state = next;
  connection.replaceChildren(document.getElementById("news-" + news).content.cloneNode(true));
  if (state === "lost") {
    clearTimeout(timer);
    timer = setTimeout(check, (pause = 1_000));
  }
  if (state === "") {
    for (const element of held) if (element.isConnected) htmx.ajax("GET", element.getAttribute("hx-get"), { source: element }).catch(() => {}); // events tell
    held.clear();
    setTimeout(() => state || connection.replaceChildren(), 30_000);
  }
}

function hold({ elt, requestConfig }) {
  const itself = !requestConfig.triggeringEvent;
  if (itself) held.add(elt);
  return itself;
}

addEventListener("htmx:beforeRequest", (event) => {
  if (state !== "" && hold(event.detail)) event.preventDefault();
});
for (const failure of ["htmx:sendError", "htmx:timeout"]) {
  addEventListener(failure, ({ detail }) => {
    hold(detail);
    become("lost");
  });
}
addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { xhr } = detail;
  const explained = xhr.status < 400 || xhr.getResponseHeader("HX-Retarget") || xhr.responseText.includes('id="error"');
  if (xhr.status !== 401 && explained) {
    if (state !== "") check();
    return;
  }
  detail.shouldSwap = false;
  hold(detail);
  become(xhr.status === 401 ? "ended" : "lost");
});
addEventListener("offline", () => become("lost"));
addEventListener("online", check);
for (const returned of ["visibilitychange", "focus"]) {
  addEventListener(returned, () => {
    if (state !== "" && !document.hidden) check();
  });
}
connection.addEventListener("click", ({ target }) => {
  if (target.closest("button")) check();
});

// A form that a browser sends by itself would leave the page, and what was typed. It is sent once left4me has answered.
const answered = new WeakSet();
addEventListener("submit", async (event) => {
  const { target: form, submitter } = event;
  const typed = form.querySelector("textarea, input:not([type=hidden], [type=checkbox])");
  if (event.defaultPrevented || form.method !== "post" || answered.delete(form) || (state === "" && !typed)) return;
  event.preventDefault();
  await check();
  if (state !== "") return;
  answered.add(form);
  form.requestSubmit(submitter);
});

// A box that was sent by a script is emptied, not replaced: it keeps the size that somebody has given it.
addEventListener("htmx:afterRequest", ({ detail }) => {
  const box = detail.successful && detail.requestConfig.elt.querySelector("textarea");
  if (box) box.value = "";
});

// Start

// show prepares what is new on the page.
function show(root) {
  showTimes(root.querySelectorAll("time[data-format]"));
  for (const control of root.querySelectorAll("button[data-copy], label.all")) control.hidden = false;
  for (const element of root.querySelectorAll("[data-drag]")) element.draggable = true;
  root.querySelector("[data-focus]")?.focus();
}
show(document);
addEventListener("htmx:load", ({ detail }) => show(detail.elt));
setInterval(() => showTimes(document.querySelectorAll("time[data-format=ago]")), 10_000);
