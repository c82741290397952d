// The page: asks for what is to be seen, and shows it. It changes nothing.
"use strict";

const EVERY = 3000;
const AGAIN = 250;
const STATUS = { 0: "Job created", 1: "started", 2: "complete", 3: "failed", 99: "exception" };

const at = (id) => document.getElementById(id);

let timer = null;
let turn = 0;

// Puts something new in a place; who was there with the keyboard stays there.
function show(id, ...children) {
  const place = at(id);
  const held = place.contains(document.activeElement) ? name(document.activeElement) : null;
  place.replaceChildren(...children.filter((child) => child));
  if (held) [...place.querySelectorAll("a, button")].find((one) => name(one) === held)?.focus({ preventScroll: true });
  function name(one) {
    return one.getAttribute("href") ?? one.id;
  }
}

// Whether somebody is about to copy something.
function selecting() {
  const selection = getSelection();
  return !selection.isCollapsed && at("content").contains(selection.anchorNode);
}

// The task that the address names; an empty one is the overview.
function chosen() {
  const [, name] = location.hash.match(/^#\/task\/(.+)$/) ?? [];
  try {
    return name ? decodeURIComponent(name) : "";
  } catch {
    return "";
  }
}

function link(id) {
  return element("a", { href: `#/task/${encodeURIComponent(id)}` }, id);
}

function address(id) {
  if (!id) return "now.json";
  const digits = [...new TextEncoder().encode(id)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `tasks/${digits.join("")}.json`;
}

// Asks, shows, and asks again after a while; not while nobody looks.
async function look() {
  clearTimeout(timer);
  const mine = ++turn;
  const id = chosen();
  let wait = EVERY;
  try {
    const answer = await fetch(address(id));
    const found = await answer.json();
    if (mine !== turn) return;
    if (answer.status === 202) wait = AGAIN;
    else if (found.error) news(`The store cannot be read: ${found.error}`, true);
    else if (selecting()) news("stands still while something is selected");
    else if (id) life(id, found);
    else overview(found);
  } catch (error) {
    if (mine === turn) news(`The worker does not answer: ${error.message}`, true);
  }
  if (mine === turn && !document.hidden) timer = setTimeout(look, wait);
}

function news(text, alarm) {
  at("news").textContent = text;
  at("news").className = alarm ? "alarm" : "";
}

function overview(now) {
  const time = Date.parse(now.at);
  const since = (moment) => span(Math.max(0, time - Date.parse(moment)));
  at("replica").textContent = `${now.replica}, ${now.version}`;
  news(`as of ${new Date(time).toLocaleTimeString()}`);
  tiles(now, since);
  const counts = {};
  for (const place of now.places) counts[place.state] = (counts[place.state] ?? 0) + place.count;
  show("diagram", diagram(now.states, now.ways, counts));
  show("places", table("By what they wait for", [
    { title: "State", of: (place) => place.state },
    { title: "Phase", of: (place) => place.phase },
    { title: "Tasks", class: "number", of: (place) => String(place.count) },
  ], now.places, "There is no task."));
  at("partial").hidden = now.hour.complete;
  show("chart", chart(now.hour.minutes, at("chart").clientWidth));
  show("legend", ...legend(now.hour.minutes));
  show("took", table("How long a phase took", [
    { title: "Phase", of: (took) => took.phase },
    { title: "Tasks", class: "number", of: (took) => String(took.count) },
    { title: "Median", class: "number", of: (took) => (took.count ? span(took.medianMs) : "–") },
    { title: "95 %", class: "number", of: (took) => (took.count ? span(took.p95Ms) : "–") },
    { title: "99 %", class: "number", of: (took) => (took.count ? span(took.p99Ms) : "–") },
  ], now.hour.took, ""));
  show("codes", table("Failures by code", [
    { title: "Code", of: (code) => code.code },
    { title: "Tasks", class: "number", of: (code) => String(code.count) },
  ], now.hour.codes, "No task has failed."));
  lists(now, since);
}

function tiles(now, since) {
  const queue = now.queue.error ? "?" : now.queue;
  const open = now.places.filter((place) => ["Received", "Created", "PodStarted"].includes(place.state));
  const tasks = open.reduce((sum, place) => sum + place.count, 0);
  const oldest = now.oldestCallbacks[0];
  const tile = (name, value, small, alarm) =>
    element("div", {}, element("dt", {}, name), element("dd", alarm ? { class: "alarm" } : {}, value, small ? element("small", {}, small) : null));
  show(
    "tiles",
    tile("In the queue", queue.waiting ?? "?", now.queue.error, Boolean(now.queue.error)),
    now.paused ? tile("Intake", "paused", `for ${since(now.paused.since)} by ${now.paused.by}${now.paused.reason ? `: ${now.paused.reason}` : ""}`, true) : null,
    tile("Without a verdict", tasks, `of at most ${now.tasksMax}`, tasks >= now.tasksMax),
    tile("Callbacks owed", now.callbacks, oldest ? `the oldest for ${since(oldest.owedAt)}` : "", oldest && time(oldest) > 900000),
    tile("Refused messages", queue.dead ?? "?", "kept as dead letters"),
    tile("Dead callbacks", now.deadCallbacks, "kept as dead letters"),
    tile("Leader", now.leader ? element("span", { class: "name" }, now.leader.pod) : "none yet", now.leader ? `epoch ${now.leader.epoch}` : "", !now.leader),
  );
  function time(callback) {
    return Date.parse(now.at) - Date.parse(callback.owedAt);
  }
}

function lists(now, since) {
  const open = now.places.filter((place) => ["Received", "Created", "PodStarted"].includes(place.state));
  const tasks = open.reduce((sum, place) => sum + place.count, 0);
  show("tasks", ...long("tasks", now.oldest.length < tasks ? `The ${now.oldest.length} oldest of ${tasks}` : "", [
    { title: "Id", class: "id", of: (task) => link(task.id) },
    { title: "State", of: (task) => task.state },
    { title: "Age", class: "number", of: (task) => since(task.receivedAt) },
    { title: "Service", of: (task) => task.service },
    { title: "Namespace", of: (task) => task.namespace },
    { title: "Waits for", class: "words", of: (task) => task.waitsFor },
  ], now.oldest, "None."));
  show("callbacks", ...long("callbacks", now.oldestCallbacks.length < now.callbacks ? `The ${now.oldestCallbacks.length} oldest of ${now.callbacks}` : "", [
    { title: "Task", class: "id", of: (callback) => (callback.task ? link(callback.task) : "a refused message") },
    { title: "Status", of: (callback) => `${callback.status} ${STATUS[callback.status] ?? ""}` },
    { title: "Owed for", class: "number", of: (callback) => since(callback.owedAt) },
    { title: "Failed", class: "number", of: (callback) => `${callback.attempts} of ${callback.attemptsMax}` },
    { title: "Next try", of: (callback) => next(callback, now.at) },
    { title: "Receiver", class: "words", of: (callback) => callback.url },
  ], now.oldestCallbacks, "None."));
  const letters = now.newestLetters;
  show("letters", ...long("letters", letters.length < (now.queue.dead ?? 0) ? `The ${letters.length} newest of ${now.queue.dead}` : "", [
    { title: "Id", class: "id", of: (letter) => letter.task ?? "cannot be read" },
    { title: "When", of: (letter) => new Date(letter.at).toLocaleString() },
    { title: "Reason", of: (letter) => letter.reason },
    { title: "Faults", class: "words", of: (letter) => letter.detail },
  ], letters, "None."));
  show("dead", ...long("dead", now.newestDeadCallbacks.length < now.deadCallbacks ? `The ${now.newestDeadCallbacks.length} newest of ${now.deadCallbacks}` : "", [
    { title: "Task", class: "id", of: (dead) => (dead.task ? link(dead.task) : "a refused message") },
    { title: "When", of: (dead) => new Date(dead.at).toLocaleString() },
    { title: "Why", class: "words", of: (dead) => dead.reason },
    { title: "Receiver", class: "words", of: (dead) => dead.url },
  ], now.newestDeadCallbacks, "None."));
}

const ROWS = 25;
const whole = new Set();

// A table that begins with its first rows; a button shows and hides the others.
function long(id, caption, columns, rows, nothing) {
  if (rows.length <= ROWS) return [table(caption, columns, rows, nothing)];
  const all = whole.has(id);
  const button = element("button", { type: "button", id: `${id}-rows`, "aria-expanded": String(all) }, all ? `The first ${ROWS} alone` : `All ${rows.length} rows`);
  button.addEventListener("click", () => {
    if (!whole.delete(id)) whole.add(id);
    look();
  });
  return [table(caption, columns, all ? rows : rows.slice(0, ROWS), nothing), button];
}

// One task's life, as `job-worker why` tells it.
function life(id, found) {
  news(`as of ${new Date().toLocaleTimeString()}`);
  const title = element("h2", {}, `Task ${id}`);
  const back = element("p", {}, element("a", { href: "#/" }, "All tasks"));
  if (found.unknown) {
    show("task", back, title, element("p", {}, "Nothing is known of it: it never came, or the store has forgotten it."));
    return;
  }
  show(
    "task",
    back,
    title,
    facts(found),
    element("h3", {}, "What happened"),
    found.cut ? element("p", { class: "note" }, "The event log no longer holds how it began.") : null,
    element("ol", { class: "life" }, ...found.events.map(moved)),
    found.callbacks.length ? element("h3", {}, "Callbacks") : null,
    found.callbacks.length ? element("ul", {}, ...found.callbacks.map((told) => element("li", {}, outcome(told)))) : null,
  );
}

function facts(found) {
  const task = found.task;
  const rows = [];
  if (task) {
    rows.push(["State", `${task.state}, ${task.phase}`]);
    if (!found.finished && task.waitsFor) rows.push(["Waits for", task.waitsFor + (task.until ? `, until ${new Date(task.until).toLocaleString()}` : "")]);
    if (task.errorCode) rows.push(["Verdict", `${task.errorCode}: ${task.message}`]);
    rows.push(["Service", task.service], ["Job", `${task.namespace}/${task.jobName}`]);
    rows.push(["Taken", new Date(task.receivedAt).toLocaleString()]);
    if (task.webhook) rows.push(["Receiver", task.webhook]);
    if (task.traceparent) rows.push(["Trace", task.traceparent]);
  }
  if (found.finished) {
    const until = found.finished.rememberedUntil;
    rows.push(["Finished", `${new Date(found.finished.at).toLocaleString()}, status ${found.finished.status}`]);
    rows.push(["Id is taken", until ? `until ${new Date(until).toLocaleString()}` : "until its Job, left in place, is gone"]);
  }
  return element("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function moved(event) {
  const way = event.from && event.from !== event.to ? `${event.from} → ${event.to}` : event.to;
  const line = (text) => element("p", {}, text);
  return element(
    "li",
    { class: event.to.toLowerCase() },
    element("p", {}, element("time", { datetime: event.at }, new Date(event.at).toLocaleTimeString()), element("b", {}, way), ` (${event.phase})`),
    line(`${event.event}: ${event.evidence}`),
    event.errorCode ? line(`Verdict ${event.errorCode}: ${event.message}`) : null,
    ...(event.callbacks ?? []).map((status) => line(`Tells the client: ${status} (${STATUS[status] ?? ""})`)),
    event.asks ? line(`Asks the cluster to ${event.asks}`) : null,
  );
}

function outcome(told) {
  const name = (status) => `${status} (${STATUS[status] ?? ""})`;
  if (told.outcome === "delivered") return `${name(told.status)}: delivered`;
  if (told.outcome === "dead") return `${name(Number(told.key.split("/").pop()))}: given up: ${told.reason}`;
  const tried = told.attempts === 0 ? "not tried yet" : `${told.attempts} of ${told.attemptsMax} attempts failed`;
  return `${name(told.status)}: ${tried}, next try: ${next(told, Date.now())}`;
}

// When a callback is tried next.
function next(callback, now) {
  if (callback.after !== undefined) return `after ${callback.after}`;
  const ms = Date.parse(callback.due) - new Date(now).getTime();
  return ms > 0 ? `in ${span(ms)}` : "due";
}

function turned() {
  const id = chosen();
  at("overview").hidden = Boolean(id);
  at("task").hidden = !id;
  at("id").value = id;
  document.title = id ? `${id} – job-worker` : "job-worker";
  if (id) show("task", element("h2", {}, `Task ${id}`), element("p", { class: "note" }, "reading the event log …"));
  window.scrollTo(0, 0);
  look();
}

at("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = at("id").value.trim();
  location.hash = id ? `#/task/${encodeURIComponent(id)}` : "#/";
  at("content").focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen()) location.hash = "#/";
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});
window.addEventListener("hashchange", () => {
  if (!location.hash || location.hash.startsWith("#/")) turned();
});
turned();
