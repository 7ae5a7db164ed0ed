// @ts-check
import { html, nothing, render } from '/playground/lib/lit-html/lit-html.js';
import { announce, count } from '/playground/page.js';
import { askWhole, Refusal } from './ask.js';

/** @import { AnsweredBy } from './ask.js' */

const SIZE = 24;
const place = /** @type {HTMLElement} */ (document.querySelector('#burst'));

/** @typedef {{ answers: AnsweredBy[], refusals: string[], isRunning: boolean }} Burst */

/** @type {Burst | null} */
let burst = null;

export function showBurst() {
  render(
    html`
      <h2 id="burst-title">Burst</h2>
      <p class="small quiet">Sends ${SIZE} requests at once, so that keys reach their quota and others take over. The rate limit per address counts each one.</p>
      <button type="button" ?disabled=${burst?.isRunning ?? false} @click=${run}>Send ${SIZE} requests</button>
      ${burst === null ? nothing : result(burst)}
    `,
    place,
  );
}

/** @param {Burst} burst */
const result = ({ answers, refusals }) => html`
  <ul class="result">
    ${countEach(
      answers.map(({ attempts }) =>
        attempts === 1 ? 'answered at the first attempt' : `answered after ${attempts} attempts`,
      ),
    ).map(([what, number]) => html`<li><strong class="good">${number}</strong> ${what}</li>`)}
    ${countEach(refusals).map(([why, number]) => html`<li><strong class="bad-text">${number}</strong> refused: ${why}</li>`)}
  </ul>
  ${keysOf(answers)}
`;

/** @param {readonly AnsweredBy[]} answers */
function keysOf(answers) {
  const keys = countEach(answers.flatMap(({ key }) => (key === null ? [] : [key])));
  if (keys.length === 0) return nothing;
  return html`<p class="small quiet">${keys.map(([key, number]) => `${key}: ${number}`).join(' · ')}</p>`;
}

/**
 * @param {readonly string[]} texts
 * @returns {[string, number][]} the most frequent first
 */
function countEach(texts) {
  const numbers = new Map();
  for (const text of texts) numbers.set(text, (numbers.get(text) ?? 0) + 1);
  return [...numbers].sort(([, a], [, b]) => b - a);
}

async function run() {
  /** @type {Burst} */
  const current = { answers: [], refusals: [], isRunning: true };
  burst = current;
  showBurst();
  await Promise.all(Array.from({ length: SIZE }, (_, index) => askOne(current, index)));
  current.isRunning = false;
  announce(
    `${count(current.answers.length, 'answer')}, ${count(current.refusals.length, 'refusal')}.`,
  );
  showBurst();
}

/**
 * @param {Burst} current
 * @param {number} index
 */
async function askOne(current, index) {
  try {
    current.answers.push(await askWhole(`Request ${index + 1} of ${SIZE}`));
  } catch (error) {
    current.refusals.push(error instanceof Refusal ? error.message : 'The server does not answer.');
  }
  showBurst();
}
