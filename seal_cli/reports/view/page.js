"use strict";
// Draws the page's data. Every text of it becomes a text node: nothing here parses markup.
let data;
const CHUNK = 100; // entries of the list that are made at a time
const NARROW = matchMedia("(max-width: 799px)");
const byId = (id) => document.getElementById(id);

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return made;
}

const number = (x, digits = 2) => (x === undefined ? "unknown" : x.toFixed(digits));
const signed = (x) => (x === undefined ? "unknown" : (x > 0 ? "+" : x < 0 ? "−" : "±") + Math.abs(x).toFixed(2));
const known = (values) => values.filter((x) => x !== undefined);
const count = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;
const earned = (attempt) => attempt.reward ?? attempt.adapted;
const compact = (entries) => Object.fromEntries(entries.filter(([, v]) => v !== undefined && v !== ""));

// Where we are stands after the # of the address: context, edit, artifact, view, q, sort.
const place = () => new URLSearchParams(location.hash.slice(1));

function link(changes, keep = ["q", "sort"]) {
  const here = place(), to = new URLSearchParams();
  for (const name of keep) if (here.get(name)) to.set(name, here.get(name));
  for (const [name, value] of Object.entries(changes)) value ? to.set(name, value) : to.delete(name);
  return "#" + to;
}

// The list

const SORTS = {
  order: (a, b) => a.place - b.place,
  title: (a, b) => a.name.localeCompare(b.name),
  best: (a, b) => b.best - a.best,
  gain: (a, b) => b.gain - a.gain,
  worst: (a, b) => a.worst - b.worst,
  spread: (a, b) => b.best - b.worst - (a.best - a.worst),
};

function prepare(contexts) {
  contexts.forEach((context, at) => {
    const scores = known(context.attempts.map(earned)), gains = known(context.attempts.map((a) => a.gain));
    context.place = at;
    context.name = context.title || context.id;
    context.best = Math.max(-Infinity, ...scores);
    context.worst = scores.length ? Math.min(...scores) : Infinity;
    context.gain = Math.max(-Infinity, ...gains);
  });
}

function matches(context, words) {
  context.words ??= [context.id, context.title, context.text, context.split,
    ...context.questions.flatMap((q) => [q.question, ...q.gold]),
    ...context.attempts.flatMap((a) => [a.self_edit_id, a.text, a.policy, a.prompt])]
    .filter((part) => typeof part === "string").join("\n").toLowerCase();
  return words.every((word) => context.words.includes(word));
}

let shown = [], drawn = 0, listed = null;
const more = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && drawMore());

