// A text in which spans are marked, by mouse or by keys. Places are counted in characters as Python counts them, so that
// an emoji is one; the browser counts it as two.

import { h } from "./dom.js";

const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;

export class Passage {
  constructor(text, { name, colours, chosen }) {
    this.text = text;
    this.colours = colours;
    this.chosen = chosen;
    this.marks = [];
    this.range = null;
    this.cursor = -1;
    this.pairs = [...text.matchAll(PAIR)].map((match) => match.index);
    this.element = h("div", {
      class: "text passage",
      dir: "auto",
      tabindex: "0",
      role: "group",
      "aria-label": `${name}. Arrow keys go from word to word, with Shift they select.`,
      onmouseup: () => this.take(),
    });
    this.draw();
  }

  // From the browser's count to Python's, and back.
  toPython(place) {
    let before = 0;
    while (before < this.pairs.length && this.pairs[before] < place) before += 1;
    return place - before;
  }

  fromPython(place) {
    let found = place;
    for (const pair of this.pairs) {
      if (pair < found) found += 1;
      else break;
    }
    return found;
  }

  show(marks) {
    this.marks = marks
      .map((mark) => ({ ...mark, from: this.fromPython(mark.start), to: this.fromPython(mark.end) }))
      .sort((one, other) => one.from - other.from);
    this.draw();
  }

  // What is selected, as a span; null for nothing.
  get selected() {
    if (!this.range) return null;
    const [from, to] = this.range;
    return { start: this.toPython(from), end: this.toPython(to), text: this.text.slice(from, to) };
  }

  clear() {
    this.range = null;
    this.draw();
  }

  draw() {
    const cuts = new Set([0, this.text.length]);
    for (const mark of this.marks) cuts.add(mark.from).add(mark.to);
    if (this.range) cuts.add(this.range[0]).add(this.range[1]);
    const places = [...cuts].sort((one, other) => one - other);
    const pieces = [];
    for (let at = 0; at + 1 < places.length; at += 1) {
      const [from, to] = [places[at], places[at + 1]];
      const mark = this.marks.find((other) => other.from <= from && to <= other.to);
      const selected = this.range && this.range[0] <= from && to <= this.range[1];
      const text = this.text.slice(from, to);
      if (!mark && !selected) pieces.push(document.createTextNode(text));
      else {
        pieces.push(
          h(
            "mark",
            {
              class: [selected ? "selected" : "", mark?.class ?? ""].join(" ").trim(),
              "data-label": mark && to === mark.to ? mark.label : null,
              "data-colour": mark ? this.colours(mark.label) : null,
            },
            text,
          ),
        );
      }
    }
    this.element.replaceChildren(...pieces);
  }

  // What the mouse selected, without the white space around it.
  take() {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed || !selection.rangeCount) return;
    const range = selection.getRangeAt(0);
    if (!this.element.contains(range.startContainer) || !this.element.contains(range.endContainer)) return;
    const before = document.createRange();
    before.selectNodeContents(this.element);
    before.setEnd(range.startContainer, range.startOffset);
    const from = before.toString().length;
    selection.removeAllRanges();
    this.select(from, from + range.toString().length);
  }

  select(from, to) {
    let [start, end] = [from, to];
    while (start < end && /\s/.test(this.text[start])) start += 1;
    while (end > start && /\s/.test(this.text[end - 1])) end -= 1;
    if (start === end) return;
    this.range = [start, end];
    this.draw();
    this.element.querySelector("mark.selected")?.scrollIntoView({ block: "nearest" });
    this.chosen();
  }

  get words() {
    if (!this.found) {
      const segments = new Intl.Segmenter(undefined, { granularity: "word" }).segment(this.text);
      this.found = [...segments].filter((part) => part.segment.trim()).map((part) => [part.index, part.index + part.segment.length]);
    }
    return this.found;
  }

  // Whether a key was for the text.
  key(event) {
    if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key) || event.metaKey) return false;
    if (!this.words.length) return false;
    const rightToLeft = getComputedStyle(this.element).direction === "rtl";
    const ahead = event.key === "End" || (event.key === "ArrowRight") !== rightToLeft;
    if (event.altKey) return event.shiftKey ? this.nudge(ahead ? 1 : -1) : false;
    const steps = event.key === "Home" || event.key === "End" ? this.words.length : event.ctrlKey ? 10 : 1;
    this.move(ahead ? steps : -steps, event.shiftKey);
    return true;
  }

  move(steps, extend) {
    const last = this.words.length - 1;
    const start = this.head ?? (steps > 0 ? -1 : last + 1);
    const head = Math.min(last, Math.max(0, start + steps));
    this.anchor = extend && this.anchor !== undefined && this.range ? this.anchor : head;
    this.head = head;
    const [first, final] = [Math.min(this.anchor, head), Math.max(this.anchor, head)];
    this.select(this.words[first][0], this.words[final][1]);
  }

  // The end of what is selected, one character further or back: for languages and spans that words do not fit.
  nudge(step) {
    if (!this.range) return true;
    const [from, to] = this.range;
    const wide = this.pairs.includes(step > 0 ? to : to - 2) ? 2 : 1;
    const end = to + step * wide;
    if (end > from && end <= this.text.length) {
      this.range = [from, end];
      this.draw();
      this.chosen();
    }
    return true;
  }
}
