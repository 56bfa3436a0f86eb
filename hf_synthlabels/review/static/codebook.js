// The label page of a codebook: a row with all its variables, one below the other. Keys go to the variable in focus.

import { call } from "./api.js";
import { announce, button, count, h, markTall, shown, writes } from "./dom.js";
import { makeEditor } from "./editors.js";
import { plainKey } from "./keys.js";
import { LabelPage } from "./label.js";

// Kinds whose label may be empty: an empty list is an answer once it is confirmed.
const LISTS = ["multi-label", "token-classification"];

// One variable of the row: its instructions, its labels, and the answer so far.
class VariableCard {
  constructor(page, setup, row) {
    Object.assign(this, { page, setup, row, name: setup.variable, applies: !setup.condition, skipped: false, confirmed: false });
    const chooses = ["text-classification", "text-pair"].includes(setup.kind) || Boolean(setup.numbers);
    this.isList = LISTS.includes(setup.kind);
    this.writes = setup.kind === "text-generation" || (setup.kind === "text-scale" && !setup.numbers);
    this.editor = makeEditor(setup, row, () => {
      this.skipped = false;
      page.focused = this;
      // A choice is made at once; the button of any other kind confirms like the key Enter.
      if (chooses) page.refresh();
      else page.confirm();
    });
    for (const control of this.editor.element.querySelectorAll("button")) control.tabIndex = -1;
    this.state = h("span", { class: "variable-state" });
    this.suggestion = h("div", { class: "suggestion", hidden: true });
    const id = `variable-${this.name}`;
    this.body = h("div", { class: "variable-body" }, this.editor.element, this.suggestion);
    this.element = h(
      "section",
      { class: `variable${setup.numbers ? " numbers" : ""}`, role: "group", tabindex: "0", "aria-labelledby": id, onfocusin: () => page.enterCard(this), onclick: () => page.enterCard(this) },
      h("div", { class: "variable-head" }, h("h2", { id }, h("bdi", {}, this.name)), setup.scale ? h("span", { class: "faint" }, `${setup.scale.low} to ${setup.scale.high}`) : null, this.state),
      setup.instructions ? h("p", { class: "variable-instructions", dir: "auto" }, setup.instructions) : null,
      setup.condition ? h("p", { class: "variable-condition faint" }, `Only if ${setup.condition.variable} is ${setup.condition.labels.join(" or ")}.`) : null,
      this.body,
    );
  }

  // The label; null for a skip, and undefined without an answer.
  value() {
    if (this.skipped) return null;
    const value = this.editor.value();
    return this.isList && !value.length && !this.confirmed ? undefined : value;
  }

  set({ value, skipped, confirmed }) {
    if (value !== undefined && value !== null) this.editor.set(value);
    this.notice();
    this.skipped = Boolean(skipped);
    this.confirmed = Boolean(confirmed);
  }

  // Another label takes a skip back.
  notice() {
    const content = JSON.stringify(this.editor.value() ?? null);
    if (this.content !== undefined && content !== this.content) Object.assign(this, { skipped: false, confirmed: false });
    this.content = content;
  }

  holds(value) {
    return Array.isArray(value) ? value.some((name) => this.setup.condition.labels.includes(name)) : this.setup.condition.labels.includes(value);
  }

  draw() {
    const value = this.value();
    const answered = this.applies && value !== undefined;
    this.element.classList.toggle("moot", !this.applies);
    this.element.classList.toggle("answered", answered);
    this.element.classList.toggle("focused", this.page.focused === this);
    this.element.classList.toggle("may-be-empty", this.isList && value === undefined);
    this.element.tabIndex = this.applies ? 0 : -1;
    if (this.applies) this.element.removeAttribute("aria-disabled");
    else this.element.setAttribute("aria-disabled", "true");
    this.body.hidden = !this.applies;
    this.state.textContent = !this.applies ? "does not apply" : this.skipped ? "skipped" : answered ? `✓ ${this.isList && !value.length ? "none" : "answered"}` : "";
  }

  focus() {
    (this.writes ? this.editor.input : this.element).focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }
}

export class CodebookPage extends LabelPage {
  constructor(app) {
    super(app);
    this.cards = [];
    this.element.classList.add("codebook-page");
    for (const name of ["click", "input", "mouseup"]) this.work.addEventListener(name, () => this.current && this.refresh());
    new ResizeObserver(() => this.work.style.setProperty("--texts", `${this.texts?.offsetHeight ?? 0}px`)).observe(this.work);
  }

  guide() {
    const { setup } = this.app;
    const guided = setup.variables.filter(({ guidelines }) => guidelines);
    const parts = [h("h2", {}, "Guidelines"), setup.instructions ? h("p", { class: "instructions", dir: "auto" }, setup.instructions) : null];
    for (const { variable, guidelines } of guided) parts.push(h("h3", {}, variable), h("div", { class: "guideline", dir: "auto" }, guidelines));
    if (!guided.length) parts.push(h("p", { class: "faint" }, "The variables have no guidelines. Add them in the recipe as ", h("code", {}, "guidelines"), " of a variable."));
    this.aside = h("aside", { class: "guide", tabindex: "0", "aria-label": "Guidelines" }, parts.filter(Boolean));
    this.aside.hidden = localStorage.getItem("review-guide") === "closed";
    return this.aside;
  }

