// @ts-check
// What lives in the header of a page: the links, the mode, the clock, and who is logged in.

const TIMEOUT_MS = 8000;
const clock = document.querySelector('#clock');

if (clock !== null) {
  showClock(clock);
  setInterval(() => showClock(clock), 1000);
}

document.querySelector('#log-out')?.addEventListener('click', async () => {
  await fetch('/api/logout', { method: 'POST' }).catch(() => undefined);
  location.assign('/login');
});

/** @typedef {{ mode: 'live' | 'demo', dashboard?: string }} Home */

/** What this server is. Null: it does not answer. */
export const home = ask('/').then((/** @type {Home | null} */ found) => {
  if (found !== null) showHome(found);
  return found;
});

/** Whether an operator is logged in. False on pages that do not show it. */
export const isLoggedIn = showSession(document.querySelector('#who-is-in'));

/** @param {Home} home */
function showHome({ mode, dashboard }) {
  const place = document.querySelector('#mode');
  if (place !== null) {
    place.textContent = mode;
    place.className = `mode ${mode}`;
  }
  if (dashboard !== undefined) show('.with-admin');
}

/** @param {Element | null} place stays empty where no name was given */
async function showSession(place) {
  if (place === null) return false;
  const session = await ask('/api/login');
  show(session === null ? '#log-in' : '#log-out');
  place.textContent = session?.name ?? '';
  return session !== null;
}

/** @param {string} selector of what is hidden at first */
function show(selector) {
  for (const element of document.querySelectorAll(selector)) element.removeAttribute('hidden');
}

/**
 * @param {string} path
 * @returns {Promise<any>} null: refused, or no answer
 */
export async function ask(path) {
  try {
    const response = await fetch(path, {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/**
 * The local time, and UTC beside it where that is another.
 *
 * @param {Element} place
 */
function showClock(place) {
  const now = new Date();
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const [local, utc] = [document.createElement('strong'), document.createElement('span')];
  utc.className = 'utc';
  const utcText = now.toISOString().slice(11, 19);
  if (now.getTimezoneOffset() === 0) local.textContent = `${utcText} UTC`;
  else {
    local.textContent = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(':');
    utc.textContent = ` · ${utcText} UTC`;
  }
  place.replaceChildren(local, utc);
}
