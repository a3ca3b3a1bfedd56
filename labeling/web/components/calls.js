// Calls to the API, with failures sorted into those that pass by themselves and those that do not.

const REACH = "The server cannot be reached.";
const LONGEST_CALL = 20_000; // ms
const LONGEST_WAIT = 15_000; // ms between two attempts

class Failure extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }

  // The request itself is wrong: sending it again cannot help. Everything else (a lost connection, a broken server,
  // a sign-in that ran out, another program on the port) may pass, so nothing is thrown away for it.
  get final() {
    return [400, 409, 413, 422].includes(this.status);
  }
}

async function call(url, body, { keepalive = false } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-Askwise": "1" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(LONGEST_CALL),
      keepalive,
    });
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
    const detail = typeof answer?.detail === "string" ? answer.detail : sentenceOf(response.status);
    throw new Failure(response.status, detail);
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
