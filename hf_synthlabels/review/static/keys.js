// The keys of labels: digits first, then letters that no command has.

export const COMMANDS = "ughlns";
const LETTERS = [..."abcdefijkmopqrtvwxyz"];
export const LABEL_KEYS = [..."1234567890", ...LETTERS];

export function labelKeys(names) {
  return names.map((_, place) => LABEL_KEYS[place] ?? "");
}

// On a scale of digits the number itself is the key.
export function numberKeys(numbers) {
  const own = numbers.every((number) => Number.isInteger(number) && number >= 0 && number <= 9);
  return own ? numbers.map(String) : labelKeys(numbers);
}

export function plainKey(event) {
  return event.ctrlKey || event.metaKey || event.altKey ? "" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
}