function drawList() {
  const here = place(), wanted = JSON.stringify([here.get("q"), here.get("sort")]);
  if (wanted !== listed) {
    listed = wanted;
    const words = (here.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    shown = data.contexts.filter((context) => matches(context, words));
    const by = SORTS[here.get("sort")] || SORTS.order;
    shown.sort((a, b) => by(a, b) || a.place - b.place);
    byId("contexts").replaceChildren();
    drawn = 0;
    byId("count").textContent = words.length
      ? `${shown.length} of ${count(data.contexts.length, "context")}` : count(data.contexts.length, "context");
    drawMore();
  }
  const open = here.get("context");
  while (open && drawn < shown.length && shown.slice(drawn).some((c) => c.id === open)) drawMore();
  for (const a of byId("contexts").querySelectorAll("a")) {
    const current = a.dataset.id === open;
    current ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current");
    if (current && !NARROW.matches) reveal(a);
  }
}

function reveal(a) { // within the list alone: scrollIntoView moves the page, too
  const list = byId("contexts"), top = a.parentElement.offsetTop - list.offsetTop;
  if (top < list.scrollTop || top + a.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - 80;
}

function drawMore() {
  const list = byId("contexts");
  more.disconnect();
  for (const context of shown.slice(drawn, drawn + CHUNK)) list.append(el("li", null, entry(context)));
  drawn = Math.min(drawn + CHUNK, shown.length);
  if (drawn < shown.length) more.observe(list.lastElementChild);
}

function entry(context) {
  const different = (attempts) => new Set(attempts.map((a) => a.self_edit_id)).size;
  const n = different(context.attempts), some = n && context.best > -Infinity;
  const kept = different(context.attempts.filter((a) => a.chosen.some((c) => c.kept)));
  return el("a", { href: link({ context: context.id }), "data-id": context.id },
    el("span", { class: "name" }, context.name),
    el("span", { class: "quiet" }, [context.split, n ? count(n, "self-edit") : "no self-edit",
      kept && `${kept} selected`].filter(Boolean).join(" · ")),
    some ? meter(context.best, `best ${number(context.best)}`) : null);
}

function meter(share, label) {
  const bar = el("span", { class: "bar" });
  bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return el("span", { class: "meter" }, el("span", { class: "track", "aria-hidden": "true" }, bar),
    el("span", { class: "figure" }, label));
}

// One context

function drawContext(id) {
  const context = data.contexts.find((c) => c.id === id);
  if (!context) return [el("h2", null, "Not here"), el("p", null, `There is no context ${id} in this page.`)];
  const at = shown.indexOf(context), columns = new Map();
  for (const attempt of context.attempts) {
    const key = JSON.stringify([attempt.artifact_id, attempt.grader]);
    columns.has(key) || columns.set(key, []);
    columns.get(key).push(attempt);
  }
  const beside = [...columns.values()].sort((a, b) => (a[0].round ?? 0) - (b[0].round ?? 0));
  return [
    el("p", { class: "steps" }, el("a", { href: link({}), class: "back" }, "All contexts"),
      step(shown[at - 1], at > 0, "Previous", "k"), step(shown[at + 1], at >= 0, "Next", "j")),
    el("h2", { tabindex: "-1" }, context.name),
    el("p", { class: "quiet" }, [context.split, context.domain, context.id].filter(Boolean).join(" · ")),
    passage(context),
    context.questions.length ? el("details", null, el("summary", null, count(context.questions.length, "question")),
      el("ol", null, context.questions.map((q) => el("li", null, value(q.question), " ",
        el("span", { class: "gold" }, q.gold.map(value)), q.origin === "self" ? " (written by a model)" : "")))) : null,
    beside.length ? el("div", { class: "rounds" }, beside.map((attempts) => column(context, attempts)))
      : el("p", { class: "note" }, "Nothing was written about it yet."),
  ];
}

function step(context, there, label, key) {
  return there && context ? el("a", { href: link({ context: context.id }), "data-key": key }, `${label} `,
    el("kbd", null, key)) : null;
}

function passage(context) {
  if (!context.text) return el("p", { class: "note" }, "Its text is not in the store.");
  if (!context.pairs) return el("blockquote", { class: "passage" }, context.text);
  return el("div", { class: "pairs" }, context.pairs.map(([before, after]) =>
    el("div", { class: "pair" }, value(before), el("span", { "aria-label": "becomes" }, "→"), value(after))));
}

function value(shown) {
  return shown && shown.grid ? grid(shown.grid) : shown === undefined ? "—" : shown === "" ? "(empty)" : shown;
}

function grid(rows) {
  const size = Math.max(5, Math.min(16, Math.floor(160 / Math.max(rows.length, rows[0].length))));
  const canvas = el("canvas", { class: "grid", role: "img", width: rows[0].length * size, height: rows.length * size,
    "aria-label": `grid of ${rows.length} by ${rows[0].length}: ${rows.map((r) => r.join("")).join(" ")}` });
  const pen = canvas.getContext("2d");
  rows.forEach((row, y) => row.forEach((cell, x) => {
    pen.fillStyle = data.colours[cell];
    pen.fillRect(x * size, y * size, size - 1, size - 1);
  }));
  return canvas;
}

function column(context, attempts) {
  const first = attempts[0], sorted = [...attempts].sort((a, b) => (earned(b) ?? -9) - (earned(a) ?? -9));
  const scores = known(attempts.map(earned)), mean = scores.reduce((a, b) => a + b, 0) / scores.length;
  const open = place().get("edit");
  return el("section", { class: "round", "aria-label": `Round ${first.round}, ${first.artifact_id}` },
    el("h3", null, `Round ${first.round ?? "unknown"}: ${first.policy || "unknown model"}`),
    el("p", { class: "quiet" }, scores.length ? `mean ${number(mean)} of ${scores.length} · ` : "not scored · ",
      first.grader ? `${first.grader} · ` : "", el("a", { href: link({ artifact: first.artifact_id }) }, named(first.artifact_id))),
    sorted.map((attempt, at) => card(context, attempt, open ? attempt.self_edit_id === open : at === 0)));
}

function named(id) {
  const run = data.runs.find((r) => r.artifact_id === id);
  return run && run.name ? `${run.name} (${id})` : id;
}

function card(context, attempt, open) {
  const kept = attempt.chosen.some((c) => c.kept), score = earned(attempt);
  const tally = ["gained", "lost"].map((change) => [change, attempt.flips.filter((f) => f.change === change).length]);
  const head = el("summary", null,
    score === undefined ? el("span", { class: "figure" }, attempt.status === "ok" ? "not scored" : attempt.status)
      : meter(score, number(score)),
    attempt.gain === undefined ? null : el("span", { class: attempt.gain > 0 ? "up" : attempt.gain < 0 ? "down" : "" }, signed(attempt.gain)),
    kept ? el("span", { class: "badge" }, "selected") : null,
    attempt.status !== "ok" && score !== undefined ? el("span", { class: "badge bad" }, attempt.status) : null,
    el("span", { class: "quiet" }, tally.filter(([, n]) => n).map(([change, n]) => `${n} ${change}`).join(", ")),
    el("span", { class: "snippet" }, (attempt.text || "").slice(0, 160)));
  const made = el("details", { class: kept ? "edit kept" : "edit", id: `edit-${attempt.self_edit_id}` }, head);
  const draw = () => made.open && made.children.length === 1 && made.append(body(context, attempt));
  made.addEventListener("toggle", draw); // drawn when it is opened
  made.open = open;
  draw();
  return made;
}

function body(context, attempt) {
  const asWritten = el("pre", null, attempt.text || "(empty)");
  const lines = attempt.lines.length > 0;
  return el("div", { class: "body" },
    attempt.reason ? el("p", { class: "note" }, `${attempt.status}: ${attempt.reason}`) : null,
    attempt.chosen.map((c) => el("p", null, el("strong", null, c.kept ? "Selected" : "Not selected"),
      ` (rank ${c.rank}, ${c.rule}): ${c.reason} `, el("a", { href: link({ artifact: c.artifact_id }) }, named(c.artifact_id)))),
    lines ? [el("h4", null, `Training lines (${attempt.lines.length})`),
      el("ol", { class: "lines" }, attempt.lines.map((line) => el("li", null, line))),
      el("details", null, el("summary", null, "As written"), asWritten)] : [el("h4", null, "Self-edit"), asWritten],
    losses(attempt.adapters || []),
    attempt.flips.length ? [el("h4", null, "Questions before and after"), flips(context, attempt.flips)]
      : el("p", { class: "quiet" }, "No answer of it is stored."),
    facts(compact([["accuracy before", attempt.baseline === undefined ? undefined : number(attempt.baseline)],
      ["accuracy after", attempt.adapted === undefined ? undefined : number(attempt.adapted)],
      ["deviation over repeats", attempt.repeats > 1 ? number(attempt.spread, 3) : undefined],
      ["reward", attempt.reward === undefined ? undefined : number(attempt.reward, 3)], ["rule of the reward", attempt.rule],
      ["student", attempt.student], ["prompt", attempt.prompt], ["sample", attempt.sample],
      ["tokens written", attempt.written_tokens]])),
    el("p", { class: "quiet" }, el("a", { href: link({ context: context.id, edit: attempt.self_edit_id }) },
      `self-edit ${attempt.self_edit_id}`)));
}

function losses(adapters) {
  if (!adapters.length) return null;
  return [el("h4", null, "Training loss, of each adapter as a whole"), table(["repeat", "lines", "steps", "first", "last", ""],
    adapters.map((a) => [a.repeat ?? 0, a.lines ?? "", a.steps ?? "", a.first_loss === undefined ? "" : number(a.first_loss, 3),
      a.last_loss === undefined ? "" : number(a.last_loss, 3),
      a.status !== "ok" ? `${a.status}: ${a.reason || ""}` : a.last_loss >= a.first_loss ? "did not fall" : ""]))];
}

const FLIP = ["question", "gold", "before", "after", "change"];

function flips(context, rows) {
  const asked = new Map(context.questions.map((q) => [q.id, q]));
  const order = new Map(context.questions.map((q, at) => [q.id, at]));
  return table(FLIP,
    [...rows].sort((a, b) => (order.get(a.question_id) ?? 0) - (order.get(b.question_id) ?? 0)).map((row) => {
      const question = asked.get(row.question_id);
      return [question ? value(question.question) : row.question_id,
        question ? el("span", null, question.gold.flatMap((g, at) => (at ? [" / ", value(g)] : [value(g)]))) : "",
        value(row.before), value(row.after),
        el("span", { class: `change ${row.change || ""}` }, row.change || "not judged")];
    }));
}

function table(heads, rows) {
  return el("div", { class: "scroll" }, el("table", { class: heads === FLIP ? "stack" : undefined },
    el("thead", null, el("tr", null, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", null, rows.map((row) => el("tr", null, row.map((cell, at) => {
      const number = typeof cell === "number" || /^[+−±]?\d[\d.]*$/.test(cell);
      return el("td", { "data-label": heads[at], class: number ? "number" : undefined }, typeof cell === "number" ? String(cell) : cell);
    }))))));
}

