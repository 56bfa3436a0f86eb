// The report page: confusion matrix, scores with intervals, and the rows behind each number.

import { call } from "./api.js";
import { button, count, h, interval } from "./dom.js";

const POLL_MS = 400;

// A matrix of more labels has the full width, and leaves out the labels that do not occur.
const MOST_BESIDE = 8;

function occurring({ names, counts }) {
  const used = names.map((_, at) => counts[at].some(Boolean) || counts.some((row) => row[at]));
  const kept = names.length > MOST_BESIDE ? names.map((_, at) => at).filter((at) => used[at]) : names.map((_, at) => at);
  const columns = [...kept, names.length];
  return { names: kept.map((at) => names[at]), counts: kept.map((at) => columns.map((to) => counts[at][to])), left: names.length - kept.length };
}

export class ReadPage {
  constructor(app) {
    this.app = app;
    this.scores = h("section", { class: "card wide", "aria-label": "Scores" });
    this.people = h("section", { class: "card", "aria-label": "Inter-annotator agreement" });
    this.matrix = h("section", { class: "card", "aria-label": "Confusion matrix" });
    this.rows = h("section", { class: "card wide rows", "aria-label": "Rows", hidden: true });
    const variables = app.variableChoice(() => {
      this.rows.hidden = true;
      return this.enter();
    });
    this.variables = variables;
    this.element = h("div", { class: "read-page" }, variables, this.matrix, this.people, this.rows, this.scores);
  }

  async enter() {
    clearTimeout(this.timer);
    if (this.variables) this.variables.value = this.app.variable.variable;
    const report = await call("report", this.app.caller);
    this.draw(report);
    if (report.state === "working") this.timer = setTimeout(() => location.hash === "#read" && this.enter(), POLL_MS);
  }

