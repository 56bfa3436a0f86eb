// Elements from plain values. Text of rows only ever becomes text nodes: nothing here, and nothing else on this page,
// makes markup of a string.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function kbd(key) {
  return h("kbd", { "aria-hidden": "true" }, key);
}

export function button(text, key, act, properties = {}) {
  const described = key ? { "aria-keyshortcuts": shortcut(key) } : {};
  return h("button", { type: "button", onclick: act, ...described, ...properties }, text, key ? kbd(key) : null);
}

export function shortcut(key) {
  return { "Ctrl Enter": "Control+Enter", Esc: "Escape", "Shift s": "Shift+S" }[key] ?? key;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(share > 0.995 && share < 1 ? 1 : 0)}%`;
}

export function interval(of, digits = 3) {
  if (!of || of.estimate === null) return "–";
  const [estimate, low, high] = [of.estimate, of.low, of.high].map((number) => number.toFixed(digits));
  return `${estimate} [${low}, ${high}]`;
}

export function announce(text) {
  document.getElementById("said").textContent = text;
}

export function shown(value) {
  if (value === null || value === undefined) return "(no label)";
  if (Array.isArray(value)) {
    return value.map((item) => (typeof item === "object" ? `${item.text} (${item.label})` : item)).join(", ") || "(none)";
  }
  return typeof value === "object" ? value.text : String(value);
}

// A text that is longer than its place gets a frame, so that it is seen where it goes on.
export function markTall(within) {
  for (const text of within.querySelectorAll(".text")) text.classList.toggle("tall", text.scrollHeight > text.clientHeight + 2);
}

// Whether keys belong to the focused element: the user is typing.
export function writes(target) {
  return target instanceof HTMLElement && (target.matches("textarea, input:not([type=checkbox]), select") || target.isContentEditable);
}