function facts(told) {
  return el("dl", null, Object.entries(told).map(([name, said]) => [el("dt", null, name), el("dd", null, String(said))]));
}

// Everything else: accuracy by round, models, artifacts

function drawOverview(open) {
  return [
    el("p", { class: "steps" }, el("a", { href: link({}), class: "back" }, "All contexts")),
    el("h2", { tabindex: "-1" }, "Accuracy by round"),
    data.rounds.length ? [el("p", { class: "quiet" }, "Bars are 95 % intervals, Student's t over contexts."), rounds()]
      : el("p", { class: "note" }, "No evaluation yet: `seal eval POLICY CONTEXTS` makes one."),
    el("h2", null, "Models"), table(["name", "id", "round", "made by", "from"], data.models.map((m) =>
      [m.name || "", m.id, m.round ?? "", m.method || "", m.parent || ""])),
    el("h2", null, "Artifacts"), data.runs.map((run) => artifact(run, run.artifact_id === open)),
  ];
}

function rounds() {
  const groups = new Map();
  for (const row of data.rounds) {
    const key = [row.model, row.student && `adapted: ${row.student}`, named(row.dataset), row.grader].filter(Boolean).join(" · ");
    groups.has(key) || groups.set(key, []);
    groups.get(key).push(row);
  }
  return [...groups].map(([key, rows]) => el("div", null, el("h3", null, key), table(
    ["method", "round", "interval", "accuracy", "low", "high", "since round 0", "contexts"],
    rows.map((row) => [row.method + (row.prompt ? `, ${row.prompt}` : ""), row.round ?? "", interval(row), number(row.accuracy, 3),
      row.low === undefined ? "" : number(row.low, 3), row.high === undefined ? "" : number(row.high, 3),
      row.gain_since_0 === undefined ? "" : signed(row.gain_since_0), row.contexts]))));
}

