// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { count, plain, STATES } from './words.js';

/** @import { KeyReport } from '../../../observability/reports.ts' */

/**
 * By the server's clock: when it was asked, what it is by now, when it started; and how much a bar shows.
 *
 * @typedef {{ now: number, liveNow: number, startedAt: number, barMs: number }} Times
 */

/**
 * What one key went through, from left to right: usable where nothing else is drawn, unknown before the start.
 *
 * @param {KeyReport} key
 * @param {Times} times
 */
export function keyBar(key, { now, startedAt, barMs }) {
  const start = now - barMs;
  const place = (/** @type {number} */ at) => (Math.max(0, at - start) / barMs) * 100;
  const unknown = Math.min(100, place(startedAt));
  return html`
    <svg class="hour" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=${inWords(key, now)}>
      <rect class="fill-good" x="0" y="0" width="100" height="10"></rect>
      <rect class="fill-unknown" x="0" y="0" width=${unknown} height="10"></rect>
      ${key.history.map(({ from, to, state }) => {
        const [x, end] = [place(Date.parse(from)), place(Date.parse(to))];
        const look = state === 'exhausted' ? 'fill-bad' : 'fill-wait';
        const width = end <= 0 ? 0 : Math.max(0.4, end - x);
        return svg`<rect class=${look} x=${x} y="0" width=${width} height="10"></rect>`;
      })}
    </svg>
  `;
}

/**
 * @param {KeyReport} key
 * @param {number} now
 */
function inWords({ history }, now) {
  if (history.length === 0) return 'The last hour: usable all the time.';
  const stretches = history.slice(-3).map(({ from, to, state, cause }) => {
    const minutes = Math.max(1, Math.round((Date.parse(to) - Date.parse(from)) / 60_000));
    const ago = Math.round((now - Date.parse(from)) / 60_000);
    return `${STATES[state]?.word} for ${count(minutes, 'minute')} (${plain(cause)}), from ${count(ago, 'minute')} ago`;
  });
  const more = history.length > 3 ? `${history.length - 3} earlier; ` : '';
  return `The last hour: ${more}${stretches.join('; ')}.`;
}
