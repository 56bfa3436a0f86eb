// The application: the annotator, the open page, and errors.

import { AdjudicatePage } from "./adjudicate.js";
import { call, ThreadQueue, Unreachable } from "./api.js";
import { CodebookPage } from "./codebook.js";
import { button, h, kbd } from "./dom.js";
import { LabelPage } from "./label.js";
import { ReadPage } from "./read.js";

const PAGES = [
  ["label", "Label", LabelPage],
  ["adjudicate", "Adjudicate", AdjudicatePage],
  ["read", "Report", ReadPage],
];

class App {
  constructor(setup) {
    this.setup = setup;
    // The variable that the adjudicate and report pages show.
    this.variable = setup.variables?.[0] ?? setup;
    this.progress = null;
    this.pages = {};
    this.view = document.getElementById("view");
    this.banner = document.getElementById("banner");
    document.title = setup.title ? `${setup.title} · review` : "Review";
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("hashchange", () => this.open());
  }

  async begin(name) {
    const { annotator, progress } = await call("begin", { annotator: name });
    this.annotator = annotator;
    this.progress = progress;
    localStorage.setItem("review-annotator", annotator);
    this.outbox = new ThreadQueue(`${this.setup.store}-${annotator}`, {
      stored: (decision, answer) => this.pages.label?.stored(decision, answer),
      refused: (decision, error) => this.pages.label?.refused(decision, error),
      waiting: (why) => this.tell(why),
    });
    // What an earlier visit could not send goes first.
    if (this.outbox.decisions.length) await this.outbox.send();
    this.progress = await call("progress", { annotator });
    this.head();
    this.open();
  }

  head() {
    const tabs = PAGES.map(([name, title]) => h("a", { href: `#${name}`, dataset: { page: name } }, title));
    this.tabs = tabs;
    document.getElementById("top").replaceChildren(
      h("span", { class: "brand", title: this.setup.title }, h("bdi", {}, this.setup.title || "Review")),
      h("nav", { "aria-label": "Pages" }, tabs),
      h(
        "div",
        { class: "tools" },
        h("button", { type: "button", class: "plain who", title: "Change the annotator", onclick: () => this.ask() }, h("span", { class: "dot", "aria-hidden": "true" }), this.annotator),
        h("button", { type: "button", class: "plain", "aria-label": "Switch between light and dark theme", title: "Switch between light and dark theme", onclick: () => this.theme() }, "◐"),
        h("button", { type: "button", class: "plain", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts", onclick: () => this.help() }, kbd("?")),
      ),
    );
  }

  open() {
    const name = location.hash.slice(1).split("/")[0];
    const [wanted, , Page] = PAGES.find(([page]) => page === name) ?? PAGES[0];
    this.page = this.pages[wanted] ??= this.setup.variables && wanted === "label" ? new CodebookPage(this) : new Page(this);
    for (const tab of this.tabs) {
      if (tab.dataset.page === wanted) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    this.view.replaceChildren(this.page.element);
    this.page.enter().catch((error) => this.fail(error));
  }

  // Whose call it is, and on which variable.
  get caller() {
    return this.setup.variables ? { annotator: this.annotator, variable: this.variable.variable } : { annotator: this.annotator };
  }

  // Of a codebook: the choice of a variable.
  variableChoice(changed) {
    const { variables } = this.setup;
    if (!variables) return "";
    const select = h("select", { "aria-label": "Variable", class: "variable-choice" }, variables.map(({ variable }) => h("option", { value: variable }, variable)));
    select.value = this.variable.variable;
    select.addEventListener("change", () => {
      this.variable = variables.find(({ variable }) => variable === select.value);
      Promise.resolve(changed()).catch((error) => this.fail(error));
    });
    return select;
  }

  moved(progress) {
    this.progress = progress;
    this.pages.label?.progress(progress);
  }

  key(event) {
    if (event.defaultPrevented || document.querySelector("dialog[open]") || !this.page) return;
    const writing = event.target instanceof HTMLElement && event.target.matches("textarea, input");
    if (event.key === "?" && !writing) this.help();
    else if (!this.page.key(event)) return;
    event.preventDefault();
  }

  tell(words) {
    this.banner.hidden = !words;
    this.banner.replaceChildren(words ?? "", words ? h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => this.tell(null) }, "×") : "");
  }

  fail(error) {
    this.tell(error instanceof Unreachable ? `${error.message} Stored labels are safe.` : error.message);
    if (error instanceof Unreachable) this.wait();
  }

  // Look until the server is back, then go on.
  wait() {
    this.waiting ??= setInterval(async () => {
      try {
        this.progress = await call("progress", { annotator: this.annotator });
      } catch {
        return;
      }
      clearInterval(this.waiting);
      this.waiting = null;
      this.tell(null);
      this.page.enter().catch((error) => this.fail(error));
    }, 1500);
  }

  theme() {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("review-theme", dark ? "light" : "dark");
  }

  help() {
    const lines = [...this.page.help(), ["?", "show this list"]];
    const dialog = h(
      "dialog",
      { "aria-label": "Keyboard shortcuts", class: "keys" },
      h("h2", {}, "Keyboard shortcuts"),
      h("dl", {}, lines.flatMap(([key, what]) => [h("dt", {}, kbd(key)), h("dd", {}, what)])),
      button("Close", "Esc", () => dialog.close(), { class: "confirm" }),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  ask(problem = "") {
    const input = h("input", { id: "name", autocomplete: "name", maxlength: "60", required: true, autofocus: true });
    input.value = localStorage.getItem("review-annotator") ?? "";
    const wrong = h("p", { class: "wrong", role: "alert" }, problem);
    const form = h(
      "form",
      {
        onsubmit: async (event) => {
          event.preventDefault();
          try {
            await this.outbox?.send();
            this.pages = {};
            await this.begin(input.value);
            dialog.close();
          } catch (error) {
            wrong.textContent = error.message;
          }
        },
      },
      h("h1", {}, "Annotator"),
      h("p", {}, "Labels are stored under this name, so that annotators can be compared. Use the same name each time."),
      h("label", { for: "name" }, "Your name"),
      input,
      wrong,
      h("button", { class: "confirm" }, "Start", kbd("Enter")),
    );
    const dialog = h("dialog", { class: "name", "aria-label": "Annotator" }, form);
    dialog.addEventListener("cancel", (event) => this.annotator || event.preventDefault());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  }
}

async function start() {
  let setup;
  try {
    setup = await call("setup");
  } catch (error) {
    const banner = document.getElementById("banner");
    banner.hidden = false;
    banner.textContent = error.message;
    setTimeout(start, 2000);
    return;
  }
  document.getElementById("banner").hidden = true;
  const app = new App(setup);
  const known = localStorage.getItem("review-annotator");
  if (!known) return app.ask();
  app.begin(known).catch((error) => (error instanceof Unreachable ? setTimeout(start, 2000) : app.ask(error.message)));
}

start();