function interval(row) {
  const at = (x) => `${Math.max(0, Math.min(1, x)) * 100}%`, dot = el("span", { class: "dot" }), bar = el("span", { class: "range" });
  dot.style.left = at(row.accuracy);
  bar.style.left = at(row.low ?? row.accuracy);
  bar.style.right = `calc(100% - ${at(row.high ?? row.accuracy)})`;
  return el("span", { class: "interval", role: "img", "aria-label":
    row.low === undefined ? number(row.accuracy) : `${number(row.accuracy)}, from ${number(row.low)} to ${number(row.high)}` }, bar, dot);
}

function artifact(run, open) {
  const failed = [run.invalid && `${run.invalid} invalid`, run.failed && `${run.failed} failed`].filter(Boolean);
  const made = el("details", { class: "artifact", id: `artifact-${run.artifact_id}` }, el("summary", null,
    el("strong", null, run.name || run.stage), " ", el("code", null, run.artifact_id), " ",
    el("span", { class: "quiet" }, [`${run.rows} rows`, ...failed, run.created_at.slice(0, 16)].join(" · "))));
  const draw = () => made.open && made.children.length === 1 && made.append(el("div", { class: "body" },
    run.inputs.length ? el("p", null, "Made from ", run.inputs.flatMap((id) =>
      [el("a", { href: link({ artifact: id }) }, named(id)), " "])) : null,
    facts(compact([["stage", run.stage], ["created", run.created_at], ["seconds", run.seconds], ["host", run.host],
      ["device", run.device], ["tokens written", run.written_tokens], ["tokens trained on", run.trained_tokens],
      ["models", Object.entries(run.models || {}).map(([id, name]) => `${name || ""} (${id})`).join(", ")],
      ["digest", run.sha256], ["git", run.git],
      ["versions", Object.entries(run.versions || {}).map((pair) => pair.join(" ")).join(", ")]])),
    run.settings.length ? [el("h4", null, "Settings"), table(["section", "key", "value"],
      run.settings.map((s) => [s.section, s.key, s.value ?? ""]))] : null));
  made.addEventListener("toggle", draw);
  made.open = open;
  draw();
  return made;
}

