// The adjudicate page: rows with different labels, the most informative first.

import { call } from "./api.js";
import { announce, button, h, kbd, markTall, percent, shown, writes } from "./dom.js";
import { makeEditor } from "./editors.js";
import { plainKey } from "./keys.js";
import { Passage } from "./passage.js";

const VIEWS = [
  ["open", "Open", "Rows on which annotators, or annotators and the LLM, disagree, and that are not adjudicated yet."],
  ["people", "Annotators disagree", "Rows on which annotators disagree."],
  ["llm", "LLM disagrees", "Rows on which the annotators agree and the LLM disagrees."],
  ["draws", "LLM uncertain", "Sampled rows without a human label on which the LLM was uncertain."],
  ["settled", "Adjudicated", "Adjudicated rows, most recent first."],
  ["examples", "Examples", "Rows chosen as few-shot examples, most recent first."],
];

const EMPTY = {
  open: "There are no disagreements.",
  people: "Annotators agree on all rows that several labeled.",
  llm: "The LLM agrees with the annotators on all labeled rows.",
  draws: "The LLM was certain of all unlabeled rows, or the data have no confidence.",
  settled: "No row has been adjudicated yet.",
  examples: "No row has been chosen as an example. Press e to choose the open row.",
};

export class AdjudicatePage {
  constructor(app) {
    this.app = app;
    this.show = "open";
    this.pattern = "";
    this.page = null;
    this.at = -1;
    this.filters = h("div", { class: "filters", role: "group", "aria-label": "Rows to show" });
    this.list = h("div", { class: "cases" });
    this.detail = h("section", { class: "work", "aria-label": "Row" });
    this.element = h("div", { class: "adjudicate-page" }, h("div", { class: "side" }, this.filters, this.list), this.detail);
  }

