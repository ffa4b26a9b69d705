// The scripts of haf ui. Pages work without them; they add curves, live values and the reading of
// single tokens.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

function later(wait, act) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), wait);
  };
}

// Fetches a part of a page into an element. A newer request ends the older one.
const pending = new Map();
async function load(into, url, options = {}) {
  pending.get(into)?.abort();
  const control = new AbortController();
  pending.set(into, control);
  into.classList.add("busy");
  try {
    const answer = await fetch(url, { ...options, signal: control.signal });
    const text = await answer.text();
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(text, "text/html");
      into.replaceChildren(element("p", { class: "notice" }, $("main p", page)?.textContent || "failed"));
    } else {
      // The server escapes whatever stands in it.
      into.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
    }
    return answer.ok;
  } catch (error) {
    if (error.name === "AbortError") return false;
    into.replaceChildren(element("p", { class: "notice" }, "The server does not answer. Is haf ui still running?"));
    return false;
  } finally {
    if (pending.get(into) === control) into.classList.remove("busy");
  }
}

// Token maps: pointing at a token, or moving to it, reads it out.
function readToken(token) {
  const out = token.closest(".map").nextElementSibling;
  const text = token.textContent.replace(/\n/g, "↵");
  const d = token.dataset;
  out.replaceChildren("“", element("bdi", {}, text), "” ", element("strong", {}, d.reward),
    ` = ${d.beta} · (log π ${d.logp} − log π_ref ${d.ref})`);
}
function restOf(map) {
  const out = map.nextElementSibling;
  out.textContent = out.dataset.rest;
}
document.addEventListener("mouseover", (event) => {
  const token = event.target.closest?.(".tok");
  if (token) readToken(token);
});
document.addEventListener("mouseout", (event) => {
  const map = event.target.closest?.(".map");
  if (map && !map.contains(event.relatedTarget)) restOf(map);
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches?.(".tok")) readToken(event.target);
});
document.addEventListener("focusout", (event) => {
  if (event.target.matches?.(".tok")) restOf(event.target.closest(".map"));
});
document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.(".tok")) return;
  const tokens = $$(".tok", event.target.closest(".map"));
  const at = tokens.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (to === undefined || !tokens[to]) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  tokens[to].tabIndex = 0;
  tokens[to].focus();
});

// The explorer of pairs: filters act at once.
const filter = $("#filter");
if (filter) {
  const act = async () => {
    const query = new URLSearchParams(new FormData(filter));
    history.replaceState(null, "", "/pairs?" + query);
    query.set("fragment", "1");
    await load($("#rows"), "/pairs?" + query);
  };
  const soon = later(100, act); // after the last key
  filter.addEventListener("input", (event) => event.target.type === "search" ? soon() : act());
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}

// A pair: its tokens are read by the marked models.
const maps = $("#maps");
if (maps) {
  const choose = $("#models");
  const act = () => {
    const query = new URLSearchParams(new FormData(choose));
    query.set("fragment", "1");
    maps.replaceChildren(element("p", { class: "quiet", role: "status" }, "Reading the tokens. The first time a model is opened and compiled, which takes some seconds."));
    return load(maps, "/pair?" + query);
  };
  choose.addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
  if (maps.dataset.load) act();
}

// The playground: rewards follow the text.
const play = $("#play");
if (play) {
  const more = $("#more"), answers = $("#answers"), status = $("#playing");
  const before = new Map();
  more.hidden = false;
  more.addEventListener("click", () => {
    const n = answers.children.length;
    if (n >= 6) return;
    const text = element("textarea", { name: "answer", rows: "3", dir: "auto" });
    answers.append(element("label", {}, "Answer " + "ABCDEF"[n], text));
    text.focus();
    more.hidden = n + 1 >= 6;
  });
  const act = async () => {
    const body = new URLSearchParams(new FormData(play));
    body.set("fragment", "1");
    status.textContent = "reading";
    if (!await load($("#played"), "/playground", { method: "POST", body })) return;
    status.textContent = "";
    for (const value of $$("[data-key]", $("#played"))) {
      const now = Number(value.dataset.value), last = before.get(value.dataset.key);
      before.set(value.dataset.key, now);
      if (last === undefined || Math.abs(now - last) < 5e-5) continue;
      const by = now - last;
      value.append(element("span", { class: "delta " + (by > 0 ? "up" : "down") },
        `${by > 0 ? "▲ +" : "▼ −"}${Math.abs(by).toFixed(4)}`));
    }
  };
  play.addEventListener("input", later(450, () => {
    const typed = $$("textarea", play).map((t) => t.value.trim());
    if (typed[0] && typed.slice(1).some(Boolean)) act();
  }));
  play.addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}

// Drawings of all pairs of a run, made when somebody comes near.
const figures = $("#figures");
if (figures) {
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((s) => s.isIntersecting)) return;
    observer.disconnect();
    load(figures, figures.dataset.load + "&fragment=1");
  }, { rootMargin: "300px" }).observe(figures);
}

// Curves.
const charts = $("#charts");
if (charts) import("/assets/curves.js").then((m) => m.show(charts, element, later));
