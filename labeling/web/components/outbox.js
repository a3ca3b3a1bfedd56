// Answers on their way: written to localStorage at the press, removed when the server has acknowledged them.
// One key per answer, so that two tabs on one project never overwrite each other. An entry is
//   { at, tried, undoes: event id | null, body }     at = time of the press; body = what is posted
// and one that undoes a whole batch names that, and is marked `whole`.

const MOST_PER_POST = 50;
const FAREWELL_BYTES = 50_000; // browsers allow 64 KiB in requests that outlive the page

class Outbox {
  #prefix;
  #list;
  #at;
  #settled;
  #changed;
  #patience = new Patience();
  #limit = MOST_PER_POST;
  #sending = false;
  #timer = null;
  #stopped = false;

  // list: what is posted: answers, unless told otherwise; at: where to, under `api`
  constructor({ api, scope, settled, changed, list = "annotations", at = list }) {
    this.api = api;
    this.#list = list;
    this.#at = at;
    this.#prefix = `askwise:outbox:${scope}:`;
    this.#settled = settled;
    this.#changed = changed;
    this.entries = []; // oldest first: the order of the presses is the order of the posts
    this.failure = null;
  }

  // Takes up what an earlier page, or another tab that is gone, left behind.
  adopt() {
    const known = new Set(this.entries.map((entry) => entry.body.event_id));
    for (const key of stored(this.#prefix)) {
      const entry = read(key);
      if (entry?.body?.event_id && !known.has(entry.body.event_id)) this.entries.push(entry);
    }
    this.entries.sort((a, b) => a.at - b.at);
    this.#changed();
  }

  addAnswer(body) {
    this.#add({ at: Date.now(), tried: false, undoes: null, body });
  }

  // `whole`: of a batch, which is named instead of an answer.
  addUndo(id, body, { whole = false } = {}) {
    this.#add({ at: Date.now(), tried: false, undoes: id, whole, body });
  }

  // Takes an answer back that no request has carried yet. An answer that was sent may have been saved even if no
  // acknowledgement came, so that one has to be undone at the server.
  withdraw(eventId) {
    const entry = this.entries.find((each) => each.body.event_id === eventId);
    if (!entry || entry.tried || read(this.#key(entry))?.tried !== false) return false;
    this.#remove(entry);
    this.#changed();
    return true;
  }

  holds(assignmentId) {
    return this.entries.some((entry) => entry.body.assignment_id === assignmentId);
  }

  get assignments() {
    return this.entries.map((entry) => entry.body.assignment_id).filter((id) => id !== undefined);
  }

  async flush() {
    if (this.#sending || this.#stopped || !this.entries.length) return;
    this.#sending = true;
    clearTimeout(this.#timer);
    try {
      while (this.entries.length && !this.#stopped) await this.#sendFirst();
      this.failure = null;
      this.#patience.reset();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.failure = failure;
      if (!this.#stopped) this.#timer = setTimeout(() => this.flush(), this.#patience.next());
    } finally {
      this.#sending = false;
      this.#changed();
    }
  }

  // The page is going away: one last try that the browser may finish without it. What it repeats is saved once.
  farewell() {
    const bodies = [];
    let bytes = 0;
    for (const { undoes, body } of this.entries) {
      bytes += JSON.stringify(body).length;
      if (undoes || bytes > FAREWELL_BYTES) break;
      bodies.push(body);
    }
    if (bodies.length) call(`${this.api}/${this.#at}`, { [this.#list]: bodies }, { keepalive: true }).catch(() => {});
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #sendFirst() {
    const end = this.entries.findIndex((entry) => entry.undoes);
    const answers = this.entries.slice(0, this.#together(end < 0 ? this.entries.length : end));
    const batch = answers.length ? answers : [this.entries[0]];
    for (const entry of batch.filter((each) => !each.tried)) {
      entry.tried = true;
      write(this.#key(entry), entry);
    }
    try {
      const results = answers.length ? await this.#postAnswers(batch) : await this.#postUndo(batch[0]);
      batch.forEach((entry, i) => this.#settle(entry, results[i]));
      this.#limit = MOST_PER_POST;
    } catch (failure) {
      if (!(batch[0].undoes ? failure.finalForUndo : failure.final)) throw failure;
      // One wrong answer must not hold back the others: each goes by itself until the wrong one is found.
      if (batch.length > 1) this.#limit = 1;
      else this.#settle(batch[0], { status: "refused", why: failure.message });
    }
  }

  // How many go in one post, of so many: what was given as one batch is not torn apart.
  #together(most) {
    const batchOf = (at) => this.entries[at]?.body.batch;
    let count = Math.min(most, this.#limit);
    while (this.#limit > 1 && count > 0 && count < most && batchOf(count) && batchOf(count) === batchOf(count - 1)) count++;
    return count;
  }

  async #postAnswers(batch) {
    const reply = await call(`${this.api}/${this.#at}`, { [this.#list]: batch.map((entry) => entry.body) });
    const results = new Map(reply[this.#list].map((result) => [result.event_id, result]));
    if (!batch.every((entry) => results.has(entry.body.event_id))) throw new Failure(502, sentenceOf(502));
    return batch.map((entry) => ({ ...results.get(entry.body.event_id), live: reply.live }));
  }

  async #postUndo(entry) {
    const of = entry.whole ? "annotations/batches" : "annotations";
    return [await call(`${this.api}/${of}/${encodeURIComponent(entry.undoes)}/undo`, entry.body)];
  }

  // What was not taken needs no taking back, and the server does not know it: its undo is settled as `void`.
  #settle(entry, result) {
    this.#remove(entry);
    const undoesIt = ({ undoes, whole }) => !whole && undoes === entry.body.event_id;
    const idle = result.status === "refused" ? this.entries.filter(undoesIt) : [];
    idle.forEach((each) => this.#remove(each));
    this.#settled(entry, result);
    idle.forEach((each) => this.#settled(each, { status: "void", why: "" }));
  }

  #add(entry) {
    this.entries.push(entry);
    write(this.#key(entry), entry);
    this.#changed();
  }

  #remove(entry) {
    this.entries = this.entries.filter((each) => each !== entry);
    attempt(() => localStorage.removeItem(this.#key(entry)));
  }

  #key(entry) {
    return this.#prefix + entry.body.event_id;
  }
}

// Storage may be full or forbidden: then answers live in this page only, and the guard against leaving it holds.
function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}

function stored(prefix) {
  return attempt(() => Object.keys(localStorage).filter((key) => key.startsWith(prefix))) ?? [];
}

function read(key) {
  return attempt(() => JSON.parse(localStorage.getItem(key)));
}

function write(key, value) {
  attempt(() => localStorage.setItem(key, JSON.stringify(value)));
}