  draw() {
    this.cards = [];
    this.focused = null;
    this.texts = null;
    super.draw();
    if (!this.current) return;
    // The texts stay in sight above the variables.
    this.texts = h("div", { class: "texts" });
    const parts = [...this.work.querySelectorAll(":scope > .part")];
    parts[0]?.before(this.texts);
    this.texts.append(...parts);
    markTall(this.work);
    this.refresh();
    this.focusControl();
  }

  control(row) {
    this.cards = this.app.setup.variables.map((setup) => new VariableCard(this, setup, row));
    const draft = this.draft(row);
    if (draft) row.note = draft.note;
    for (const card of this.cards) {
      const mine = draft ? draft.answers[card.name] : row.mine && this.answerOf(row.mine, card.name);
      if (mine) card.set(mine);
    }
    return h("div", { class: "variables" }, this.cards.map((card) => card.element));
  }

  answerOf({ value, skipped }, name) {
    return { value: value?.[name], skipped: skipped.includes(name), confirmed: Array.isArray(value?.[name]) };
  }

  part(part, number) {
    const text = h("div", { class: "text", dir: "auto", tabindex: "0", role: "group", "aria-label": part.name }, part.text);
    if (!part.text.trim()) text.replaceChildren(h("em", { class: "faint" }, "No text"));
    const slot = h("div", {}, text);
    if (part.marked) Object.assign(this, { slot, plainText: text });
    return h("div", { class: "part" }, number > 1 ? h("h2", { class: "part-name" }, part.name) : null, slot);
  }

  commands() {
    return [
      button("Save and next", "Enter", () => this.confirm(), { class: "confirm save" }),
      button("Skip variable", "s", () => this.skipVariable()),
      button("Skip row", "Shift s", () => this.skip()),
      button("Undo", "u", () => this.undo(), { class: "undo" }),
      button("Note", "n", () => this.openNote()),
      this.app.setup.blind ? null : button("Show LLM label", "l", () => this.show()),
      button("Guidelines", "g", () => this.toggleGuide(), { "aria-expanded": String(!this.aside.hidden) }),
    ];
  }

  focusControl() {
    const first = this.cards.find((card) => card.applies && card.value() === undefined) ?? this.cards[0];
    // The texts are placed after the rest.
    if (!first || !this.texts) return;
    first.focus();
    if (first === this.cards[0]) window.scrollTo(0, 0);
  }

  enterCard(card) {
    if (this.focused === card || !card.applies || !this.texts) return;
    this.focused = card;
    this.showPassage();
    this.refresh();
  }

  // The passage in which the variable in focus marks its spans.
  showPassage() {
    if (!this.slot) return;
    const element = this.focused?.editor.passage?.element ?? this.plainText;
    if (this.slot.firstChild === element) return;
    this.slot.replaceChildren(element);
    markTall(this.work);
  }

  // Which variables apply, by the answers so far.
  refresh() {
    const byName = Object.fromEntries(this.cards.map((card) => [card.name, card]));
    for (const card of this.cards) {
      card.notice();
      const { condition } = card.setup;
      const parent = condition && byName[condition.variable];
      card.applies = !condition || (parent.applies && card.holds(parent.value()));
    }
    for (const card of this.cards) card.draw();
    this.keepDraft();
  }

  get missing() {
    return this.cards.filter((card) => card.applies && card.value() === undefined);
  }

  // Enter: an empty list in focus is confirmed; the row is saved when all variables have an answer.
  confirm() {
    if (!this.current) return;
    const card = this.focused;
    if (card?.isList && card.value() === undefined) card.confirmed = true;
    this.refresh();
    const [next] = this.missing;
    if (next) {
      if (next === card) announce(`${next.name} has no answer yet`);
      next.focus();
      return;
    }
    const answers = this.cards.filter((each) => each.applies).map((each) => [each.name, each.value()]);
    this.decide(Object.fromEntries(answers));
  }

  decide(value) {
    if (this.current) localStorage.removeItem(this.draftPlace(this.current));
    super.decide(value);
  }

  skipVariable() {
    if (!this.current) {
      this.again();
      return;
    }
    const card = this.focused;
    if (!card?.applies) return;
    card.skipped = !card.skipped;
    announce(`${card.name} ${card.skipped ? "skipped" : "not skipped"}`);
    this.refresh();
  }

  // The answers to a row that is not saved yet are kept in the browser.
  draftPlace({ row }) {
    return `review-draft-${this.app.setup.store}-${this.app.annotator}-${row}`;
  }

