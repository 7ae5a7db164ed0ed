// @ts-check
import { repeat } from '/dashboard/lib/lit-html/directives/repeat.js';
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { count, countdown } from '/dashboard/page.js';
import { bothTimes, localTime, moment, number, timeLeft, utcTime } from './labels.js';

/** @import { Overview, Situation } from '../../../observability/reports.ts' */

/** @type {Record<NonNullable<Situation['fault']>, string>} */
const FAULTS = {
  us: 'Ours: this server, its settings or its store',
  provider: 'The provider',
  caller: 'The caller',
  quota: 'The quota: it is used up',
  key: 'The key or its account',
  network: 'The network',
};

/** @param {Situation} situation */
const faultOf = ({ fault }) => (fault === null ? 'None' : FAULTS[fault]);

const NO_PROBLEM = 'No problem found.';

/**
 * One sentence for the title of the page.
 *
 * @param {Overview} overview
 * @returns {{ look: 'good' | 'wait' | 'bad', sentence: string }}
 */
export function headline({ verdict }) {
  const [worst] = verdict?.situations ?? [];
  return { look: verdict?.look ?? 'good', sentence: worst?.sentence ?? NO_PROBLEM };
}

/**
 * What is wrong, whose fault it is, until when, and what to do: the worst situation large, the others below.
 *
 * @param {Overview} overview
 * @param {{ isStale: boolean, liveNow: number }} times
 */
export function verdictView(overview, { isStale, liveNow }) {
  const { verdict } = overview;
  if (verdict === undefined) return null;
  const [worst, ...others] = verdict.situations;
  return html`
    <section class="verdict ${verdict.look} ${isStale ? 'stale' : ''}" aria-label="Verdict">
      ${worst === undefined || worst.kind === 'all_well' ? noProblem(overview) : worstView(worst, overview.now, liveNow)}
      ${
        others.length === 0
          ? null
          : html`<ul class="others" aria-label="Further situations">
              ${repeat(
                others,
                ({ id }) => id,
                (situation) => html`<li>${otherView(situation, overview.now, liveNow)}</li>`,
              )}
            </ul>`
      }
    </section>
  `;
}

/** @param {Overview} overview */
function noProblem(overview) {
  const { services, startedAt, now } = overview;
  const models = services.flatMap((service) => service.models.slice(0, 1));
  const sum = (/** @type {'available' | 'total'} */ field) =>
    models.reduce((total, model) => total + model[field], 0);
  return html`
    <div role="status"><h1>${headline(overview).sentence}</h1></div>
    <p class="quiet">
      ${number(sum('available'))} of ${count(sum('total'), 'key')} available. Started at
      ${moment(startedAt, now)}.
    </p>
  `;
}

/**
 * @param {Situation} situation
 * @param {string} now
 * @param {number} liveNow
 */
const worstView = (situation, now, liveNow) => html`
  <div role="status"><h1>${situation.sentence}</h1></div>
  <dl class="answers">
    <div>
      <dt>Whose fault</dt>
      <dd>${faultOf(situation)}</dd>
    </div>
    <div>
      <dt>Until</dt>
      <dd>${untilView(situation, now, liveNow)}</dd>
    </div>
    ${remedyOf(situation) === null ? null : html`<div><dt>What to do</dt><dd>${remedyOf(situation)} ${linkOf(situation)}</dd></div>`}
    <div>
      <dt>Since</dt>
      <dd>
        ${bothTimes(situation.since, now)}
        <span class="quiet affected">${affected(situation)}</span>
      </dd>
    </div>
  </dl>
  ${situation.keys.length === 0 ? null : html`<p class="small">${keysOf(situation)}</p>`}
`;

/**
 * @param {Situation} situation
 * @param {string} now
 * @param {number} liveNow
 */
const otherView = (situation, now, liveNow) => html`
  <span class="sign ${LOOKS[situation.look].look}" aria-hidden="true">${LOOKS[situation.look].sign}</span>
  <div>
    <p><strong>${situation.sentence}</strong> <span class="quiet">${remedyOf(situation)} ${linkOf(situation)}</span></p>
    <p class="small quiet">
      ${faultOf(situation)} · since ${moment(situation.since, now)} ·
      ${isOver(situation) ? 'over' : html`until ${untilView(situation, now, liveNow)}`}
      ${situation.requestsAffected === 0 ? null : `· ${affected(situation)}`}
      ${situation.keys.length === 0 ? null : html`· ${keysOf(situation)}`}
    </p>
  </div>
`;

/** @type {Record<Situation['look'], { sign: string, look: string }>} */
const LOOKS = {
  bad: { sign: '✕', look: 'bad-text' },
  wait: { sign: '▲', look: 'wait' },
  info: { sign: '✓', look: 'quiet' },
};

/**
 * @param {Situation} situation
 * @param {string} now
 * @param {number} liveNow
 */
function untilView(situation, now, liveNow) {
  if (isOver(situation)) return 'Over';
  const { until, untilText } = situation;
  const left = timeLeft(until, liveNow);
  if (until === null || left === null) return untilText ?? 'not known';
  const here = `${localTime(until, now).replace(/:\d\d$/, '')} here`;
  const utc = utcTime(until) === null ? null : here;
  return html`${untilText ?? localTime(until, now)}${untilText === null || utc === null ? null : ` · ${utc}`}
    <span class="quiet">(in <span class="countdown">${countdown(left)}</span>)</span>`;
}

/** @param {Situation} situation */
const isOver = ({ look, until }) => look === 'info' && until !== null;

/** Null: it is over, and nothing is left to do. @param {Situation} situation */
const remedyOf = ({ look, remedy }) => (look === 'info' && remedy === 'Nothing.' ? null : remedy);

/** @param {Situation} situation */
const affected = ({ requestsAffected }) =>
  requestsAffected === 0 ? '' : `${count(requestsAffected, 'request')} affected`;

/** @param {Situation} situation */
function linkOf({ link }) {
  if (link === null) return null;
  if (link.startsWith('#')) return html`<a href=${link}>Show ${link.replace(/^#\w+=/, '')}</a>`;
  return html`<a href=${link} target="_blank" rel="noreferrer">${pageOf(new URL(link, location.href))}</a>`;
}

/** @param {URL} url */
const pageOf = ({ host, pathname }) => `${host}${pathname.replace(/\/$/, '')}`;

/** @param {Situation} situation */
function keysOf({ keys, keysInAll }) {
  const more = keysInAll - keys.length;
  return html`<span class="names">${keysInAll === 1 ? 'key' : `${keysInAll} keys`}:
    ${keys.map((id) => html`<a href="#key=${id}">${id}</a> `)}${more > 0 ? html`<span class="quiet">and ${more} more</span>` : null}</span>`;
}