  async enter() {
    // The report page may have chosen another variable.
    if (this.shown !== this.app.variable) this.at = -1;
    this.shown = this.app.variable;
    const asked = location.hash.match(/^#adjudicate\/(\d+)$/);
    await this.load();
    if (asked) await this.openRow(Number(asked[1]));
    else if (this.at < 0 && this.page.rows.length) await this.select(0);
    else if (!this.page.rows.length) this.drawCase(null);
  }

  async load(offset = 0) {
    this.page = await call("disagreements", { ...this.app.caller, show: this.show, pattern: this.pattern, offset });
    this.draw();
  }

  async change(view) {
    this.show = view;
    this.pattern = "";
    this.at = -1;
    this.case = null;
    await this.load();
    if (this.page.rows.length) await this.select(0);
    else this.drawCase(null);
  }

  draw() {
    const { counts, patterns, rows, total, offset } = this.page;
    const hidden = this.page.hidden;
    const filters = VIEWS.filter(([view]) => !hidden || !["llm", "draws"].includes(view)).map(([view, title, meaning]) =>
      h("button", { type: "button", class: "chip", "aria-pressed": String(view === this.show), title: meaning, onclick: () => this.change(view).catch((error) => this.app.fail(error)) }, title, h("span", { class: "chip-count" }, counts[view].toLocaleString("en"))),
    );
    const select = h(
      "select",
      { "aria-label": "Kind of disagreement", onchange: () => this.only(select.value) },
      h("option", { value: "" }, "all disagreements"),
      patterns.map(({ name, rows: number }) => h("option", { value: name }, `${name} (${number.toLocaleString("en")})`)),
    );
    select.value = this.pattern;
    const blind = h("p", { class: "faint blind" }, "LLM labels are hidden until you have labeled all rows.");
    const variables = this.app.variableChoice(() => this.change(this.show));
    this.filters.replaceChildren(variables, ...filters, hidden ? blind : "", patterns.length > 1 || this.pattern ? select : "");
    const entries = rows.map((row, place) =>
      h(
        "button",
        { type: "button", class: "case", "aria-current": place === this.at ? "true" : null, onclick: () => this.select(place).catch((error) => this.app.fail(error)) },
        h("span", { class: "case-head" }, h("b", {}, row.pattern || (row.how === "adjudicated" ? `adjudicated: ${row.human}` : `LLM: ${row.llm}`)), h("span", { class: "faint" }, ` row ${row.row.toLocaleString("en")}${row.example ? " ★" : ""}`)),
        h("span", { class: "case-text", dir: "auto" }, row.text || "(no text)"),
      ),
    );
    const more = [
      offset > 0 ? button("Earlier", null, () => this.turn(Math.max(0, offset - 50))) : null,
      offset + rows.length < total ? button(`Next of ${total.toLocaleString("en")}`, null, () => this.turn(offset + rows.length)) : null,
    ];
    this.list.replaceChildren(...entries, h("div", { class: "commands" }, more.filter(Boolean)));
  }

  async only(pattern) {
    this.pattern = pattern;
    this.at = -1;
    await this.load();
    if (this.page.rows.length) await this.select(0);
  }

  async turn(offset) {
    this.at = -1;
    await this.load(offset);
    await this.select(0);
  }

  async select(place) {
    if (!this.page.rows[place]) return;
    this.at = place;
    for (const [number, entry] of this.list.querySelectorAll(".case").entries()) {
      if (number === place) entry.setAttribute("aria-current", "true");
      else entry.removeAttribute("aria-current");
    }
    this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    await this.openRow(this.page.rows[place].row);
  }

  async openRow(row) {
    this.drawCase(await call("case", { ...this.app.caller, row }));
  }

  // The labels of the annotators and of the LLM, each different label once.
  candidates(found) {
    const all = found.votes.map((vote) => ({ who: vote.annotator, value: vote.value, note: vote.note, shown: vote.llm_shown }));
    const llm = found.llm_label === null ? [] : [{ who: "LLM", value: found.llm_label, confidence: found.llm_confidence, note: found.llm_reason ?? "" }];
    const groups = new Map();
    for (const vote of [...all, ...llm]) {
      const same = JSON.stringify(vote.value);
      groups.set(same, [...(groups.get(same) ?? []), vote]);
    }
    return [...groups.values()];
  }

  drawCase(found) {
    this.case = found;
    this.editor = null;
    this.detail.classList.remove("choosing");
    if (!found) {
      this.detail.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "No rows"), h("p", {}, EMPTY[this.show])));
      return;
    }
    this.groups = this.candidates(found);
    this.passage = null;
    const parts = found.parts.map((part) => this.part(part, found.parts.length));
    const options = this.groups.map((votes, place) => this.candidate(votes, place, found));
    const noLabel = found.llm_label === null && !found.hidden ? h("p", { class: "faint" }, `No label by the LLM${found.llm_status ? `: ${found.llm_status}` : ""}.`) : null;
    this.note = h("textarea", { rows: 2, id: "why", dir: "auto" });
    this.note.value = found.decided?.note ?? "";
    this.other = h("div", { class: "other", hidden: true });
    this.detail.replaceChildren(
      h(
        "div",
        { class: "row-head" },
        h("h1", {}, `Row ${found.row.toLocaleString("en")}`),
        found.pattern ? h("span", { class: "tag" }, found.pattern) : null,
        found.decided ? h("span", { class: "tag settled" }, `adjudicated by ${found.decided.by}`) : null,
        found.example ? h("span", { class: "tag example" }, "★ example") : null,
      ),
      ...parts,
      h("div", { class: "candidates", role: "group", "aria-label": "Labels given" }, options),
      ...(noLabel ? [noLabel] : []),
      this.other,
      h("div", { class: "note" }, h("label", { for: "why" }, "Reason (optional)"), this.note),
      h(
        "div",
        { class: "commands" },
        button("Another label", "o", () => this.open()),
        button(found.example ? "Remove example" : "Use as example", "e", () => this.example(), { disabled: found.value === null }),
        found.decided ? button("Reopen", "u", () => this.reopen()) : null,
        button("Next", "j", () => this.step(1)),
        button("Previous", "k", () => this.step(-1)),
      ),
      found.votes.length && !found.hidden ? h("p", { class: "faint why" }, `Surprise of the human labels under the LLM: ${found.bits.toFixed(1)} bits${found.chance ? `. The row represents ${(1 / found.chance).toFixed(1)} rows` : ""}.`) : "",
    );
    markTall(this.detail);
    announce(`Row ${found.row} ${found.pattern}`);
  }

  part(part, number) {
    let text;
    if (part.marked) {
      this.passage = new Passage(part.text, { name: part.name, colours: (label) => String(Math.max(0, this.app.variable.names.indexOf(label)) % 8), chosen: () => {} });
      text = this.passage.element;
      this.preview(this.groups[0]?.[0].value);
    } else text = h("div", { class: "text", dir: "auto", tabindex: "0", role: "group", "aria-label": part.name }, part.text || h("em", { class: "faint" }, "No text"));
    return h("div", { class: "part" }, number > 1 ? h("h2", { class: "part-name" }, part.name) : null, text);
  }

  preview(value) {
    if (!this.passage || !value) return;
    const spans = Array.isArray(value) ? value : value.start >= 0 ? [{ ...value, end: value.start + [...value.text].length, label: "answer" }] : [];
    this.passage.show(spans);
  }

  candidate(votes, place, found) {
    const decided = found.decided && JSON.stringify(found.value) === JSON.stringify(votes[0].value);
    const notes = votes.filter((vote) => vote.note).map((vote) => h("span", { class: "candidate-note", dir: "auto" }, `${vote.who}: ${vote.note}`));
    const who = votes.map((vote) => `${vote.who}${vote.shown ? " (saw the LLM label)" : ""}${vote.confidence !== undefined && vote.confidence !== null ? ` ${percent(vote.confidence)}` : ""}`);
    return h(
      "button",
      { type: "button", class: "candidate", "aria-pressed": String(Boolean(decided)), "aria-keyshortcuts": String(place + 1), onclick: () => this.decide(votes[0].value), onfocus: () => this.preview(votes[0].value), onmouseenter: () => this.preview(votes[0].value) },
      kbd(String(place + 1)),
      h("span", { class: "candidate-words" }, h("bdi", { class: "candidate-label" }, shown(votes[0].value)), h("span", { class: "faint" }, who.join(", ")), notes),
    );
  }

  open() {
    if (!this.case) return;
    this.editor = makeEditor(this.app.variable, this.case, (value) => this.decide(value));
    if (this.case.value !== null) this.editor.set(this.case.value);
    this.other.hidden = false;
    // The digits are now those of the labels below.
    this.detail.classList.add("choosing");
    const passage = this.editor.passage ? [this.editor.passage.element] : [];
    this.other.replaceChildren(h("h2", {}, "Another label"), ...passage, this.editor.element);
    this.editor.focus();
    this.other.scrollIntoView({ block: "nearest" });
  }

  async act(name, more) {
    try {
      const answer = await call(name, { ...this.app.caller, row: this.case.row, ...more });
      this.page.counts = answer.counts;
      return answer.case;
    } catch (error) {
      this.app.fail(error);
      return null;
    }
  }

  async decide(value) {
    const found = await this.act("adjudicate", { value, note: this.note.value });
    if (!found) return;
    announce(`Decided: ${shown(value)}`);
    const place = this.at;
    if (this.show === "settled" || this.show === "examples" || place < 0) {
      this.draw();
      this.drawCase(found);
      return;
    }
    // The row leaves the list, so the next one takes its place.
    await this.load(this.page.offset);
    this.at = -1;
    if (this.page.rows.length) await this.select(Math.min(place, this.page.rows.length - 1));
    else this.drawCase(null);
  }

  async reopen() {
    if (!this.case?.decided) return;
    const found = await this.act("reopen", {});
    if (found) {
      this.draw();
      this.drawCase(found);
    }
  }

  async example() {
    if (!this.case || this.case.value === null) return;
    const found = await this.act("example", { chosen: !this.case.example });
    if (!found) return;
    const entry = this.page.rows.find((row) => row.row === found.row);
    if (entry) entry.example = found.example;
    this.draw();
    this.drawCase(found);
    announce(found.example ? "Chosen as an example" : "Example removed");
  }

  step(by) {
    const place = Math.min(this.page.rows.length - 1, Math.max(0, this.at + by));
    this.select(place).catch((error) => this.app.fail(error));
  }

  key(event) {
    if (writes(event.target)) {
      if (event.key !== "Escape") return false;
      event.target.blur();
      return true;
    }
    const key = plainKey(event);
    if (this.editor) {
      if (event.key === "Escape" && !this.editor.passage?.selected) {
        this.editor = null;
        this.other.hidden = true;
        this.detail.classList.remove("choosing");
        return true;
      }
      if (event.target instanceof HTMLButtonElement && event.key === "Enter" && !event.target.matches(".label")) return false;
      return this.editor.key(event);
    }
    const commands = { j: () => this.step(1), k: () => this.step(-1), ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), o: () => this.open(), e: () => this.example(), u: () => this.reopen(), n: () => this.note?.focus() };
    if (event.target.matches?.(".text") && key.startsWith("Arrow")) return false;
    if (commands[key]) commands[key]();
    else if (/^[1-9]$/.test(key) && this.groups?.[Number(key) - 1] && this.case) this.decide(this.groups[Number(key) - 1][0].value);
    else return false;
    return true;
  }

  help() {
    return [["1 2 …", "choose that label"], ["o", "choose another label; Esc goes back"], ["e", "use the row as an example"], ["u", "reopen the row"], ["n", "write a reason; Esc ends it"], ["j or ↓", "next row"], ["k or ↑", "previous row"]];
  }
}
