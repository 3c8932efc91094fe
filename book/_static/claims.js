// The ledger's table can be filtered, and sorted by verdict. Without JavaScript it is a
// table in the order of the book.
(function () {
  "use strict";

  const FACTS = ["paper", "page", "verdict", "size"];
  const ORDER = ["reproduced", "partly", "contradicted", "undecided"];

  /** A row's place by verdict: what the papers' own size has decided comes first. */
  function rank(row) {
    const place = ORDER.indexOf(row.dataset.verdict);
    return place < 0 ? ORDER.length + (row.dataset.size === "none") : place;
  }

  function chooser(fact, rows, changed) {
    const label = document.createElement("label");
    const select = document.createElement("select");
    const values = [...new Set(rows.map((row) => row.dataset[fact]))];
    for (const value of ["", ...values.sort()]) select.add(new Option(value || "all", value));
    select.addEventListener("change", changed);
    label.append(fact, select);
    return { label, fact, select };
  }

  function equip(box) {
    const body = box.querySelector("tbody");
    const rows = [...body.rows];
    const tools = document.createElement("div");
    tools.className = "claims-tools";
    const told = document.createElement("output");
    const choosers = FACTS.map((fact) => chooser(fact, rows, show));
    const sort = chooser("order", rows, show);
    sort.select.replaceChildren(
      new Option("of the book", ""), new Option("by verdict", "verdict"));

    function show() {
      let left = 0;
      for (const row of rows) {
        row.hidden = choosers.some(
          ({ fact, select }) => select.value && select.value !== row.dataset[fact]);
        left += !row.hidden;
      }
      const listed = sort.select.value ? rows.toSorted((a, b) => rank(a) - rank(b)) : rows;
      body.append(...listed);
      told.textContent = `${left} of ${rows.length} claims`;
    }

    tools.append(...choosers.map(({ label }) => label), sort.label, told);
    box.before(tools);
    show();
    unfold(box);
  }

  /** Who comes by a link to a claim finds it open. */
  function unfold(box) {
    const row = document.getElementById(location.hash.slice(1));
    if (row && box.contains(row)) row.querySelector("details")?.setAttribute("open", "");
  }

  document.querySelectorAll(".claims[data-filter]").forEach(equip);
})();
