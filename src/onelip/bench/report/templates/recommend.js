(() => {
  "use strict";

  // The recommender: the rules and the words of `onelip recommend`, over the numbers in this page.
  const source = document.getElementById("choices");
  if (!source) return;
  const { choices, units } = JSON.parse(source.textContent);
  const form = document.getElementById("question");
  const fields = new Map([...form.querySelectorAll("input[data-key]")].map((input) => [input.dataset.key, input]));
  const about = (key) => fields.get(key).dataset;
  const higher = (key) => about(key).higher === "true";

  // Numbers are rounded as Python rounds them: what lies halfway goes to the even digit.
  const fixed = (number, digits) => {
    const exact = number.toFixed(100);
    const end = exact.indexOf(".") + (digits ? 1 + digits : 0);
    const down = exact.slice(0, end);
    return /^\.?50*$/.test(exact.slice(end)) && /[02468]$/.test(down) ? down : number.toFixed(digits);
  };
  const threeDigits = (number) => {
    const rounded = number.toExponential(2);
    return Number(rounded) === 0 ? "0" : fixed(number, Math.max(0, 2 - Number(rounded.split("e")[1])));
  };
  const shown = (key, value) => {
    const { kind } = about(key);
    if (kind === "share") return `${fixed(100 * value, 1)} %`;
    if (kind === "ratio") return `\u00d7${fixed(value, 2)}`;
    const [scale, unit] = units[kind].find(([least]) => value >= least) ?? units[kind].at(-1);
    return `${threeDigits(value / scale)} ${unit}`;
  };
  const spread = (key, [, low, high]) => {
    const [from, to] = [shown(key, low), shown(key, high)];
    if (from === to) return "";
    const unit = ` ${to.split(" ").at(-1)}`;
    return `${from.endsWith(unit) ? from.slice(0, -unit.length) : from} to ${to}`;
  };
  const joined = (parts) =>
    parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;

  const limitsOf = () => {
    const found = [];
    for (const [key, input] of fields) {
      const text = input.value.trim();
      const { scale, unit } = input.dataset;
      if (text !== "") found.push({ key, limit: unit === "%" ? Number(text) / 100 : Number(text) * Number(scale) });
    }
    return found;
  };

  const [WITHIN, FEW] = ["within its spread", "of too few samples"];

  // A number keeps to its limit for sure where its whole spread lies on the same side, and is of enough samples.
  const judge = (choice, { key, limit }) => {
    const number = choice.numbers[key];
    const settled = choice.settled.includes(key);
    if (!number) return { key, status: settled ? "fails" : "unknown", margin: null, sure: settled };
    const [value, low, high, , , few] = number;
    const sign = higher(key) ? 1 : -1;
    const margin = (sign * (value - limit)) / (about(key).kind === "share" ? 1 : limit);
    const kept = margin >= 0;
    const edge = (sign > 0) === kept ? low : high;
    const sure = !few && (sign * (edge - limit) >= 0) === kept;
    return { key, status: kept ? "meets" : "fails", margin, sure, doubt: sure ? "" : few ? FEW : WITHIN };
  };
  const keepsNorms = ({ orthogonal }) => {
    const status = orthogonal === null ? "unknown" : orthogonal ? "meets" : "fails";
    return { key: "orthogonal", status, margin: null, sure: orthogonal !== null };
  };

  const order = { meets: 0, unknown: 1, fails: 2 };

  const answer = ({ objective, limits, orthogonal, data, batch }) => {
    const sign = higher(objective) ? -1 : 1;
    const ranked = choices
      .filter((choice) => choice.data === data && choice.batch === batch)
      .map((choice) => {
        const judged = limits.map((limit) => judge(choice, limit));
        if (orthogonal) judged.push(keepsNorms(choice));
        const sought = choice.numbers[objective];
        const found = new Set(judged.map((one) => one.status));
        const settled = choice.settled.includes(objective);
        if (!sought) found.add(settled ? "fails" : "unknown");
        // What failed as it was trained is no choice.
        if (!choice.trained) found.add("fails");
        const status = found.has("fails") ? "fails" : found.has("unknown") ? "unknown" : "meets";
        const failed = judged.filter((one) => one.status === "fails").length + settled;
        return { choice, judged, sought, status, failed };
      });
    const place = (one) => (one.sought ? sign * one.sought[0] : Infinity);
    const merit = ({ choice: { numbers } }, key) => (numbers[key] ? (higher(key) ? -1 : 1) * numbers[key][0] : Infinity);
    const weighed = ["cra36", "train_time", ...limits.map(({ key }) => key)];
    ranked.sort(
      (one, other) =>
        other.choice.trained - one.choice.trained ||
        order[one.status] - order[other.status] ||
        one.failed - other.failed ||
        place(one) - place(other) ||
        weighed.map((key) => merit(one, key) - merit(other, key)).find(Boolean) ||
        (one.choice.label < other.choice.label ? -1 : 1),
    );
    return ranked;
  };

  // Shares by the interval of the difference, as of two independent numbers; others where their spreads do not meet.
  const apart = (objective, one, other) => {
    const [better, worse] = higher(objective) ? [one.sought, other.sought] : [other.sought, one.sought];
    const [[above, low, , lowest, , few], [below, , high, , highest, fewer]] = [better, worse];
    if (few || fewer) return false;
    if (about(objective).kind !== "share") return low > high && lowest > highest;
    return above - below > Math.sqrt((above - low) ** 2 + (high - below) ** 2) && lowest > highest;
  };

  // The best of each method.
  const perMethod = (ranked) => {
    const seen = new Set();
    return ranked.filter(({ choice }) => !seen.has(choice.method) && seen.add(choice.method));
  };

  // That it certifies nothing to speak of must be said where certified accuracy was not asked for.
  const constant = ({ choice }, { objective, limits }) =>
    !choice.learned && ![objective, ...limits.map((limit) => limit.key)].some((key) => key.startsWith("cra"));
  const CONSTANT = "certifies no more than a constant answer";

  // Which limits the best keeps to by its number, but not by all of its spread.
  const doubt = ({ judged }, whose) => {
    const titles = judged.filter((one) => one.status === "meets" && !one.sure).map((one) => about(one.key).name);
    return titles.length ? `; ${whose(joined(titles))} may not meet the limit${titles.length > 1 ? "s" : ""}` : "";
  };
  const open = ({ judged }) => judged.filter((one) => one.status !== "meets");
  const isOut = ({ status, sure }) => status === "fails" && sure;
  const mayMeet = (one) => one.choice.trained && one.sought && !open(one).some(isOut);
  const nameOf = (key) => (key === "orthogonal" ? "promise to keep norms" : about(key).name);
  const measure = ({ choice }, { key }) => {
    if (!choice.numbers[key]) return `${nameOf(key)} not known`;
    const parts = [`${about(key).name} ${shown(key, choice.numbers[key][0])}`, spread(key, choice.numbers[key])];
    return [...parts, "measured"].filter(Boolean).join(", ");
  };

  // Of each method the best choice that would come first if what is open of it turned out to fit, or would be tied.
  const meritOf = (objective, { sought }) => (higher(objective) ? -1 : 1) * sought[0];
  const rivalsOf = ({ objective }, ranked, tied) => {
    const [best] = tied;
    const methods = tied.map((one) => one.choice.method);
    const isFirst = (one) => meritOf(objective, one) < meritOf(objective, best);
    const isNear = (one) => isFirst(one) || !(methods.includes(one.choice.method) || apart(objective, best, one));
    const near = ranked.filter((one) => one.status !== "meets" && mayMeet(one) && isNear(one));
    return perMethod(near.sort((one, other) => meritOf(objective, one) - meritOf(objective, other)));
  };

  // The methods that may keep to all limits, and of which what is sought is not known.
  const unsoughtOf = ({ objective }, ranked) => {
    const isSettled = ({ choice, sought }) => !sought && choice.settled.includes(objective);
    const left = ranked.filter((one) => one.choice.trained && !isSettled(one) && !one.judged.some(isOut));
    const known = new Set(left.filter(({ sought }) => sought).map(({ choice }) => choice.method));
    return [...new Set(left.filter(({ choice }) => !known.has(choice.method)).map(({ choice }) => choice.title))];
  };

  // The best of those that miss limits within their spread; those of which all is known come before others.
  const possibleOf = (ranked) => {
    const near = ranked.filter((one) => one.status === "fails" && mayMeet(one));
    const unknown = near.map((one) => open(one).filter(({ status }) => status === "unknown").length);
    return near[unknown.indexOf(Math.min(...unknown))];
  };

  const headline = (question, ranked) => {
    const { objective } = question;
    const named = (one) => {
      const parts = [`${about(objective).name} ${shown(objective, one.sought[0])}`, spread(objective, one.sought)];
      const note = constant(one, question) ? `; ${CONSTANT}` : "";
      return `${one.choice.label} (${[...parts, "measured"].filter(Boolean).join(", ")}${note})`;
    };
    const [best, ...others] = perMethod(ranked.filter((one) => one.status === "meets"));
    if (best) {
      const tied = others.filter((one) => !apart(objective, best, one));
      const rivals = rivalsOf(question, ranked, [best, ...tied]);
      const unsought = unsoughtOf(question, ranked);
      const alone = new Set(ranked.filter((one) => one.choice.trained).map((one) => one.choice.method)).size === 1;
      if (!tied.length && !alone && !rivals.length && !unsought.length) {
        const doubted = doubt(best, (titles) => `its ${titles}`);
        return doubted ? `${named(best)} comes first${doubted}.` : `Take ${named(best)}.`;
      }
      const why = tied.length
        ? `, but the data do not tell it apart from ${joined(tied.map(named))}`
        : alone
          ? ", and no other method is there to compare it with"
          : rivals.length
            ? " of what is known to fit"
            : " of what is known";
      const doubted = doubt(best, (titles) => `the ${titles} of ${best.choice.label}`);
      const [rival] = rivals;
      const fit = rival ? joined(open(rival).map(({ key }) => nameOf(key))) : "";
      const isFirst = rival && meritOf(objective, rival) < meritOf(objective, best);
      const where = isFirst ? "come before it" : "not be told apart from it";
      const before = rival ? `; ${named(rival)} would ${where}, if its ${fit} turned out to fit` : "";
      const dark = unsought.length ? `; the ${about(objective).name} of ${joined(unsought)} is not known` : "";
      return `${named(best)} comes first${why}${doubted}${before}${dark}.`;
    }
    const unknown = perMethod(ranked).filter((one) => one.status === "unknown");
    const names = unknown.slice(0, 3).map((one) => one.choice.label);
    if (unknown.length > 3) names.push(`${unknown.length - 3} more`);
    const notKnown = `not all that was asked for is known of ${names.join("; ")}`;
    const near = possibleOf(ranked);
    if (near) {
      const missed = open(near).map((one) => measure(near, one));
      const more = unknown.length ? `, and ${notKnown}` : "";
      return `Nothing surely meets everything; ${near.choice.label} may (${joined(missed)})${more}.`;
    }
    if (unknown.length) return `Nothing is known to meet everything; ${notKnown}.`;
    if (ranked.length && !ranked[0].choice.trained) return "No training came to its end.";
    const keys = [objective, ...question.limits.map(({ key }) => key)];
    const isConstant = ({ choice }) => keys.some((key) => choice.settled.includes(key));
    const trained = ranked.filter(({ choice }) => choice.trained);
    if (trained.length && trained.every(isConstant)) return "No network certifies more than a constant answer.";
    return ranked.length ? "Nothing meets everything." : "There is nothing to choose from.";
  };

  // Of other numbers of images at a time it may be known.
  const elsewhere = (choice, key) => {
    const known = choices.filter((one) => one.label === choice.label && one.data === choice.data && one.numbers[key]);
    const batches = [...new Set(known.map((one) => one.batch))];
    return batches.length ? `; it is known of ${joined(batches)} inferred at a time` : "";
  };

  // Of what reaches beyond its limit, and why numbers are missing, each reason once.
  const doubts = ({ objective }, ranked) => {
    const missing = new Map();
    const trained = ranked.filter((one) => one.choice.trained);
    const networks = (title) => trained.filter(({ choice }) => choice.title === title).length;
    for (const { choice, judged, sought } of trained) {
      const isLacking = ({ key, status, margin }) => status === "unknown" || (key !== "orthogonal" && margin === null);
      const lacking = judged.filter(isLacking).map(({ key }) => key);
      for (const key of new Set(sought ? lacking : [...lacking, objective])) {
        const title = nameOf(key);
        const why = `${choice.missing[key] ?? "not known"}${elsewhere(choice, key)}`;
        const lead = JSON.stringify([title, why]);
        const counts = missing.get(lead) ?? new Map();
        missing.set(lead, counts.set(choice.title, (counts.get(choice.title) ?? 0) + 1));
      }
    }
    const said = [...missing].map(([lead, counts]) => {
      const [title, why] = JSON.parse(lead);
      const names = (isWhole) =>
        [...counts].filter(([name, count]) => (count === networks(name)) === isWhole).map(([name]) => name);
      const [whole, parts] = [names(true), names(false)];
      const of = [joined(whole), parts.length ? `some networks of ${joined(parts)}` : ""].filter(Boolean);
      return `No ${title} of ${joined(of)}: ${why}.`;
    });
    const best = ranked[0]?.status === "meets" ? ranked[0].judged.filter((one) => !one.sure) : [];
    const beyond = best.map(({ key, doubt: why }) => {
      const reason = why === WITHIN ? "the spread reaches beyond" : "it is of too few samples";
      return `Its ${about(key).name} meets the limit, but ${reason}.`;
    });
    return [...said, ...beyond];
  };

  const marginText = ({ status, margin }, isShare) => {
    if (margin === 0) return "meets it exactly";
    if (margin < -1) return `fails, ${threeDigits(1 - margin)} times the limit`;
    const by = 100 * Math.abs(margin);
    const [least, unit] = isShare ? [0.1, " points"] : [1, "%"];
    return `${status} by ${by < least ? `less than ${least}` : fixed(by, isShare ? 1 : 0)}${unit}`;
  };

  const norms = { meets: "keeps norms", unknown: "not known to keep norms", fails: "keeps no norms" };
  const noteOf = ({ choice }, judged) => {
    const why = choice.missing[judged.key] ? `: ${choice.missing[judged.key]}` : "";
    if (judged.key === "orthogonal") return `${norms[judged.status]}${why}`;
    const { title, kind } = about(judged.key);
    if (judged.margin === null) return judged.status === "fails" ? `${title}${why}` : `${title} not known${why}`;
    const value = shown(judged.key, choice.numbers[judged.key][0]);
    const around = spread(judged.key, choice.numbers[judged.key]);
    const said = [marginText(judged, kind === "share"), around, judged.doubt];
    return `${title} ${value}, ${said.filter(Boolean).join(", ")}`;
  };

  const words = { meets: "meets all", unknown: "not all known", fails: "fails" };
  const rowOf = (one, question) => {
    const row = document.createElement("tr");
    if (one.status === "fails") row.className = "yardstick";
    const cell = (kind, text, note = "") => {
      const made = document.createElement(kind);
      made.textContent = text;
      if (note) made.append(" ", Object.assign(document.createElement("small"), { textContent: note }));
      row.append(made);
      return made;
    };
    const { objective } = question;
    cell("th", one.choice.label).scope = "row";
    const sought = one.sought ? [shown(objective, one.sought[0]), spread(objective, one.sought)] : ["\u2014"];
    cell("td", ...sought).className = "number";
    cell("td", one.judged.map((judged) => noteOf(one, judged)).join("; ") || "\u2014");
    cell("td", one.choice.trained ? words[one.status] : "training failed", constant(one, question) ? CONSTANT : "");
    row.dataset.method = one.choice.method;
    row.dataset.status = one.status;
    return row;
  };

  const table = document.getElementById("ranking");
  const said = document.getElementById("answer");
  const beneath = document.getElementById("doubts");

  // What stood there before would be taken for the answer to what is asked now.
  const refuse = (wrong) => {
    const { title, unit } = wrong.dataset;
    said.textContent = `${title}: ${unit === "%" ? "a share from 0 to 100 %" : "a number above 0"} is needed.`;
    beneath.replaceChildren();
    table.tBodies[0].replaceChildren();
  };

  const show = () => {
    const isWrong = (input) =>
      !input.checkValidity() || (input.dataset.higher !== "true" && input.value !== "" && Number(input.value) === 0);
    for (const input of fields.values()) {
      if (isWrong(input)) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
    for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
    const wrong = [...fields.values()].find(isWrong);
    if (wrong) return refuse(wrong);
    const { objective, orthogonal, data, batch } = form.elements;
    const question = {
      objective: objective.value,
      limits: limitsOf(),
      orthogonal: orthogonal.checked,
      data: data.value,
      batch: Number(batch.value),
    };
    const ranked = answer(question);
    said.textContent = headline(question, ranked);
    const lines = doubts(question, ranked);
    beneath.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
    table.tBodies[0].replaceChildren(...ranked.map((one) => rowOf(one, question)));
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  show();
})();
