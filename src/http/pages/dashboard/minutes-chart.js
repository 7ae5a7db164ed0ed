// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { count } from './words.js';

/** @import { Overview } from '../../../observability/reports.ts' */
/** @typedef {Overview['minutes'][number]} Minute */

const HEIGHT = 100;
/** One refusal among thousands is to be seen too. */
const LOWEST = 2;
const WIDTH = 600;

/**
 * What became of the requests of the last hour: a bar for each minute.
 *
 * @param {readonly Minute[]} minutes
 */
export function minutesChart(minutes) {
  const most = Math.max(4, ...minutes.map(({ requests }) => requests));
  return html`
    <section class="card" aria-labelledby="minutes-title">
      <h2 id="minutes-title">The last hour</h2>
      <p>${inWords(minutes)}</p>
      <div class="chart">
        <span class="most small quiet" aria-hidden="true">${most}</span>
        <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">
          ${minutes.map((minute, index) => bar(minute, index * (WIDTH / minutes.length), HEIGHT / most))}
        </svg>
        <span class="row small quiet ends" aria-hidden="true"><span>an hour ago</span><span>now</span></span>
      </div>
      <ul class="legend small" aria-hidden="true">
        <li><span class="swatch swatch-good"></span>answered by the first key</li>
        <li><span class="swatch swatch-wait"></span>another key stepped in</li>
        <li><span class="swatch swatch-bad"></span>refused or broken off</li>
        <li><span class="swatch swatch-unknown"></span>the caller's own fault, or it left</li>
      </ul>
      ${table(minutes)}
    </section>
  `;
}

/**
 * @param {Minute} minute
 * @param {number} x
 * @param {number} scale
 */
function bar(minute, x, scale) {
  const { answered, fallbacks } = minute;
  const failed = minute.refused + minute.brokenOff;
  let top = HEIGHT;
  const parts = [
    { number: answered - fallbacks, look: 'fill-good' },
    { number: fallbacks, look: 'fill-wait' },
    { number: minute.requests - answered - failed, look: 'fill-unknown-plain' },
    { number: failed, look: 'fill-bad' },
  ];
  return parts.map(({ number, look }) => {
    const height = number === 0 ? 0 : Math.max(LOWEST, number * scale);
    top -= height;
    return svg`<rect class=${look} x=${x + 1} y=${top} width="8" height=${height}></rect>`;
  });
}

/** @param {readonly Minute[]} minutes */
function inWords(minutes) {
  const sum = (/** @type {(minute: Minute) => number} */ number) =>
    minutes.reduce((total, minute) => total + number(minute), 0);
  const failed = sum(({ refused, brokenOff }) => refused + brokenOff);
  return `${count(
    sum(({ requests }) => requests),
    'request',
  )}: ${sum(({ fallbacks }) => fallbacks)} answered by another key than the first, ${failed} refused or broken off.`;
}

/** @param {readonly Minute[]} minutes */
function table(minutes) {
  const busy = minutes.filter(({ requests }) => requests > 0).reverse();
  if (busy.length === 0) return null;
  return html`
    <details>
      <summary class="small">As a table</summary>
      <div class="scrolls" tabindex="0" role="region" aria-label="The last hour by minutes">
        <table class="small">
          <thead><tr><th scope="col">Minute (UTC)</th><th scope="col">Requests</th><th scope="col">Another key</th><th scope="col">Refused</th><th scope="col">Broken off</th></tr></thead>
          <tbody>
            ${busy.map(
              (minute) =>
                html`<tr><th scope="row">${minute.at.slice(11, 16)}</th><td>${minute.requests}</td><td>${minute.fallbacks}</td><td>${minute.refused}</td><td>${minute.brokenOff}</td></tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  `;
}
