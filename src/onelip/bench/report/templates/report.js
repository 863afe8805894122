(() => {
  "use strict";

  // Tables: a heading that is pressed sorts by its column; pressed again, the other way round.
  const missing = Symbol("missing");
  const sortValue = (cell, isNumber) => {
    const text = cell.firstChild ? cell.firstChild.textContent.trim() : "";
    if (text === "" || text === "\u2014") return missing;
    if (!isNumber) return text;
    const number = text.startsWith("inf") ? Infinity : Number.parseFloat(text.replace(/[,\u00d7]/g, ""));
    return Number.isNaN(number) ? missing : number;
  };
  const compare = (one, other) =>
    typeof one === "number" ? one - other : one.localeCompare(other, undefined, { numeric: true });
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      while (heading.firstChild) button.append(heading.firstChild);
      heading.append(button);
      button.addEventListener("click", () => {
        const upwards = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", upwards ? "ascending" : "descending");
        const isNumber = heading.classList.contains("number");
        const lines = [...body.rows].map((row) => [sortValue(row.cells[column], isNumber), row]);
        lines.sort(([one], [other]) => {
          // What is missing stays last, whichever way round.
          if (one === missing || other === missing) return (one === missing) - (other === missing);
          return (upwards ? 1 : -1) * compare(one, other);
        });
        body.append(...lines.map(([, row]) => row));
      });
    });
  }

  // On paper nothing can be opened: what is closed is open while it is printed.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
})();
