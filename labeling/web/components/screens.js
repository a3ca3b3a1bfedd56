// Screens of items on lease for this tab: the one to show, and the next with its pictures already decoded. One is
//   { aim, classId, tiles, modelVersion, believed: [{ class_id, items }], like, why }
// where `aim` is what it is for (see find.js), `classId` what its tiles are confirmed as (null: that is not said yet) and
// `like` the words for what was looked for; and a tile { claim, image, broken, mark }. The mark is null for what is to be confirmed, else an answer of its own,
//   { verdict: "label" | "skip" | "unsure" | "out", class_id }     out = not of this class, left for later

const PICTURE_TRIES = 3;
const LONGEST_LOOK_UP = 40_000; // ms: words that are new are embedded first, and what does that may have to be loaded
const TAB = "askwise:grid-tab"; // in sessionStorage: the id that this tab's leases name
const THUMBNAILS = [64, 128, 256, 512]; // pixels: what the server keeps

// A hidden or closing tab leaves its id and takes it back when it is seen again, so that a reload finds its own leases,
// and a duplicate of a visible tab does not take it for its own.
const client = attempt(() => sessionStorage.getItem(TAB)) ?? newId();
unpark();

function unpark() {
  attempt(() => sessionStorage.removeItem(TAB));
}

function park() {
  attempt(() => sessionStorage.setItem(TAB, client));
}

class Screens {
  #url;
  #client;
  #on;
  #size;
  #left = new Map(); // items left out of screens -> what those were for: not wanted again
  #aside = []; // tiles left out of the last screen: still on lease, for who takes that screen back
  #release = new Set(); // leases to give back with the next call
  #preparing = null; // the next screen is being fetched
  #resume = true; // the first call after a page load gives back what this tab still has on lease from before
  #stopped = false;

  // on: { changed() }
  constructor({ api, project, client, size, on }) {
    this.#url = `${api}/projects/${project}`;
    this.#client = client;
    this.#size = size;
    this.#on = on;
    this.next = null;
    this.live = null;
  }

  set size(size) {
    this.#size = size;
  }

  // A screen for this; the leases of the one before are given back in the same step.
  async open(aim, before = null) {
    await this.#preparing;
    this.putNext(null);
    return this.#post(aim, before);
  }

  // Gets the next screen ready; where there is one already, a newer model's instead.
  prepare(aim) {
    const old = this.next;
    if (this.#preparing || this.#stopped || (old && !this.#isStale(old))) return;
    this.#preparing = this.#exchange(old, aim).finally(() => (this.#preparing = null));
  }

  // The next screen, once it has come, if it is for this.
  async take(aim) {
    if (!this.next) await this.#preparing;
    const screen = sameAim(this.next?.aim, aim) ? this.next : null;
    if (screen) this.next = null;
    return screen;
  }

  putNext(screen) {
    this.giveUp(this.next);
    this.next = screen;
  }

  giveUp(screen) {
    for (const id of leasesOf(screen)) this.#release.add(id);
  }

  // Tiles left out of a screen that is done; those of the screen before are given back.
  setAside(tiles, aim = null) {
    for (const tile of this.#aside) this.#release.add(tile.claim.assignment_id);
    this.#aside = tiles;
    for (const tile of tiles) this.#left.set(tile.claim.item.id, aim);
  }

  // Of the tiles that were left out of a screen, the claims of those that are still on lease.
  takeBack(tiles) {
    for (const tile of tiles) this.#left.delete(tile.claim.item.id);
    const kept = this.#aside.filter((tile) => tiles.includes(tile));
    this.#aside = this.#aside.filter((tile) => !tiles.includes(tile));
    return kept.map(({ claim }) => claim);
  }

  // Replies may overtake each other.
  hear(live) {
    if ((live?.ranking ?? -1) >= (this.live?.ranking ?? -1)) this.live = live ?? this.live;
  }

  // Keeps these leases and those of what waits; resolves to those that were lost.
  async renew(leases) {
    const held = [...leases, ...leasesOf(this.next), ...leasesOf({ tiles: this.#aside })];
    if (!held.length) return [];
    const reply = await call(`${this.#url}/leases/renew`, { assignment_ids: held });
    this.hear(reply.live);
    return reply.lost;
  }

  stop(shown) {
    this.#stopped = true;
    return this.giveBack(shown);
  }

  // Everything on lease goes back at once: the page is going away.
  giveBack(shown) {
    this.setAside([]);
    this.putNext(null);
    this.giveUp(shown);
    const body = { assignment_ids: [...this.#release] };
    if (!this.#release.size) return Promise.resolve();
    return call(`${this.#url}/leases/release`, body, { keepalive: true }).catch(() => {});
  }

  // Claims as tiles, their pictures decoded; one whose picture does not come is left out.
  async tilesOf(claims) {
    const tiles = claims.map((claim) => ({ claim, image: null, broken: false, mark: null }));
    await Promise.all(tiles.filter(({ claim }) => claim.media_url).map((tile) => this.#picture(tile)));
    return tiles;
  }

  #isStale(screen) {
    return (this.live?.model_version ?? 0) > screen.modelVersion;
  }

  async #exchange(old, aim) {
    this.putNext(null);
    try {
      const screen = await this.#post(aim);
      // Somebody may have taken a screen back meanwhile: the one that it replaced comes next.
      if (this.next) this.giveUp(screen);
      else this.next = screen;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (this.next) return;
      for (const id of leasesOf(old)) this.#release.delete(id);
      this.next = old;
    }
    if (!this.#stopped) this.#on.changed();
  }

  async #post(aim, before = null) {
    const { classId, text, itemId } = aim;
    const found = isFound(aim);
    const release = [...this.#release, ...leasesOf(before)];
    // What is left out of one search may be what another is for.
    const left = [...this.#left].filter(([, of]) => !found || sameAim(of, aim));
    const body = {
      ...(found ? { text, item_id: itemId } : { class_id: classId }),
      count: this.#size,
      client: this.#client,
      resume: this.#resume,
      release,
      without: left.map(([item]) => item),
    };
    const reply = found
      ? await call(`${this.#url}/find`, body, { longest: LONGEST_LOOK_UP })
      : await call(`${this.#url}/screens`, body);
    this.#resume = false;
    for (const id of release) this.#release.delete(id);
    this.hear(reply.live);
    const { claims, class_id, believed, model_version: modelVersion, like, why } = reply;
    const of = found ? aim : { classId: class_id };
    const tiles = await this.tilesOf(claims);
    const screen = { aim: of, classId: class_id, believed, modelVersion, like, why, tiles };
    if (this.#stopped) this.giveBack(screen);
    return screen;
  }

  async #picture(tile) {
    const { media_url: url } = tile.claim;
    for (let attempt = 1; !tile.image && attempt <= PICTURE_TRIES && !this.#stopped; attempt++) {
      const image = new Image();
      image.draggable = false;
      image.alt = "";
      image.src = `${url}${url.includes("?") ? "&" : "?"}size=${thumbnail(this.#size)}`;
      try {
        await image.decode();
        tile.image = image;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 300 * attempt));
      }
    }
    if (tile.image) return;
    tile.broken = true;
    tile.mark = { verdict: "out" };
  }
}

function leasesOf(screen) {
  return (screen?.tiles ?? []).map((tile) => tile.claim.assignment_id);
}

// The side of a picture: fewer tiles are larger, and dense displays show more.
function thumbnail(count) {
  const wanted = (count > 30 ? 110 : 160) * (window.devicePixelRatio || 1);
  return THUMBNAILS.find((size) => size >= wanted) ?? THUMBNAILS.at(-1);
}
