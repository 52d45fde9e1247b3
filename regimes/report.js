"use strict";
// Tables sort by a column: a click, or Enter or Space on its heading. Empty cells come last either way.
for (const table of document.querySelectorAll("table.sorts")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    const numbers = heading.classList.contains("number");
    button.addEventListener("click", () => {
      const turn = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[place];
        const text = (cell.dataset.value ?? cell.textContent).trim();
        return { row, text, number: Number(text.replace("inf", "Infinity")) };
      });
      keyed.sort((a, b) => {
        if (!a.text || !b.text) return (a.text ? 0 : 1) - (b.text ? 0 : 1);
        return turn * (numbers ? a.number - b.number || 0 : a.text.localeCompare(b.text, "en", { numeric: true }));
      });
      body.append(...keyed.map((one) => one.row));
    });
  });
}
// Printed, everything is unfolded but the long tables.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")].filter((one) => one.querySelectorAll("tr").length < 60);
  unfolded.forEach((one) => { one.open = true; });
});
addEventListener("afterprint", () => unfolded.forEach((one) => { one.open = false; }));
