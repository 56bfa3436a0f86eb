// One control for each kind of label. All have: `element`; `set(value)`; `value()`, undefined while there is none;
// `key(event)`, which says whether the key was for them; `focus()`.

import { announce, button, count, h, kbd, shown, writes } from "./dom.js";
import { labelKeys, numberKeys, plainKey } from "./keys.js";
import { Passage } from "./passage.js";

const COLOURS = 8;

export function makeEditor(setup, row, decide) {
  switch (setup.kind) {
    case "multi-label":
      return new Several(setup, decide);
    case "text-scale":
      return setup.numbers ? new Choice(setup.numbers, numberKeys(setup.numbers), [], decide) : new Typed(setup, decide);
    case "token-classification":
      return new Entities(setup, row, decide);
    case "question-answering":
      return new Answer(row, decide);
    case "text-generation":
      return new Written(setup, decide);
    default:
      return new Choice(setup.names, labelKeys(setup.names), setup.definitions, decide);
  }
}

// Several editors may be on a page.
function idOf(name, setup) {
  return setup.variable ? `${name}-${setup.variable}` : name;
}

function pick(names, keys, definitions, act) {
  const narrow = names.length > 9 && !definitions.some(Boolean);
  const buttons = names.map((name, place) =>
    h(
      "button",
      {
        type: "button",
        class: "label",
        "aria-pressed": "false",
        "aria-keyshortcuts": keys[place] || null,
        onclick: () => act(place),
      },
      keys[place] ? kbd(keys[place]) : h("span", { class: "no-key" }),
      h(
        "span",
        { class: "label-words" },
        h("span", { class: "label-name", dir: "auto" }, String(name)),
        definitions[place] ? h("span", { class: "label-definition", dir: "auto" }, definitions[place]) : null,
      ),
    ),
  );
  const element = h("div", { class: `labels${narrow ? " narrow" : ""}`, role: "group", "aria-label": "Labels" }, buttons);
  return { element, buttons };
}

function press(buttons, pressed) {
  buttons.forEach((one, place) => one.setAttribute("aria-pressed", String(pressed(place))));
}

class Choice {
  constructor(names, keys, definitions, decide) {
    Object.assign(this, { names, keys, decide, chosen: -1 });
    const { element, buttons } = pick(names, keys, definitions, (place) => this.take(place));
    this.buttons = buttons;
    this.element = names.length > keys.filter(Boolean).length ? h("div", {}, this.finder(), element) : element;
  }

  // Names beyond the keys are found by their letters.
  finder() {
    const input = h("input", {
      type: "search",
      class: "finder",
      placeholder: "Find a label: / and its letters, then Enter",
      "aria-label": "Find a label",
      oninput: () => this.narrow(input.value),
      onkeydown: (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        const place = this.buttons.findIndex((one) => !one.hidden);
        if (input.value && place >= 0) this.take(place);
      },
    });
    this.input = input;
    return input;
  }

  narrow(text) {
    const wanted = text.trim().toLowerCase();
    this.buttons.forEach((one, place) => (one.hidden = !String(this.names[place]).toLowerCase().includes(wanted)));
  }

  take(place) {
    this.chosen = place;
    press(this.buttons, (other) => other === place);
    this.decide(this.names[place]);
  }

  set(value) {
    this.chosen = this.names.indexOf(value);
    press(this.buttons, (place) => place === this.chosen);
  }

  value() {
    return this.chosen < 0 ? undefined : this.names[this.chosen];
  }

  key(event) {
    if (event.key === "/" && this.input) {
      this.input.focus();
      return true;
    }
    if (event.key === "Enter" && this.chosen >= 0 && !(event.target instanceof HTMLButtonElement)) {
      this.decide(this.names[this.chosen]);
      return true;
    }
    const place = this.keys.indexOf(plainKey(event));
    if (place < 0 || !plainKey(event)) return false;
    this.take(place);
    return true;
  }

  focus() {}
}

