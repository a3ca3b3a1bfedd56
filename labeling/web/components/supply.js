// Items on lease for this tab, their pictures already decoded, in the order in which they are to be asked. One is
//   { claim, under, image: HTMLImageElement | null, ready, broken, earlier: { verdict, class_id } | null }
// where `under` is the ranking that was live when it came.

const PICTURE_ATTEMPTS = 4;
const LOOK_AGAIN = 5_000; // ms until the server is asked again when it had nothing to give

class Supply {
  #url;
  #client;
  #batch;
  #on;
  #asking = false;
  #resume = true; // the first claim after a page load takes up this tab's own leases again
  #release = new Set(); // leases to give back with the next claim
  #timer = null;
  #patience = new Patience();
  #dry = false; // the last claim got less than it asked for
  #stopped = false;

  // on: { ready(), changed(), knows(assignment id) -> bool }
  constructor({ api, project, client, batch, on }) {
    this.#url = `${api}/projects/${project}`;
    this.#client = client;
    this.#batch = batch;
    this.#on = on;
    this.asks = [];
    this.live = null;
    this.remaining = null; // null until the server has said
    this.failure = null;
  }

  // The first whose picture is there: a slow one does not hold up those behind it.
  // One that was taken back is waited for: it is what the person asked to see.
  take() {
    if (this.asks[0]?.earlier && !this.asks[0].ready) return null;
    const at = this.asks.findIndex((ask) => ask.ready);
    return at < 0 ? null : this.asks.splice(at, 1)[0];
  }

  get asking() {
    return this.#asking;
  }

  putFirst(ask) {
    this.asks.unshift(ask);
  }

  drop(assignmentIds) {
    this.asks = this.asks.filter((ask) => !assignmentIds.includes(ask.claim.assignment_id));
  }

  resume() {
    this.#resume = true;
    return this.refill();
  }

  // Tops up, and exchanges for better ones what was chosen under an older ranking. The next one is kept, so that there
  // is always something to show while the exchange is under way.
  async refill() {
    if (this.#asking || this.#stopped) return;
    const stale = this.asks.slice(1).filter((ask) => this.#isStale(ask));
    const enough = this.asks.length > this.#batch / 2 || (this.#dry && this.asks.length);
    if (!stale.length && !this.#resume && enough) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    this.drop(stale.map((ask) => ask.claim.assignment_id));
    for (const ask of stale) this.#release.add(ask.claim.assignment_id);
    const release = [...this.#release];
    const count = this.#batch - this.asks.length;
    try {
      const reply = await call(`${this.#url}/claims`, { count, client: this.#client, resume: this.#resume, release });
      this.failure = null;
      this.#patience.reset();
      this.#resume = false;
      for (const id of release) this.#release.delete(id);
      if (this.#stopped) return void this.giveBack(reply.claims.map((claim) => claim.assignment_id));
      this.remaining = reply.remaining;
      this.#take(reply.live);
      const held = new Set(this.asks.map((ask) => ask.claim.assignment_id));
      const fresh = reply.claims.filter((claim) => {
        return !held.has(claim.assignment_id) && !this.#on.knows(claim.assignment_id);
      });
      this.asks.push(...fresh.map((claim) => this.prepare(claim)));
      this.#dry = reply.claims.length < count;
      if (this.#dry) this.#lookAgain(LOOK_AGAIN);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.failure = failure;
      // Nothing better came: what was to be exchanged is asked after all, so that work goes on without the server.
      for (const ask of stale) this.#release.delete(ask.claim.assignment_id);
      this.asks.push(...stale);
      if (!this.#stopped) this.#lookAgain(this.#patience.next());
    } finally {
      this.#asking = false;
    }
    if (this.#stopped) return;
    this.#on.changed();
    if (!this.failure) this.freshen(this.live);
  }

  // Takes news of the project, which may be that a new ranking is live.
  freshen(live) {
    this.#take(live);
    if (this.asks.slice(1).some((ask) => this.#isStale(ask))) this.refill();
  }

  prepare(claim, image = null) {
    const ready = !claim.media_url || image !== null;
    const ask = { claim, under: this.live?.ranking ?? null, image, ready, broken: false, earlier: null };
    if (!ask.ready) this.#load(ask, 1);
    return ask;
  }

  reload(ask) {
    Object.assign(ask, { ready: false, broken: false, image: null });
    return this.#load(ask, 1);
  }

  giveBack(assignmentIds) {
    if (!assignmentIds.length) return Promise.resolve();
    const body = { assignment_ids: assignmentIds };
    return call(`${this.#url}/leases/release`, body, { keepalive: true }).catch(() => {});
  }

  renew(assignmentIds) {
    return call(`${this.#url}/leases/renew`, { assignment_ids: assignmentIds });
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  // A hidden tab takes no work that nobody would see.
  #lookAgain(wait) {
    this.#timer = setTimeout(() => {
      if (document.visibilityState !== "visible") return this.#lookAgain(LOOK_AGAIN);
      this.#dry = false;
      this.refill();
    }, wait);
  }

  // Only the strategy's picks follow the ranking; an item asked for another reason stays.
  #isStale(ask) {
    const replaced = this.live !== null && ask.under !== this.live.ranking;
    return replaced && ask.claim.reason === "strategy" && ask.earlier === null;
  }

  // Replies may overtake each other: news from before the ranking that is already known is no news.
  #take(live) {
    if ((live?.ranking ?? -1) >= (this.live?.ranking ?? -1)) this.live = live ?? this.live;
  }

  async #load(ask, attemptNumber) {
    const image = new Image();
    image.decoding = "sync"; // when it is on the page it is painted, never a frame later
    image.draggable = false;
    image.src = ask.claim.media_url;
    try {
      await image.decode();
      ask.image = image;
    } catch {
      if (this.#stopped) return;
      if (attemptNumber < PICTURE_ATTEMPTS) {
        setTimeout(() => this.#load(ask, attemptNumber + 1), 400 * 3 ** (attemptNumber - 1));
        return;
      }
      ask.broken = true;
    }
    ask.ready = true;
    this.#on.ready();
  }
}