  draw(report) {
    if (report.state === "hidden") {
      this.matrix.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "LLM labels are hidden"), h("p", {}, "The report compares human labels with LLM labels. It opens when you have labeled all rows, or with ", h("code", {}, "--show-llm"), "."), button("Label", null, () => (location.hash = "#label"), { class: "confirm" })));
      this.scores.hidden = true;
      this.drawPeople(report.agreement);
      return;
    }
    if (report.state === "none") {
      this.matrix.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "No labels yet"), h("p", {}, "The report compares human labels with LLM labels. Label some rows first."), button("Label", null, () => (location.hash = "#label"), { class: "confirm" })));
      this.scores.hidden = this.people.hidden = true;
      return;
    }
    this.scores.hidden = false;
    if (report.matrix) this.drawMatrix(report);
    else this.drawDifferences(report);
    this.drawScores(report);
    this.drawPeople(report.agreement);
  }

  drawMatrix({ matrix, labeled }) {
    const { names, counts, left } = occurring(matrix);
    this.matrix.classList.toggle("wide", names.length > MOST_BESIDE);
    const without = counts.every((row) => row.at(-1) === 0);
    const across = without ? names : [...names, null];
    const most = Math.max(1, ...counts.flat());
    const said = (name) => (name === null ? "(no label)" : name);
    const head = h("tr", {}, h("td", { class: "corner" }, h("span", {}, "human ↓"), h("span", {}, "LLM →")), across.map((name) => h("th", { scope: "col", title: said(name) }, h("span", { class: "turned" }, h("bdi", {}, said(name))))), h("th", { scope: "col", class: "sum" }, h("span", { class: "turned" }, "all")));
    const body = names.map((name, at) =>
      h(
        "tr",
        {},
        h("th", { scope: "row", title: name }, h("bdi", {}, name)),
        across.map((other, to) => this.cell(counts[at][to], most, name, other)),
        h("td", { class: "sum" }, counts[at].reduce((sum, number) => sum + number, 0).toLocaleString("en")),
      ),
    );
    this.matrix.replaceChildren(
      h("h1", {}, "Confusion matrix"),
      h("p", { class: "faint" }, `${count(labeled, "row")} with human labels, unweighted. Select a number to see its rows.${left ? ` ${count(left, "label")} without any row ${left === 1 ? "is" : "are"} left out.` : ""}`),
      h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Confusion matrix" }, h("table", { class: "matrix" }, h("thead", {}, head), h("tbody", {}, body))),
    );
  }

  cell(number, most, human, llm) {
    const right = human === llm;
    const cell = h("td", { class: right ? "right" : number ? "wrong" : "" });
    cell.style.setProperty("--share", String(number ? 0.12 + 0.88 * Math.sqrt(number / most) : 0));
    if (number && number / most > 0.3) cell.classList.add("strong");
    cell.append(
      number
        ? h("button", { type: "button", class: "count", "aria-label": `${number} rows: human ${human}, LLM ${llm ?? "no label"}`, onclick: () => this.open(human, llm) }, number.toLocaleString("en"))
        : h("span", { class: "zero" }, "·"),
    );
    return cell;
  }

  drawDifferences({ differences, labeled, same }) {
    const lines = differences.map(({ name, rows }) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, name)), h("td", { class: "figure" }, h("button", { type: "button", class: "count", "aria-label": `${rows} rows: ${name}`, onclick: () => this.open(name) }, rows.toLocaleString("en")))));
    this.matrix.replaceChildren(
      h("h1", {}, "Disagreements"),
      h("p", { class: "faint" }, `${count(labeled, "row")} with human labels; the LLM agrees on ${same.toLocaleString("en")}. Select a number to see its rows.`),
      lines.length ? h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Differences" }, h("table", { class: "plain-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "difference"), h("th", { scope: "col", class: "figure" }, "rows"))), h("tbody", {}, lines))) : h("p", {}, "There are no disagreements."),
    );
  }

  drawScores(report) {
    const busy = report.state === "working" ? h("p", { class: "faint", role: "status" }, "Computing intervals for the latest labels …") : null;
    if (report.state === "failed") {
      this.scores.replaceChildren(h("h2", {}, "Scores"), h("p", {}, report.error));
      return;
    }
    if (!report.scores) {
      this.scores.replaceChildren(h("h2", {}, "Scores"), busy);
      return;
    }
    const level = `${Math.round(100 * report.level)}% interval`;
    const lines = report.scores.map((score) => h("tr", {}, h("th", { scope: "row" }, score.name), h("td", { class: "figure" }, interval(score)), h("td", { class: "figure" }, score.n.toLocaleString("en")), h("td", { class: "faint" }, score.method)));
    const classes = report.classes.filter((each) => each.support + each.predicted).map((each) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, each.name)), h("td", { class: "figure" }, each.support.toLocaleString("en")), h("td", { class: "figure" }, each.predicted.toLocaleString("en")), ...["precision", "recall", "f1"].map((part) => h("td", { class: "figure" }, interval(each[part], 2)))));
    const table = (columns, body, label) => h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, h("table", { class: "plain-table" }, h("thead", {}, h("tr", {}, columns.map(([title, figure]) => h("th", { scope: "col", class: figure ? "figure" : "" }, title)))), h("tbody", {}, body)));
    this.scores.replaceChildren(
      h("h2", {}, `Scores of “${this.app.variable.llm}” against human labels`),
      ...(busy ? [busy] : []),
      table([["score"], [level, true], ["n", true], ["method"]], lines, "Scores"),
      ...(classes.length ? [h("h2", {}, "Scores by class"), table([["label"], ["human n", true], ["LLM n", true], ["precision", true], ["recall", true], ["F1", true]], classes, "Scores by class")] : []),
      ...report.notes.map((note) => h("p", { class: "faint" }, note)),
    );
  }

  drawPeople(found) {
    this.people.hidden = !found;
    if (!found) return;
    if (!found.n) {
      this.people.replaceChildren(h("h2", {}, "Inter-annotator agreement"), h("p", { class: "faint" }, "No row has labels from two annotators yet. A second annotator can label under another name."));
      return;
    }
    const lines = found.pairs.map((pair) => h("tr", {}, h("th", { scope: "row" }, `${pair.first} and ${pair.second}`), h("td", { class: "figure" }, pair.n.toLocaleString("en")), h("td", { class: "figure" }, pair.same.toFixed(3)), h("td", { class: "figure" }, pair.kappa === null ? "–" : pair.kappa.toFixed(3))));
    this.people.replaceChildren(
      h("h2", {}, "Inter-annotator agreement"),
      h("p", {}, "Krippendorff's alpha ", h("b", {}, found.alpha === null ? "undefined" : found.alpha.toFixed(3)), h("span", { class: "faint" }, ` (${found.scale}, ${count(found.n, "row")} with two labels or more)`)),
      h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Pairs of annotators" }, h("table", { class: "plain-table" }, h("thead", {}, h("tr", {}, ["pair", "rows", "same label", "Cohen's kappa"].map((title, at) => h("th", { scope: "col", class: at ? "figure" : "" }, title)))), h("tbody", {}, lines))),
    );
  }

  async open(human, llm = null, offset = 0) {
    try {
      const found = await call("cell", { ...this.app.caller, human, llm, offset });
      const named = Boolean(this.app.variable.names.length) && !human.includes(" ") ? `human ${human}, LLM ${llm ?? "(no label)"}` : human;
      const entries = found.rows.map((row) => h("a", { class: "case", href: `#adjudicate/${row.row}` }, h("span", { class: "case-head" }, h("b", {}, `Row ${row.row.toLocaleString("en")}`), h("span", { class: "faint" }, ` human: ${row.human ?? "disputed"} · LLM: ${row.llm}`)), h("span", { class: "case-text", dir: "auto" }, row.text || "(no text)")));
      this.rows.hidden = false;
      this.rows.replaceChildren(
        h("div", { class: "row-head" }, h("h2", { tabindex: "-1" }, `${count(found.total, "row")}: ${named}`), button("Close", null, () => (this.rows.hidden = true), { class: "plain" })),
        h("div", { class: "cases" }, entries),
        h("div", { class: "commands" }, ...[offset ? button("Earlier", null, () => this.open(human, llm, Math.max(0, offset - 50))) : null, offset + found.rows.length < found.total ? button("Next", null, () => this.open(human, llm, offset + found.rows.length)) : null].filter(Boolean)),
      );
      this.rows.querySelector("h2").focus({ preventScroll: true });
      this.rows.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.app.fail(error);
    }
  }

  key(event) {
    if (event.key !== "Escape" || this.rows.hidden) return false;
    this.rows.hidden = true;
    return true;
  }

  help() {
    return [["Tab", "go from number to number"], ["Enter", "see the rows of a number"], ["Esc", "close the rows"]];
  }
}
