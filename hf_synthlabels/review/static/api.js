// Calls to the server, and the decisions that wait for it: each is kept in the browser until the server has stored it.

export class Refused extends Error {}
export class Unreachable extends Error {}

export async function call(name, said = {}) {
  let answer;
  try {
    answer = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(said),
    });
  } catch {
    throw new Unreachable("The server cannot be reached.");
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  if (answer.status === 503) throw new Unreachable(content.error);
  throw new Refused(content.error ?? `The server answered ${answer.status}.`);
}

const RETRY_MS = 1500;

// Not randomUUID(), which there is only on this machine and under https.
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class ThreadQueue {
  constructor(place, { stored, refused, waiting }) {
    this.place = `review-outbox-${place}`;
    this.told = { stored, refused, waiting };
    this.decisions = JSON.parse(localStorage.getItem(this.place) ?? "[]");
    this.sending = null;
  }

  get rows() {
    return this.decisions.map((decision) => decision.row);
  }

  add(decision) {
    this.decisions.push({ key: randomKey(), ...decision });
    this.keep();
    return this.send();
  }

  send() {
    this.sending ??= this.sendAll().finally(() => (this.sending = null));
    return this.sending;
  }

  async sendAll() {
    while (this.decisions.length) {
      const [decision] = this.decisions;
      try {
        const answer = await call("decide", decision);
        this.decisions.shift();
        this.keep();
        this.told.waiting(null);
        this.told.stored(decision, answer);
      } catch (error) {
        if (error instanceof Refused) {
          this.decisions.shift();
          this.keep();
          this.told.refused(decision, error);
        } else {
          this.told.waiting(`${error.message} ${this.decisions.length === 1 ? "Your label is" : `${this.decisions.length} labels are`} kept in this browser and sent as soon as it is back.`);
          await new Promise((resume) => setTimeout(resume, RETRY_MS));
        }
      }
    }
  }

  keep() {
    localStorage.setItem(this.place, JSON.stringify(this.decisions));
  }
}