// The page

let last = null;
function route() {
  const here = place(), context = here.get("context"), artifactId = here.get("artifact");
  const detail = context || artifactId || here.get("view");
  if (byId("search") !== document.activeElement) byId("search").value = here.get("q") || "";
  byId("sort").value = SORTS[here.get("sort")] ? here.get("sort") : "order";
  byId("to-list").href = link({});
  byId("to-overview").href = link({ view: "overview" });
  drawList();
  document.body.dataset.pane = detail ? "detail" : "list";
  const wanted = JSON.stringify([context, artifactId, here.get("view"), here.get("edit"), context && listed]);
  if (wanted === last) return;
  const began = last === null;
  last = wanted;
  const drawnPage = context ? drawContext(context) : drawOverview(artifactId);
  byId("detail").replaceChildren(...drawnPage.flat(9).filter(Boolean));
  const heading = byId("detail").querySelector("h2");
  document.title = detail ? `${heading.textContent} – seal view` : "seal view";
  const target = artifactId ? byId(`artifact-${artifactId}`) : here.get("edit") && byId(`edit-${here.get("edit")}`);
  if (detail && !(began && !target)) {
    (target ? target.querySelector("summary") : heading).focus({ preventScroll: true });
    target ? target.scrollIntoView() : scrollTo(0, 0);
  }
}

function listen() {
  addEventListener("hashchange", route);
  let waiting;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(waiting); // each letter replaces the address: Back leaves the search at once
    waiting = setTimeout(() => { history.replaceState(null, "", link({ q: event.target.value.trim(),
      context: place().get("context") })); route(); }, 60);
  });
  byId("sort").addEventListener("change", (event) => {
    history.replaceState(null, "", link({ sort: event.target.value, context: place().get("context") })); route();
  });
  byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("detail").focus(); });
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing) event.target.blur();
    else if (typing) return;
    else if (event.key === "/") { event.preventDefault(); if (NARROW.matches) location.hash = link({}); byId("search").focus(); }
    else if (event.key === "Escape") location.hash = link({});
    else if (event.key === "j" || event.key === "k") {
      const step = document.querySelector(`a[data-key="${event.key}"]`);
      if (step) step.click();
      else if (event.key === "j" && !place().get("context") && shown[0]) location.hash = link({ context: shown[0].id });
    }
  });
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

async function main() {
  data = await unpack(byId("data").textContent);
  byId("data").remove();
  prepare(data.contexts);
  const edits = data.contexts.reduce((sum, context) => sum + context.attempts.length, 0);
  byId("what").textContent = `${count(data.contexts.length, "context")}, ${count(edits, "result")} of self-edits, ` +
    count(data.runs.length, "artifact");
  byId("made").textContent = `seal ${data.seal}. Keys: / search, j and k next and previous context, Escape back.`;
  listen();
  route();
  document.body.dataset.ready = Math.round(performance.now());
}
main().catch((error) => { byId("what").textContent = `This page cannot be drawn: ${error.message}`; });
