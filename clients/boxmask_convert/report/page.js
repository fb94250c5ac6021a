"use strict";
// The page is whole without this script: it adds sorting, filtering and enlarging, all by keyboard too.
(() => {
  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  function value(row, column, kind) {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    if (kind === "number") return text === "" ? null : Number(text);
    return text === "" ? null : text;
  }

  // Rows without a value come last, whichever way the others go.
  function compare(first, second, kind, sign) {
    if (first === null || second === null) return (first === null) - (second === null);
    return sign * (kind === "number" ? first - second : words.compare(first, second));
  }

  function sort(table, heading) {
    const kind = heading.dataset.sort;
    const falling = heading.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const keyed = [...body.rows].map(row => [value(row, heading.cellIndex, kind), row]);
    keyed.sort(([first], [second]) => compare(first, second, kind, falling ? -1 : 1));
    body.append(...keyed.map(([, row]) => row));
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, heading));
      heading.append(button);
    }
  }

  function offer(select, rows, field) {
    const counts = new Map();
    for (const row of rows) {
      const names = field === "reasons" ? row.dataset.reasons.split("|") : [row.dataset[field]];
      for (const name of names) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    for (const name of [...counts.keys()].sort(words.compare)) {
      const option = document.createElement("option");
      option.value = name;
      option.textContent = `${name} (${counts.get(name)})`;
      select.append(option);
    }
  }

  for (const filters of document.querySelectorAll(".filters")) {
    const rows = [...document.getElementById(filters.dataset.for).tBodies[0].rows];
    const [byClass, byReason] = filters.querySelectorAll("select");
    const search = filters.querySelector("input");
    const told = filters.querySelector("output");
    const texts = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
    const apply = () => {
      const sought = search.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden =
          (byClass.value !== "" && row.dataset.class !== byClass.value) ||
          (byReason.value !== "" && !row.dataset.reasons.split("|").includes(byReason.value)) ||
          !texts.get(row).includes(sought);
        shown += !row.hidden;
      }
      told.textContent = `${shown} of ${rows.length} shown`;
    };
    offer(byClass, rows, "class");
    offer(byReason, rows, "reasons");
    filters.addEventListener("input", apply);
    filters.hidden = false;
    apply();
  }

  // A <dialog> closes on Escape and gives the focus back by itself.
  const dialog = document.createElement("dialog");
  const caption = document.createElement("p");
  const close = document.createElement("button");
  const stage = document.createElement("div");
  caption.id = "enlarged-caption";
  dialog.setAttribute("aria-labelledby", caption.id);
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  stage.className = "stage";
  dialog.append(stage, caption, close);
  document.body.append(dialog);
  let opener = null;

  function show(button) {
    opener = button;
    const picture = button.querySelector("img").cloneNode();
    picture.className = "";
    stage.replaceChildren(picture);
    caption.textContent = picture.alt;
  }

  dialog.addEventListener("click", event => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    stage.replaceChildren();
    opener.focus();
  });
  dialog.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const all = [...opener.closest("section").querySelectorAll("button.enlarge")].filter(
      button => button.offsetParent !== null,
    );
    const next = all[all.indexOf(opener) + step];
    if (next) show(next);
    event.preventDefault();
  });

  for (const picture of document.querySelectorAll("img.zoom")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.title = "Enlarge";
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => {
      show(button);
      dialog.showModal();
    });
  }
})();
