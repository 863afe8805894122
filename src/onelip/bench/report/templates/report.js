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

  // The recommender: the rules of `onelip recommend`, over the numbers in this page.
  const source = document.getElementById("choices");
  if (!source) return;
  const choices = JSON.parse(source.textContent);
  const form = document.getElementById("question");
  const fields = new Map([...form.querySelectorAll("input[data-key]")].map((input) => [input.dataset.key, input]));
  const higher = (key) => fields.get(key).dataset.higher === "true";
  const shown = (key, value) => {
    const { scale, unit } = fields.get(key).dataset;
    const number = value / Number(scale);
    return `${unit === "%" ? number.toFixed(1) : Number(number.toPrecision(3))} ${unit}`;
  };

  const limitsOf = () => {
    const found = [];
    for (const [key, input] of fields) {
      const text = input.value.trim();
      const { scale, unit } = input.dataset;
      if (text !== "") found.push({ key, limit: unit === "%" ? Number(text) / 100 : Number(text) * Number(scale) });
    }
    return found;
  };

  const judge = (choice, { key, limit }) => {
    const number = choice.numbers[key];
    if (!number) return { key, status: "unknown", margin: null };
    const inside = (higher(key) ? 1 : -1) * (number[0] - limit);
    const margin = fields.get(key).dataset.unit === "%" ? inside : inside / limit;
    return { key, status: margin >= 0 ? "meets" : "fails", margin };
  };

  const order = { meets: 0, unknown: 1, fails: 2 };

  const answer = (objective, limits, orthogonal, data, batch) => {
    const sign = higher(objective) ? -1 : 1;
    const ranked = choices
      .filter((choice) => choice.data === data && choice.batch === batch)
      .map((choice) => {
        const judged = limits.map((limit) => judge(choice, limit));
        if (orthogonal) {
          const status = choice.orthogonal === null ? "unknown" : choice.orthogonal ? "meets" : "fails";
          judged.push({ key: "orthogonal", status, margin: null });
        }
        const sought = choice.numbers[objective];
        const found = new Set(judged.map((one) => one.status));
        if (!sought) found.add("unknown");
        const status = found.has("fails") ? "fails" : found.has("unknown") ? "unknown" : "meets";
        const failed = judged.filter((one) => one.status === "fails").length;
        return { choice, judged, sought, status, failed };
      });
    const place = (one) => (one.sought ? sign * one.sought[0] : Infinity);
    const merit = ({ choice: { numbers } }, key) => (numbers[key] ? (higher(key) ? -1 : 1) * numbers[key][0] : Infinity);
    const weighed = ["cra36", "train_time", ...limits.map(({ key }) => key)];
    ranked.sort(
      (one, other) =>
        order[one.status] - order[other.status] ||
        one.failed - other.failed ||
        place(one) - place(other) ||
        weighed.map((key) => merit(one, key) - merit(other, key)).find(Boolean) ||
        (one.choice.label < other.choice.label ? -1 : 1),
    );
    return ranked;
  };

  const apart = (objective, one, other) =>
    higher(objective) ? one.sought[1] > other.sought[2] : one.sought[2] < other.sought[1];

  const headline = (objective, ranked) => {
    const fitting = ranked.filter((one) => one.status === "meets");
    const named = (one) => `${one.choice.label} (${shown(objective, one.sought[0])})`;
    if (!fitting.length) {
      const unknown = ranked.find((one) => one.status === "unknown");
      if (!unknown) return "Nothing meets everything.";
      const key = [objective, ...unknown.judged.map((one) => one.key)].find((one) => unknown.choice.missing[one]);
      const why = key ? ` Of ${unknown.choice.label} ${fields.get(key).dataset.title.toLowerCase()} is not known: ` : "";
      return `Nothing is known to meet everything.${why && `${why}${unknown.choice.missing[key]}.`}`;
    }
    const best = fitting[0];
    const seen = new Set([best.choice.method]);
    const tied = fitting.filter((one) => {
      if (seen.has(one.choice.method)) return false;
      seen.add(one.choice.method);
      return !apart(objective, best, one);
    });
    if (!tied.length) return `Take ${named(best)}.`;
    return `${named(best)} comes first, but the data do not tell it apart from ${tied.map(named).join(", ")}.`;
  };

  const marginText = ({ status, margin }, isShare) => {
    if (margin === 0) return "meets it exactly";
    if (margin < -1) return `fails, ${Number((1 - margin).toPrecision(3))} times the limit`;
    const by = 100 * Math.abs(margin);
    const [least, unit] = isShare ? [0.1, " points"] : [1, "%"];
    const size = by < least ? `less than ${least}` : isShare ? by.toFixed(1) : String(Math.round(by));
    return `${status} by ${size}${unit}`;
  };

  const norms = { meets: "keeps norms", unknown: "not known to keep norms", fails: "keeps no norms" };
  const words = { meets: "meets all", unknown: "not all known", fails: "fails" };
  const table = document.getElementById("ranking");
  const body = table.tBodies[0];
  const said = document.getElementById("answer");

  const show = () => {
    const isWrong = (input) =>
      !input.checkValidity() || (input.dataset.higher !== "true" && input.value !== "" && Number(input.value) === 0);
    const wrong = [...fields.values()].find(isWrong);
    if (wrong) {
      const { title, unit } = wrong.dataset;
      said.textContent = `${title}: ${unit === "%" ? "a share from 0 to 100 %" : "a number above 0"} is needed.`;
      return;
    }
    for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
    const objective = form.elements.objective.value;
    const limits = limitsOf();
    const { orthogonal, data, batch } = form.elements;
    const ranked = answer(objective, limits, orthogonal.checked, data.value, Number(batch.value));
    said.textContent = headline(objective, ranked);
    body.replaceChildren(
      ...ranked.map((one) => {
        const row = document.createElement("tr");
        if (one.status === "fails") row.className = "yardstick";
        const cell = (text, kind = "td") => {
          const made = document.createElement(kind);
          made.textContent = text;
          row.append(made);
          return made;
        };
        cell(one.choice.label, "th").scope = "row";
        cell(one.sought ? shown(objective, one.sought[0]) : "\u2014").className = "number";
        const notes = one.judged.map((judged) => {
          if (judged.key === "orthogonal") return norms[judged.status];
          const field = fields.get(judged.key).dataset;
          if (judged.margin === null) return `${field.title} not known: ${one.choice.missing[judged.key] ?? ""}`;
          const value = shown(judged.key, one.choice.numbers[judged.key][0]);
          return `${field.title} ${value}, ${marginText(judged, field.unit === "%")}`;
        });
        cell(notes.join("; ") || "\u2014");
        cell(words[one.status]);
        row.dataset.method = one.choice.method;
        row.dataset.status = one.status;
        return row;
      }),
    );
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  show();
})();
