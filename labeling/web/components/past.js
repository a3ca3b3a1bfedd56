// Screens that were confirmed and can be taken back, and those whose undo is under way. A step is
//   { batch, events, screen }

const UNDO_PATIENCE = 4_000; // ms that an undo may keep the next screen waiting
const STEPS_BACK = 10;

class Past {
  #outbox;
  #client;
  #late;
  #steps = []; // oldest first
  #undos = new Map(); // batch -> step, while its undo is under way
  #awaited = null; // the batch among them that the screen waits for
  #timer = null;

  // late(): the undo that the screen waits for takes long
  constructor(outbox, { client, late }) {
    this.#outbox = outbox;
    this.#client = client;
    this.#late = late;
  }

  get any() {
    return this.#steps.length > 0;
  }

  get isAwaited() {
    return this.#awaited !== null;
  }

  add(step) {
    this.#steps = [...this.#steps, step].slice(-STEPS_BACK);
  }

  pop() {
    return this.#steps.pop();
  }

  // Withdraws the answers of a step; false: they were sent already, and the server is asked to.
  withdraw({ batch, events, screen }) {
    if (events.every((event) => this.#outbox.withdraw(event))) return true;
    this.#awaited = batch;
    this.#undos.set(batch, { batch, events, screen });
    this.#outbox.addUndo(batch, { event_id: newId(), client: this.#client }, { whole: true });
    this.#timer = setTimeout(() => {
      this.#awaited = null;
      this.#late();
    }, UNDO_PATIENCE);
    return false;
  }

  // The server has answered: the step of that batch, and whether the screen waits for it.
  settle(batch) {
    const step = this.#undos.get(batch);
    const awaited = this.#awaited === batch;
    this.#undos.delete(batch);
    if (awaited) this.stop();
    return { step, awaited };
  }

  stop() {
    this.#awaited = null;
    clearTimeout(this.#timer);
  }
}
