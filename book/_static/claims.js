// The ledger's table: the claims of a page unfold below its title, and all can be
// filtered, searched and sorted. Without JavaScript it is a table in the order of the
// book.
(function () {
  "use strict";

  const FACTS = ["paper", "page", "verdict", "size"];
  const ORDER = ["reproduced", "partly", "contradicted", "undecided"];

  /** A row's place by verdict: what the papers' own size has decided comes first. */
  function rank(row) {
    const place = ORDER.indexOf(row.dataset.verdict);
    return place < 0 ? ORDER.length + (row.dataset.size === "none") : place;
  }

  function labelled(text, control, event, changed) {
    const label = document.createElement("label");
    control.addEventListener(event, changed);
    label.append(text, control);
    return label;
  }

  function chooser(fact, rows, changed) {
    const select = document.createElement("select");
    const values = [...new Set(rows.map((row) => row.dataset[fact]))];
    if (fact !== "page") values.sort();
    for (const value of ["", ...values]) select.add(new Option(value || "all", value));
    return { label: labelled(fact, select, "change", changed), fact, select };
  }

  /** A page's claims, which its title folds and unfolds. */
  function group(body) {
    const title = body.querySelector(".claims-title");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "claims-title";
    button.append(...title.childNodes);
    title.replaceWith(button);
    const own = {
      button, body, head: body.rows[0], rows: [...body.rows].slice(1), open: false,
      turn(open) {
        own.open = open;
        button.setAttribute("aria-expanded", open);
      },
    };
    own.turn(false);
    return own;
  }

  function equip(box) {
    const groups = [...box.querySelectorAll("tbody")].map(group);
    const rows = groups.flatMap((one) => one.rows);
    const flat = document.createElement("tbody"); // where sorted rows are
    groups.at(-1).body.after(flat);
    const choosers = FACTS.map((fact) => chooser(fact, rows, changed));
    const words = document.createElement("input");
    words.type = "search";
    for (const option of choosers[FACTS.indexOf("page")].select.options) {
      const own = groups.find((one) => one.rows[0].dataset.page === option.value);
      if (own) option.text = own.button.textContent;
    }
    const sort = chooser("order", rows, changed);
    sort.select.replaceChildren(
      new Option("of the book", ""), new Option("by verdict", "verdict"));
    const all = document.createElement("button");
    all.type = "button";
    const told = document.createElement("output");

    /** The words that were typed, each as the beginning of one: "UR" is not in "figure". */
    const asked = () => words.value.split(/\s+/).filter(Boolean).map(
      (word) => new RegExp("(?<!\\w)" + word.replace(/\W/g, "\\$&"), "i"));
    const narrowed = () =>
      asked().length > 0 || choosers.some(({ select }) => select.value);

    function fits(row) {
      const text = ["summary", "details + small"]
        .map((part) => row.querySelector(part).textContent).join(" ");
      return asked().every((word) => word.test(text)) && choosers.every(
        ({ fact, select }) => !select.value || select.value === row.dataset[fact]);
    }

    /** A choice unfolds the pages that have something to show. */
    function changed() {
      for (const one of groups) one.turn(narrowed());
      show();
    }

    function show() {
      const found = new Set(rows.filter(fits));
      const sorted = Boolean(sort.select.value);
      for (const one of groups) {
        one.head.hidden = sorted || !one.rows.some((row) => found.has(row));
        if (!sorted) one.body.append(...one.rows);
        for (const row of one.rows) row.hidden = !found.has(row) || !(sorted || one.open);
      }
      if (sorted) flat.append(...rows.toSorted((a, b) => rank(a) - rank(b)));
      told.textContent = `${found.size} of ${rows.length} claims`;
      all.hidden = sorted;
      all.textContent = groups.every((one) => one.open) ? "fold all" : "unfold all";
    }

    for (const one of groups)
      one.button.addEventListener("click", () => { one.turn(!one.open); show(); });
    all.addEventListener("click", () => {
      const open = !groups.every((one) => one.open);
      for (const one of groups) one.turn(open);
      show();
    });

    /** Who comes by a link to a claim finds it open, whatever was chosen before. */
    function arrive() {
      const row = document.getElementById(location.hash.slice(1));
      const home = groups.find((one) => one.rows.includes(row));
      if (!home) return;
      words.value = sort.select.value = "";
      for (const { select } of choosers) select.value = "";
      home.turn(true);
      show();
      row.querySelector("details")?.setAttribute("open", "");
      row.scrollIntoView();
    }

    const tools = document.createElement("div");
    tools.className = "claims-tools";
    tools.append(
      labelled("words in the claim", words, "input", changed), ...choosers.map(({ label }) => label),
      sort.label, all, told);
    box.before(tools);
    show();
    arrive();
    addEventListener("hashchange", arrive);
  }

  document.querySelectorAll(".claims[data-filter]").forEach(equip);
})();