  keepDraft() {
    if (!this.current || !this.texts) return;
    const answers = this.cards.map((card) => [card.name, { value: card.editor.value(), skipped: card.skipped, confirmed: card.confirmed }]);
    localStorage.setItem(this.draftPlace(this.current), JSON.stringify({ digest: this.current.digest, note: this.note.value, answers: Object.fromEntries(answers) }));
  }

  draft(row) {
    const draft = JSON.parse(localStorage.getItem(this.draftPlace(row)) ?? "null");
    return draft?.digest === row.digest ? draft : null;
  }

  asMine(value) {
    const entries = Object.entries(value ?? {});
    return { value: Object.fromEntries(entries.filter(([, label]) => label !== null)), skipped: entries.filter(([, label]) => label === null).map(([name]) => name) };
  }

  async show() {
    const card = this.focused;
    if (!this.current || !card || this.app.setup.blind) return;
    try {
      const llm = await call("show", { annotator: this.app.annotator, variable: card.name, row: this.current.row });
      card.suggestion.hidden = false;
      card.suggestion.replaceChildren(h("strong", {}, "LLM: "), ...this.llmWords(llm), h("p", { class: "faint" }, "The decision is stored with a mark that you saw this label."));
      announce(`LLM: ${shown(llm.label)}`);
    } catch (error) {
      this.app.fail(error);
    }
  }

  drawStrip() {
    if (!this.last) {
      this.strip.replaceChildren();
      return;
    }
    const { row, value, llm, kept } = this.last;
    const labels = Object.values(value ?? {}).filter((label) => label !== null);
    const compared = Object.entries(llm ?? {}).map(([name, each]) =>
      h("span", { class: each.same ? "same" : "differs" }, `${each.same ? "✓" : "≠"} ${name}`, each.same ? "" : h("span", { class: "faint" }, ` LLM: ${each.label === null && each.status ? `(${each.status})` : shown(each.label)}`)),
    );
    this.strip.replaceChildren(
      h("span", { class: "faint" }, `Row ${row.toLocaleString("en")}: `),
      h("span", {}, labels.length ? count(labels.length, "label") : "skipped"),
      ...compared,
      h("span", { class: "faint" }, kept ? "stored" : "…"),
    );
  }

  // From variable to variable; false where the browser's own order goes on.
  move(step, from = this.focused) {
    const applicable = this.cards.filter((card) => card.applies);
    const next = applicable[applicable.indexOf(from) + step];
    if (!from || !next) return false;
    next.focus();
    return true;
  }

  tab(event) {
    const step = event.shiftKey ? -1 : 1;
    const save = this.work.querySelector(".save");
    if (event.target === save && step < 0) this.cards.filter((card) => card.applies).at(-1)?.focus();
    else if (event.target.closest(".variable")) {
      if (this.move(step)) return true;
      if (step < 0) return false;
      save.focus();
    } else if (event.target.closest(".texts") && step > 0) (this.focused ?? this.cards[0]).focus();
    else return false;
    return true;
  }

  key(event) {
    const { target } = event;
    if (!this.current) return super.key(event);
    if (event.key === "Tab" && this.work.contains(target) && !event.ctrlKey && !event.altKey) return this.tab(event);
    if (writes(target)) {
      if (event.key === "Escape" && target !== this.note) this.focused?.element.focus({ preventScroll: true });
      else if (event.key === "Escape" || (event.key === "Enter" && target === this.note && (event.ctrlKey || event.metaKey))) this.focusControl();
      else return false;
      return true;
    }
    if (event.key === "Enter" && target instanceof HTMLElement && target.matches("a, button:not(.label)")) return false;
    const key = event.shiftKey && event.key.toLowerCase() === "s" ? "Shift s" : plainKey(event);
    const commands = { Enter: () => this.confirm(), ArrowDown: () => this.move(1), ArrowUp: () => this.move(-1), s: () => this.skipVariable(), "Shift s": () => this.skip(), u: () => this.undo(), n: () => this.openNote(), l: () => this.show(), g: () => this.toggleGuide() };
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (commands[key]) commands[key]();
    else return this.answer(event);
    return true;
  }

  // A key for the variable in focus.
  answer(event) {
    const card = this.focused;
    if (!card?.applies || (event.repeat && !event.key.startsWith("Arrow"))) return false;
    const taken = card.editor.key(event);
    if (taken) this.refresh();
    return taken;
  }

  help() {
    return [["Tab or ↓", "next variable"], ["Shift Tab or ↑", "previous variable"], ["1 2 …", "choose a label of the variable in focus"], ["Enter", "confirm; save the row when all variables have an answer"], ["← →", "in a passage: move by one word, with Shift select"], ["s", "skip the variable"], ["Shift s", "skip the row"], ["u or Ctrl z", "undo the last row"], ["n", "write a note; Esc ends it"], ["Esc", "leave a text field"], ...(this.app.setup.blind ? [] : [["l", "show the LLM label of the variable; this is recorded"]]), ["g", "show or hide the guidelines"]];
  }
}
