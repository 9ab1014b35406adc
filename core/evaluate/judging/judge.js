"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const KEYS = {
  1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right",
  3: "tie", t: "tie", T: "tie", 4: "both bad", x: "both bad", X: "both bad",
};
const STORE = "judging-" + data.run_id;

// Each person gets an order and sides of their own, so that neither can favour a model over all of them.
function fresh() {
  const order = data.pairs.map((_, place) => place);
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  const name = "rater-" + Math.random().toString(36).slice(2, 6);
  return { name, exported: true, order, bFirst: order.map(() => Math.random() < 0.5), votes: {}, place: 0 };
}

function kept() {
  try {
    const state = JSON.parse(localStorage.getItem(STORE));
    return state && state.order.length === data.pairs.length ? state : null;
  } catch { return null; }
}

function keep() {
  try { localStorage.setItem(STORE, JSON.stringify(state)); } catch { /* private window: votes live in this tab */ }
}

let state = kept() || fresh();
let shownAt = Date.now();

function current() {
  const index = state.order[state.place];
  return index === undefined ? null : { pair: data.pairs[index], bFirst: state.bFirst[state.place] };
}

function render() {
  const now = current();
  at("judging").hidden = !now;
  at("done").hidden = !!now;
  const voted = Object.keys(state.votes).length;
  at("place").textContent = now ? `${state.place + 1} of ${data.pairs.length}` : `${voted} of ${data.pairs.length} judged`;
  at("bar").max = data.pairs.length || 1;
  at("bar").value = voted;
  if (!now) return;
  const { pair, bFirst } = now;
  at("prompt").textContent = pair.prompt;
  at("reference").textContent = pair.reference;
  at("reference-box").hidden = !pair.reference;
  at("left").textContent = (bFirst ? pair.b : pair.a) || "(empty)";
  at("right").textContent = (bFirst ? pair.a : pair.b) || "(empty)";
  at("comment").value = state.votes[pair.id]?.comment || "";
  shownAt = Date.now();
  window.scrollTo(0, 0);
}

function vote(said) {
  const now = current();
  if (!now) return;
  const sides = now.bFirst ? { left: "B", right: "A" } : { left: "A", right: "B" };
  state.exported = false;
  state.votes[now.pair.id] = {
    choice: sides[said] || said,
    b_first: now.bFirst,
    comment: at("comment").value.trim(),
    at: Date.now(),
    seconds: Math.round((Date.now() - shownAt) / 100) / 10,
  };
  state.place += 1;
  keep();
  render();
}

function back() {
  if (state.place === 0) return;
  state.place -= 1;
  keep();
  render();
}

function exportVotes() {
  const lines = Object.entries(state.votes).map(([pair, said]) =>
    JSON.stringify({ run_id: data.run_id, rater: state.name, pair, ...said }) + "\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  link.download = `votes-${data.run_id}-${state.name.replace(/[^\w-]+/g, "_")}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  at("told").textContent = `${lines.length} votes exported as ${link.download}.`;
  state.exported = true;
  keep();
}

// Whoever judges next on this machine gets an order of their own, once the votes that are here are in a file.
function another() {
  if (!state.exported) {
    at("told").textContent = "Your votes are not in a file yet: export them first.";
    return;
  }
  state = fresh();
  at("rater").value = state.name;
  at("told").textContent = "Begin; please enter your name.";
  keep();
  render();
}

document.addEventListener("keydown", (event) => {
  if (event.target === at("comment") || event.target === at("rater")) {
    if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) { event.target.blur(); event.preventDefault(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key in KEYS) vote(KEYS[event.key]);
  else if (event.key === "Backspace") back();
  else if (event.key === "e" || event.key === "E") exportVotes();
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-choice]"))
  button.addEventListener("click", () => { vote(button.dataset.choice); button.blur(); });
at("back").addEventListener("click", back);
at("export").addEventListener("click", exportVotes);
at("another").addEventListener("click", () => { another(); at("another").blur(); });
at("rater").addEventListener("change", () => { state.name = at("rater").value.trim() || state.name; keep(); });
at("rater").value = state.name;
at("rubric").textContent = data.rubric;
render();
