// Calls to the API, with failures sorted into those that pass by themselves and those that do not.

const REACH = "The server cannot be reached.";
const LONGEST_CALL = 20_000; // ms
const LONGEST_WAIT = 15_000; // ms between two attempts

class Failure extends Error {
  // told: Askwise itself says so, and no proxy or other program on its port
  constructor(status, sentence, { told = false } = {}) {
    super(sentence);
    this.status = status;
    this.told = told;
  }

  // The request itself is wrong: sending it again cannot help. Everything else (a lost connection, a broken server,
  // a sign-in that ran out, another program on the port) may pass, so nothing is thrown away for it.
  get final() {
    return [400, 409, 413, 422].includes(this.status);
  }

  // What is to be undone is not there, or no longer this person's to undo: neither passes by itself.
  get finalForUndo() {
    return this.final || (this.told && [403, 404].includes(this.status));
  }
}

// `longest`: ms that it may take.
function call(url, body, { keepalive = false, longest = LONGEST_CALL } = {}) {
  const headers = { "Content-Type": "application/json", "X-Askwise": "1" };
  return exchange(url, { method: "POST", headers, body: JSON.stringify(body), keepalive }, longest);
}

function lookUp(url) {
  return exchange(url, { method: "GET" });
}

// The same where there will be other occasions: null when it fails.
async function glimpse(url) {
  try {
    return await lookUp(url);
  } catch (failure) {
    if (failure instanceof Failure) return null;
    throw failure;
  }
}

async function exchange(url, options, longest = LONGEST_CALL) {
  let response;
  try {
    const signal = AbortSignal.timeout(longest);
    response = await fetch(url, { ...options, credentials: "same-origin", signal });
  } catch {
    throw new Failure(0, REACH);
  }
  let answer = null;
  try {
    answer = await response.json();
  } catch {
    // A page where an answer should be: a proxy's, or a sign-in's.
    throw new Failure(response.ok ? 502 : response.status, sentenceOf(response.status));
  }
  if (!response.ok) {
    const told = typeof answer?.detail === "string";
    throw new Failure(response.status, told ? answer.detail : sentenceOf(response.status), { told });
  }
  return answer;
}

function sentenceOf(status) {
  if (status === 401) return "You are signed out. Reload this page to sign in again.";
  return status >= 500 ? "The server could not do that just now." : "The server did not understand the request.";
}

// Waits that grow with each failure in a row; the spread keeps many browsers from returning all at once.
class Patience {
  #wait = 250;

  next() {
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    return this.#wait * (0.8 + 0.4 * Math.random());
  }

  reset() {
    this.#wait = 250;
  }
}

// Pages reached by plain http over a network have no randomUUID.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
