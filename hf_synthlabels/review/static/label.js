// The label page: one row after the other, by keys.

import { call, Refused } from "./api.js";
import { announce, button, count, h, interval, markTall, percent, shown, writes } from "./dom.js";
import { makeEditor } from "./editors.js";
import { LABEL_KEYS, plainKey } from "./keys.js";

export class LabelPage {
  constructor(app) {
    this.app = app;
    this.ahead = [];
    this.current = null;
    this.last = null;
    this.skippedOnly = false;
    this.strip = h("div", { class: "strip" });
    this.stats = h("div", { class: "stats" });
    this.work = h("section", { class: "work", "aria-label": "Row" });
    this.element = h("div", { class: "label-page" }, h("div", { class: "left" }, this.stats, this.work, this.strip), this.guide());
  }

  async enter() {
    this.progress(this.app.progress);
    if (this.current) this.draw();
    else await this.advance();
  }

  guide() {
    const { setup } = this.app;
    const parts = [h("h2", {}, "Guidelines"), h("p", { class: "instructions", dir: "auto" }, setup.instructions)];
    const spelt = setup.definitions.some(Boolean) && ["token-classification"].includes(setup.kind);
    if (spelt) {
      parts.push(h("dl", {}, setup.names.flatMap((name, place) => [h("dt", {}, name), h("dd", { dir: "auto" }, setup.definitions[place])])));
    }
    parts.push(
      setup.guidelines
        ? h("div", { class: "guideline", dir: "auto" }, setup.guidelines)
        : h("p", { class: "faint" }, "The recipe has no guidelines. Add them as ", h("code", {}, "task.guidelines"), "."),
    );
    this.aside = h("aside", { class: "guide", tabindex: "0", "aria-label": "Guidelines" }, parts);
    this.aside.hidden = localStorage.getItem("review-guide") === "closed";
    return this.aside;
  }

  async advance() {
    if (!this.ahead.length && !this.skippedOnly) await this.fetch();
    this.current = this.ahead.shift() ?? null;
    this.draw();
    if (this.ahead.length < 2 && this.current && !this.skippedOnly) this.fetch().catch((error) => this.app.fail(error));
  }

  // Rows are fetched ahead, so that the next one is there at once.
  async fetch() {
    const held = () => [...this.ahead.map((row) => row.row), ...(this.current ? [this.current.row] : []), ...this.app.outbox.rows];
    const { rows } = await call("next", { annotator: this.app.annotator, held: held() });
    const known = new Set(held());
    this.ahead.push(...rows.filter((row) => !known.has(row.row)));
  }

  draw() {
    this.note = null;
    if (!this.current) {
      this.editor = null;
      this.work.replaceChildren(this.nothing());
      return;
    }
    const row = this.current;
    this.began = performance.now();
    const control = this.control(row);
    const texts = row.parts.map((part) => this.part(part, row.parts.length));
    this.noteBox = h("div", { class: "note", hidden: !row.note });
    this.note = h("textarea", { rows: 2, id: "note", dir: "auto" });
    this.note.value = row.note;
    this.noteBox.append(h("label", { for: "note" }, "Note"), this.note);
    this.hint = h("div", { class: "suggestion", hidden: true });
    this.work.replaceChildren(
      h("div", { class: "row-head" }, h("h1", {}, `Row ${row.row.toLocaleString("en")}`), row.mine ? h("span", { class: "tag" }, wasSkipped(row.mine) ? "skipped before" : "labeled before") : null),
      ...texts,
      control,
      this.noteBox,
      this.hint,
      h("div", { class: "commands" }, this.commands()),
    );
    markTall(this.work);
    announce(`Row ${row.row}`);
    this.focusControl();
  }

  // What the annotator answers with.
  control(row) {
    this.editor = makeEditor(this.app.setup, row, (value) => this.decide(value));
    if (row.mine) this.editor.set(row.mine.value);
    return this.editor.element;
  }

  focusControl() {
    if (["text-scale", "text-generation"].includes(this.app.setup.kind)) this.editor.focus();
    else document.getElementById("view").focus({ preventScroll: true });
  }

  commands() {
    return [
      button("Skip", "s", () => this.skip()),
      button("Undo", "u", () => this.undo(), { class: "undo" }),
      button("Note", "n", () => this.openNote()),
      this.app.setup.blind ? null : button("Show LLM label", "l", () => this.show()),
      button("Guidelines", "g", () => this.toggleGuide(), { "aria-expanded": String(!this.aside.hidden) }),
    ];
  }

  part(part, number) {
    const text = part.marked && this.editor.passage ? this.editor.passage.element : h("div", { class: "text", dir: "auto", tabindex: "0", role: "group", "aria-label": part.name }, part.text);
    if (!part.text.trim()) text.replaceChildren(h("em", { class: "faint" }, "No text"));
    return h("div", { class: "part" }, number > 1 ? h("h2", { class: "part-name" }, part.name) : null, text);
  }

