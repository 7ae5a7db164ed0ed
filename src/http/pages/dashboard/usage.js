// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { money } from '/dashboard/page.js';
import { compact, dayOf, number } from './labels.js';

/** @import { UsageReport as Usage } from '../../../observability/reports.ts' */
/** @typedef {Usage['rows'][number]} UsageRow */
/** @typedef {'client' | 'key' | 'model'} Group */

const DAYS = 30;
const DAY_MS = 86_400_000;
const SHOWN = 10;

/**
 * The queries of `GET /api/usage` for the last thirty days.
 *
 * @param {number} now
 * @param {'day' | Group} by
 * @param {string} [format]
 */
export function usagePath(now, by, format) {
  const day = (/** @type {number} */ at) => new Date(at).toISOString().slice(0, 10);
  const query = { from: day(now - (DAYS - 1) * DAY_MS), to: day(now), by };
  return `/api/usage?${new URLSearchParams(format === undefined ? query : { ...query, format })}`;
}

/**
 * Tokens and cost by day, and who or what used them.
 *
 * @param {Usage} byDay
 * @param {Usage | null} grouped
 * @param {{ group: Group, choose: (group: Group) => void, now: number }} options
 */
export const usageView = (byDay, grouped, { group, choose, now }) => html`
  <section class="card" id="usage" aria-labelledby="usage-title">
    <div class="row head">
      <h2 id="usage-title">Usage <span class="quiet">last ${DAYS} days, UTC</span></h2>
      <div class="segmented" role="group" aria-label="Group by">
        ${(/** @type {const} */ (['client', 'key', 'model'])).map((one) => html`<button type="button" aria-pressed=${one === group} @click=${() => choose(one)}>by ${one}</button>`)}
      </div>
      <a class="button" href=${usagePath(now, group, 'csv')} download>CSV</a>
    </div>
    <p class="small">${summary(byDay)}</p>
    <p class="small quiet">Without the requests that our own limits refused.</p>
    ${chart(byDay, now)}
    ${grouped === null ? null : table(grouped, group)}
  </section>
`;

/** @param {UsageRow} row */
const tokensOf = ({ inputTokens, outputTokens }) => inputTokens + outputTokens;

/** @param {Usage} usage */
function summary({ totals, currency }) {
  const parts = [
    `${compact(totals.requests)} requests`,
    `${compact(totals.inputTokens)} tokens in`,
    `${compact(totals.outputTokens)} out`,
    ...(totals.cachedTokens > 0 ? [`${compact(totals.cachedTokens)} cached`] : []),
    ...(totals.thoughtTokens > 0 ? [`${compact(totals.thoughtTokens)} thoughts`] : []),
    ...(totals.cost === null ? [] : [money(totals.cost, currency)]),
  ];
  return parts.join(' · ');
}

/**
 * @param {Usage} usage
 * @param {number} now
 */
function chart({ rows, currency }, now) {
  const known = new Map(rows.map((row) => [row.day, row]));
  const days = Array.from({ length: DAYS }, (_, index) => {
    const at = now - (DAYS - 1 - index) * DAY_MS;
    return { at, row: known.get(new Date(at).toISOString().slice(0, 10)) };
  });
  const max = Math.max(1, ...days.map(({ row }) => (row === undefined ? 0 : tokensOf(row))));
  const text = (/** @type {UsageRow} */ row) =>
    `${row.day}: ${number(row.inputTokens)} in, ${number(row.outputTokens)} out${row.cost === null ? '' : `, ${money(row.cost, currency)}`}`;
  return html`
    <svg class="days" viewBox="0 0 ${DAYS * 10} 60" preserveAspectRatio="none" role="img" aria-label="Tokens by day, at most ${compact(max)}">
      ${days.map(({ row }, index) => {
        if (row === undefined) return null;
        const [input, output] = [(row.inputTokens / max) * 58, (row.outputTokens / max) * 58];
        return svg`<g><title>${text(row)}</title>
          <rect class="fill-input" x=${index * 10 + 1} y=${60 - input} width="8" height=${input}></rect>
          <rect class="fill-output" x=${index * 10 + 1} y=${60 - input - output} width="8" height=${output}></rect></g>`;
      })}
    </svg>
    <p class="row small quiet ends"><span>${dayOf(now - (DAYS - 1) * DAY_MS)}</span><span><svg class="swatch" viewBox="0 0 8 8" aria-hidden="true"><rect class="fill-input" width="8" height="8"></rect></svg>in <svg class="swatch" viewBox="0 0 8 8" aria-hidden="true"><rect class="fill-output" width="8" height="8"></rect></svg>out</span><span>today</span></p>
  `;
}

/**
 * @param {Usage} usage
 * @param {Group} group
 */
function table({ rows, currency, isCut }, group) {
  const sorted = rows.toSorted((one, other) => tokensOf(other) - tokensOf(one));
  const hasCost = rows.some(({ cost }) => cost !== null);
  return html`
    <table class="dense">
      <thead><tr><th scope="col">${group.charAt(0).toUpperCase()}${group.slice(1)}</th><th scope="col" class="number">Requests</th><th scope="col" class="number wide" title="Each change to another key or model within a request.">Failover steps</th><th scope="col" class="number">Tokens in</th><th scope="col" class="number">Out</th>${hasCost ? html`<th scope="col" class="number">Cost</th>` : null}</tr></thead>
      <tbody>
        ${sorted.slice(0, SHOWN).map(
          (row) => html`<tr>
            <th scope="row">${row[group] ?? '–'}</th><td class="number">${number(row.requests)}</td><td class="number wide">${number(row.failovers)}</td><td class="number">${compact(row.inputTokens)}</td><td class="number">${compact(row.outputTokens)}</td>${hasCost ? html`<td class="number">${row.cost === null ? '–' : money(row.cost, currency)}</td>` : null}
          </tr>`,
        )}
      </tbody>
    </table>
    ${sorted.length > SHOWN || isCut ? html`<p class="small quiet">The ${Math.min(SHOWN, sorted.length)} with the most tokens; the CSV has all.</p>` : null}
  `;
}
