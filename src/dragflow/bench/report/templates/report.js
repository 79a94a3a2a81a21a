"use strict";

// Without this script the page holds all the same: galleries worst first, every metric's panel below the other.

// "#gallery=s0&sort=MD1&run=1&order=best&category=rotate" is a state of a gallery, anything else the id of an element.
const state = new URLSearchParams(location.hash.slice(1));

function setUpPanels(box) {
  const select = box.querySelector("select");
  const panels = [...box.querySelectorAll(".panel")];
  const show = (id) => {
    for (const panel of panels) panel.hidden = panel.id !== id;
    select.value = id;
  };
  select.addEventListener("change", () => show(select.value));
  box.querySelector(".controls").hidden = false;
  show(select.value);
  return (id) => {
    if (panels.some((panel) => panel.id === id)) show(id);
  };
}

function setUpGallery(box) {
  const form = box.querySelector("form");
  const { metrics, entries } = JSON.parse(box.querySelector("script").textContent);
  const list = box.querySelector(".entries");
  const articles = [...list.children];

  function value(entry, metric, run) {
    const scores = run === "all" ? entry.scores : [entry.scores[Number(run)]];
    const known = scores.map((one) => one[metric.key]).filter((one) => one !== undefined);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  }

  function label(article, entry, metric) {
    for (const place of article.querySelectorAll(".score")) {
      const one = entry.scores[Number(place.dataset.run)][metric.key];
      const unit = metric.unit ? ` ${metric.unit}` : "";
      place.textContent = one === undefined ? "" : `${metric.key} ${one.toFixed(metric.digits)}${unit}`;
    }
  }

  function arrange() {
    const chosen = Object.fromEntries(new FormData(form));
    const metric = metrics.find((one) => one.key === chosen.sort);
    const sign = (metric && metric.better === "up" ? 1 : -1) * (chosen.order === "worst" ? 1 : -1);
    const ranked = articles.map((article) => {
      const entry = entries[Number(article.dataset.index)];
      article.hidden = Boolean(chosen.category) && entry.category !== chosen.category;
      if (metric) label(article, entry, metric);
      return { article, rank: metric ? value(entry, metric, chosen.run) : null };
    });
    // Samples without the metric come last, whichever way the others go.
    ranked.sort((a, b) => (a.rank === null) - (b.rank === null) || sign * (a.rank - b.rank));
    list.append(...ranked.map((one) => one.article));
    const shown = articles.filter((article) => !article.hidden).length;
    form.querySelector("output").value = `${shown} of ${articles.length} samples`;
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    arrange();
    const chosen = new URLSearchParams({ gallery: box.dataset.gallery, ...Object.fromEntries(new FormData(form)) });
    history.replaceState(null, "", `#${chosen}`);
  });
  if (state.get("gallery") === box.dataset.gallery) {
    for (const select of form.elements) {
      const wanted = state.get(select.name);
      if ([...(select.options ?? [])].some((option) => option.value === wanted)) select.value = wanted;
    }
    box.scrollIntoView();
  }
  arrange();
}

function setUpDialog(dialog) {
  const picture = dialog.querySelector("img");
  const caption = dialog.querySelector("p");
  let row = [];
  let at = 0;

  function show(next) {
    at = (next + row.length) % row.length;
    picture.src = row[at].src;
    picture.alt = row[at].alt;
    caption.textContent = `${row[at].alt} (${at + 1} of ${row.length})`;
  }

  for (const button of document.querySelectorAll(".zoom")) {
    button.addEventListener("click", () => {
      row = [...button.closest(".tiles").querySelectorAll("img")];
      show(row.indexOf(button.querySelector("img")));
      dialog.showModal();
    });
  }
  for (const button of dialog.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => show(at + Number(button.dataset.step)));
  }
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      show(at + step);
    }
  });
}

const panels = [...document.querySelectorAll(".panels")].map(setUpPanels);
for (const box of document.querySelectorAll(".gallery")) setUpGallery(box);
setUpDialog(document.getElementById("large"));

function follow() {
  for (const show of panels) show(location.hash.slice(1));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}
addEventListener("hashchange", follow);
follow();