class Several {
  constructor(setup, decide) {
    this.names = setup.names;
    this.keys = labelKeys(setup.names);
    this.decide = decide;
    this.on = new Set();
    const { element, buttons } = pick(setup.names, this.keys, setup.definitions, (place) => this.toggle(place));
    this.buttons = buttons;
    this.confirm = button("No label applies", "Enter", () => this.decide(this.value()), { class: "confirm" });
    this.element = h("div", {}, element, h("div", { class: "confirm-line" }, this.confirm));
  }

  toggle(place) {
    const name = this.names[place];
    if (!this.on.delete(name)) this.on.add(name);
    this.draw();
    announce(`${name} ${this.on.has(name) ? "chosen" : "not chosen"}`);
  }

  draw() {
    press(this.buttons, (place) => this.on.has(this.names[place]));
    this.confirm.firstChild.data = this.on.size ? `Confirm ${count(this.on.size, "label")}` : "No label applies";
  }

  set(value) {
    this.on = new Set(value ?? []);
    this.draw();
  }

  value() {
    return this.names.filter((name) => this.on.has(name));
  }

  key(event) {
    if (event.key === "Enter") {
      this.decide(this.value());
      return true;
    }
    const place = this.keys.indexOf(plainKey(event));
    if (place < 0 || !plainKey(event)) return false;
    this.toggle(place);
    return true;
  }

  focus() {}
}

class Typed {
  constructor(setup, decide) {
    const { low, high, step } = setup.scale;
    const id = idOf("number", setup);
    this.decide = decide;
    this.input = h("input", {
      type: "number",
      min: low,
      max: high,
      step: step ?? "any",
      class: "number",
      id,
      required: true,
      onkeydown: (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        this.confirm();
      },
    });
    this.element = h(
      "div",
      { class: "typed" },
      h("label", { for: id }, `A number from ${low} to ${high}${step ? ` in steps of ${step}` : ""}`),
      h("div", { class: "typed-line" }, this.input, button("Confirm", "Enter", () => this.confirm(), { class: "confirm" })),
    );
  }

  confirm() {
    if (this.input.reportValidity()) this.decide(this.value());
  }

  set(value) {
    this.input.value = value ?? "";
  }

  value() {
    return this.input.value === "" ? undefined : Number(this.input.value);
  }

  // A digit begins to write the number.
  key(event) {
    if (event.key === "Enter") this.confirm();
    else if (!writes(event.target) && /^[0-9.,+-]$/.test(event.key)) {
      this.input.focus();
      return false;
    } else return false;
    return true;
  }

  focus() {
    this.input.focus();
  }
}

class Written {
  constructor(setup, decide) {
    this.decide = decide;
    const id = idOf("written", setup);
    this.input = h("textarea", {
      rows: 6,
      id,
      dir: "auto",
      onkeydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          this.confirm();
        }
      },
    });
    this.element = h(
      "div",
      { class: "typed" },
      h("label", { for: id }, "Your answer"),
      this.input,
      h("div", { class: "confirm-line" }, button("Confirm", "Ctrl Enter", () => this.confirm(), { class: "confirm" })),
    );
  }

  confirm() {
    if (this.value() !== undefined) this.decide(this.value());
    else this.input.focus();
  }

  set(value) {
    this.input.value = value ?? "";
  }

  value() {
    return this.input.value.trim() ? this.input.value : undefined;
  }

  key(event) {
    if (event.key !== "Enter" || writes(event.target)) return false;
    this.input.focus();
    return true;
  }

  focus() {
    this.input.focus();
  }
}

class Entities {
  constructor(setup, row, decide) {
    this.names = setup.names;
    this.keys = labelKeys(setup.names);
    this.decide = decide;
    this.spans = [];
    this.armed = -1;
    const colours = (label) => String(this.names.indexOf(label) % COLOURS);
    const part = row.parts.find((one) => one.marked);
    this.passage = new Passage(part.text, { name: part.name, colours, chosen: () => this.armed >= 0 && this.give(this.armed) });
    const { element, buttons } = pick(this.names, this.keys, setup.definitions, (place) => this.use(place));
    buttons.forEach((one, place) => (one.dataset.colour = String(place % COLOURS)));
    this.buttons = buttons;
    this.list = h("ul", { class: "spans" });
    this.confirm = button("No entities", "Enter", () => this.decide(this.value()), { class: "confirm" });
    this.element = h("div", {}, element, this.list, h("div", { class: "confirm-line" }, this.confirm));
    this.draw();
  }

