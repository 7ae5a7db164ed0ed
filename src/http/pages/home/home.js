// @ts-check
import { home } from '/home/frame.js';

/** @typedef {Record<'total' | 'available' | 'cooling_down' | 'exhausted', number>} Counts */

const command = document.querySelector('#command');
if (command !== null) {
  command.textContent = (command.textContent ?? '').replace(/http:\/\/[^/]+/, location.origin);
}

const found = await home;
if (found !== null && found.dashboard === undefined) {
  document.querySelector('#without-admin')?.removeAttribute('hidden');
}

const keys = document.querySelector('#keys');
if (keys !== null) keys.textContent = await keysSentence();

async function keysSentence() {
  try {
    const { api_keys: services } = await (await fetch('/api/keys/status')).json();
    const set = Object.entries(services).filter(([, { total }]) => total > 0);
    if (set.length === 0)
      return 'No API keys are set. Set GOOGLE_API_KEY, and ANAM_API_KEY for the avatar.';
    return `Usable now: ${set.map(inWords).join(', ')}.`;
  } catch {
    return 'The server does not answer.';
  }
}

/** @param {[string, Counts]} service */
function inWords([name, { total, available }]) {
  return `${available} of ${total} ${total === 1 ? 'key' : 'keys'} of ${name}`;
}