  nothing() {
    const { setup, progress } = this.app;
    if (!setup.queue) {
      return h("div", { class: "empty" }, h("h1", {}, "No rows to label"), h("p", {}, `All ${setup.labeled_before.toLocaleString("en")} sampled rows already have a human label in the column “${setup.human}”. Restart with --relabel to label them again.`));
    }
    const skipped = progress?.skipped ?? 0;
    return h(
      "div",
      { class: "empty" },
      h("h1", {}, skipped ? "All rows are labeled or skipped" : "All rows are labeled"),
      h("p", {}, `You labeled ${count(progress?.labeled ?? 0, "row")}${skipped ? ` and skipped ${skipped}` : ""}. `, "Export the labels with ", h("code", {}, "hf-synthlabels review export"), ", or adjudicate disagreements."),
      h(
        "div",
        { class: "commands" },
        skipped ? button(`Label ${count(skipped, "skipped row")}`, "s", () => this.again(), { class: "confirm" }) : null,
        button("Undo", "u", () => this.undo()),
        button("Adjudicate", null, () => (location.hash = "#adjudicate")),
      ),
    );
  }

  async again() {
    const { rows } = await call("skipped", { annotator: this.app.annotator });
    this.ahead = rows;
    this.skippedOnly = true;
    await this.advance();
    this.skippedOnly = this.ahead.length > 0;
  }

  decide(value) {
    if (!this.current) return;
    const row = this.current;
    this.last = { row: row.row, value, llm: undefined };
    this.current = null;
    this.drawStrip();
    this.app.outbox.add({
      annotator: this.app.annotator,
      row: row.row,
      digest: row.digest,
      value,
      note: this.note.value,
      seconds: (performance.now() - this.began) / 1000,
    });
    this.advance().catch((error) => this.app.fail(error));
  }

  skip() {
    if (this.current) this.decide(null);
  }

  async undo() {
    if (this.app.outbox.decisions.length) await this.app.outbox.send();
    try {
      const answer = await call("undo", { annotator: this.app.annotator });
      this.ahead = this.ahead.filter((row) => row.row !== answer.row.row);
      if (this.current && this.current.row !== answer.row.row) this.ahead.unshift(this.current);
      this.current = answer.row;
      this.last = null;
      this.drawStrip();
      this.app.moved(answer.progress);
      this.draw();
      announce(`Undone: row ${answer.row.row}`);
    } catch (error) {
      if (error instanceof Refused) announce(error.message);
      this.app.fail(error);
    }
  }

  openNote() {
    if (!this.current) return;
    this.noteBox.hidden = false;
    this.note.focus();
  }

  async show() {
    if (!this.current || this.app.setup.blind) return;
    const { row } = this.current;
    try {
      const llm = await call("show", { annotator: this.app.annotator, row });
      if (this.current?.row !== row) return;
      this.hint.hidden = false;
      this.hint.replaceChildren(h("strong", {}, "LLM: "), ...this.llmWords(llm), h("p", { class: "faint" }, "The decision is stored with a mark that you saw this label."));
      announce(`LLM: ${shown(llm.label)}`);
    } catch (error) {
      this.app.fail(error);
    }
  }

  llmWords(llm) {
    const words = [h("bdi", {}, llm.label === null && llm.status ? `(${llm.status})` : shown(llm.label))];
    if (llm.confidence !== null) words.push(h("span", { class: "faint" }, ` confidence ${percent(llm.confidence)}`));
    if (llm.reason) words.push(h("p", { class: "reason", dir: "auto" }, llm.reason));
    return words;
  }

  toggleGuide() {
    this.aside.hidden = !this.aside.hidden;
    localStorage.setItem("review-guide", this.aside.hidden ? "closed" : "open");
    this.work.querySelector("[aria-expanded]")?.setAttribute("aria-expanded", String(!this.aside.hidden));
  }

  // The server has stored a decision.
  stored(decision, answer) {
    if (this.last && this.last.row === decision.row) {
      this.last.llm = answer.decided.llm;
      this.last.kept = true;
      this.drawStrip();
    }
    this.app.moved(answer.progress);
    if (!this.current && !this.ahead.length && location.hash.slice(1) !== "adjudicate") this.draw();
  }

  refused(decision, error) {
    this.app.fail(new Refused(`Row ${decision.row} was not stored: ${error.message}`));
    call("row", { annotator: this.app.annotator, row: decision.row }).then((row) => {
      if (this.current) this.ahead.unshift(this.current);
      this.current = { ...row, mine: this.asMine(decision.value), note: decision.note };
      this.draw();
    });
  }

  asMine(value) {
    return { value, skipped: false };
  }