  // A label's key marks what is selected; without a selection it is armed, and what is selected next gets it.
  use(place) {
    if (this.passage.selected) this.give(place);
    else {
      this.armed = this.armed === place ? -1 : place;
      this.draw();
    }
  }

  give(place) {
    const span = { ...this.passage.selected, label: this.names[place] };
    this.spans = [...this.spans.filter((other) => other.end <= span.start || span.end <= other.start), span];
    this.spans.sort((one, other) => one.start - other.start);
    this.passage.range = null;
    this.draw();
    announce(`${span.text}: ${span.label}`);
  }

  remove(span) {
    this.spans = this.spans.filter((other) => other !== span);
    this.draw();
    announce(`${span.text} removed`);
  }

  draw() {
    press(this.buttons, (place) => place === this.armed);
    this.passage.show(this.spans);
    this.list.replaceChildren(
      ...this.spans.map((span) =>
        h(
          "li",
          {},
          h("span", { class: "span-label", "data-colour": String(this.names.indexOf(span.label) % COLOURS) }, span.label),
          h("bdi", { class: "span-text" }, span.text),
          h("button", { type: "button", class: "remove", "aria-label": `Remove ${span.text}`, onclick: () => this.remove(span) }, "×"),
        ),
      ),
    );
    this.confirm.firstChild.data = this.spans.length ? `Confirm ${count(this.spans.length, "entity", "entities")}` : "No entities";
  }

  set(value) {
    this.spans = [...(value ?? [])];
    this.draw();
  }

  value() {
    return this.spans;
  }

  key(event) {
    if (this.passage.key(event)) return true;
    if (event.key === "Enter") {
      this.decide(this.value());
      return true;
    }
    if (event.key === "Escape") {
      this.armed = -1;
      this.passage.clear();
      this.draw();
      return true;
    }
    if (event.key === "Delete") {
      const at = this.passage.selected;
      const span = at ? this.spans.find((other) => other.start < at.end && at.start < other.end) : this.spans.at(-1);
      if (span) this.remove(span);
      return true;
    }
    const place = this.keys.indexOf(plainKey(event));
    if (place < 0 || !plainKey(event)) return false;
    this.use(place);
    return true;
  }

  focus() {
    this.passage.element.focus({ preventScroll: true });
  }
}

class Answer {
  constructor(row, decide) {
    this.decide = decide;
    const part = row.parts.find((one) => one.marked);
    this.passage = new Passage(part.text, { name: part.name, colours: () => "0", chosen: () => this.take() });
    this.span = undefined;
    this.words = h("bdi", { class: "answer" });
    this.confirm = button("Confirm", "Enter", () => this.span && this.decide(this.span), { class: "confirm" });
    this.element = h("div", { class: "answer-line" }, h("span", {}, "Answer: "), this.words, this.confirm);
    this.draw();
  }

  take() {
    const { start, text } = this.passage.selected;
    this.span = { start, text };
    this.draw();
  }

  draw() {
    this.words.textContent = this.span ? shown(this.span) : "select it in the passage";
    this.words.classList.toggle("missing", !this.span);
    this.confirm.disabled = !this.span;
  }

  set(value) {
    this.span = value ?? undefined;
    if (value) {
      const from = this.passage.fromPython(value.start);
      this.passage.range = [from, from + value.text.length];
    }
    this.passage.draw();
    this.draw();
  }

  value() {
    return this.span;
  }

  key(event) {
    if (this.passage.key(event)) return true;
    if (event.key === "Escape") {
      this.span = undefined;
      this.passage.clear();
      this.draw();
      return true;
    }
    if (event.key !== "Enter") return false;
    if (this.span) this.decide(this.span);
    return true;
  }

  focus() {
    this.passage.element.focus({ preventScroll: true });
  }
}