  drawStrip() {
    if (!this.last) {
      this.strip.replaceChildren();
      return;
    }
    const { row, value, llm, kept } = this.last;
    const mine = value === null ? "skipped" : shown(value);
    const same = llm ? (llm.same ? h("span", { class: "same" }, "✓ same") : h("span", { class: "differs" }, "≠ differs")) : null;
    this.strip.replaceChildren(
      h("span", { class: "faint" }, `Row ${row.toLocaleString("en")}: `),
      h("span", {}, "you: ", h("bdi", { class: "clip" }, mine)),
      ...(llm ? [h("span", {}, "LLM: ", h("bdi", { class: "clip" }, llm.label === null && llm.status ? `(${llm.status})` : shown(llm.label))), same] : []),
      h("span", { class: "faint" }, kept ? "stored" : "…"),
    );
  }

  progress(now) {
    if (!now) return;
    const { setup } = this.app;
    const done = now.labeled + now.skipped;
    const share = now.rows ? done / now.rows : 1;
    const left = now.seconds && now.open ? ` · ${duration(now.seconds * now.open)} left` : "";
    const agreement = now.agreement;
    this.stats.replaceChildren(
      h(
        "div",
        { class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": String(now.rows), "aria-valuenow": String(done), "aria-label": "Rows labeled or skipped" },
        fill(share),
      ),
      h(
        "p",
        { class: "stat-line" },
        h("span", {}, h("b", {}, now.labeled.toLocaleString("en")), ` of ${count(now.rows, "row")} labeled${now.skipped ? ` · ${now.skipped} skipped` : ""}${left}`),
        setup.blind || !agreement || agreement.estimate === null
          ? h("span", { class: "faint" }, setup.blind ? "LLM labels are hidden" : agreement ? "LLM agreement: after the first label" : "")
          : h(
              "span",
              { title: `${Math.round(100 * agreement.level)}% interval (${agreement.method}), valid whenever you look or stop; of ${count(agreement.n, "row")} with human labels, weighted by the inverse inclusion probability` },
              now.measure === "token F1" ? "token F1 of the LLM " : "LLM agreement ",
              h("b", {}, interval(agreement, 2)),
              h("span", { class: "faint" }, ` n = ${agreement.n.toLocaleString("en")}`),
              now.mean_error === null ? null : h("span", {}, ` · mean absolute error `, h("b", {}, interval(now.mean_error, 2))),
            ),
      ),
    );
  }

  key(event) {
    if (writes(event.target)) {
      if (event.key === "Escape") event.target.blur();
      else if (event.key === "Enter" && event.target === this.note && (event.ctrlKey || event.metaKey)) event.target.blur();
      else if (event.key === "Enter" && event.target === this.editor?.input) return false;
      return event.key === "Escape";
    }
    // A command that has the focus is what Enter is for.
    if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.matches("a, button:not(.label)")) return false;
    const key = plainKey(event);
    const commands = { s: () => (this.current ? this.skip() : this.again()), u: () => this.undo(), n: () => this.openNote(), l: () => this.show(), g: () => this.toggleGuide() };
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (commands[key]) commands[key]();
    else if (this.editor && !event.repeat && this.editor.key(event)) return true;
    else if (this.editor && event.repeat && event.key.startsWith("Arrow")) return this.editor.key(event);
    else return false;
    return true;
  }

  help() {
    const { setup } = this.app;
    const most = LABEL_KEYS.slice(0, Math.max(setup.names.length, setup.numbers?.length ?? 0));
    const named = setup.names.length || setup.numbers ? [[most.length > 1 ? `${most[0]} … ${most.at(-1)}` : most[0] ?? "", setup.kind === "multi-label" ? "select or clear a label" : setup.kind === "token-classification" ? "label the selection" : "choose a label"]] : [];
    const spans = ["token-classification", "question-answering"].includes(setup.kind)
      ? [["← →", "move by one word"], ["Shift ← →", "extend the selection"], ["Alt Shift ← →", "move the end by one character"], ["Del", "remove the entity"], ["Esc", "clear the selection"]]
      : [];
    const confirm = setup.kind === "text-generation" ? [["Ctrl Enter", "confirm"]] : [["Enter", "confirm"]];
    return [...named, ...spans, ...confirm, ["s", "skip the row"], ["u or Ctrl z", "undo"], ["n", "write a note; Esc ends it"], ...(setup.blind ? [] : [["l", "show the LLM label; this is recorded"]]), ["g", "show or hide the guidelines"]];
  }
}

function wasSkipped({ skipped }) {
  return Array.isArray(skipped) ? skipped.length > 0 : skipped;
}

function fill(share) {
  const line = h("div", { class: "fill" });
  line.style.width = `${100 * share}%`;
  return line;
}

function duration(seconds) {
  if (seconds < 90) return "about a minute";
  return seconds < 5400 ? `about ${Math.round(seconds / 60)} min` : `about ${(seconds / 3600).toFixed(1)} h`;
}
