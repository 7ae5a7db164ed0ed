// @ts-check
import { html, render } from '/dashboard/lib/lit-html/lit-html.js';
import { announce } from '/dashboard/page.js';
import { askToAct } from './action-dialog.js';
import { act, askKeys, askOverview, Fault, LoggedOut, Refused, startPolling } from './api.js';
import { headline } from './headline.js';
import { filtersView, keysView } from './keys.js';
import { moment } from './labels.js';
import { firstReturns, modelsView } from './models.js';
import { minutesChart, requestsView } from './requests.js';

/** @import { KeyReport, KeysPage, Overview } from '../../../observability/reports.ts' */
/** @import { Filter } from './keys.js' */

const PAGE_SIZE = '25';
const HOUR_MS = 3_600_000;
/** After a start the bars begin with it, but show at least this period. */
const MIN_BAR_MS = 300_000;
/** Older data is marked as stale. */
const FRESH_MS = 10_000;

const main = /** @type {HTMLElement} */ (document.querySelector('#main'));

/** @type {Filter} */
const NO_FILTER = { service: '', model: '', state: '' };

const state = {
  /** @type {Overview | null} */
  overview: null,
  /** @type {KeysPage | null} */
  page: null,
  filter: { ...NO_FILTER },
  /** For each page up to the present one, the key before its first. */
  pages: [''],
  /** Whether the chosen page or filter has not been loaded yet. */
  isTurning: false,
  /** By the browser's clock. */
  answeredAt: 0,
  /** @type {unknown} the error of the last poll */
  error: null,
};

/** A poll that is refused after the logout must not lead elsewhere. */
let isLeaving = false;

const FIRST_QUERY = query();

main.textContent = '';
render(html`<p class="quiet">Loading…</p>`, main);

const polling = startPolling(load, failed);
/** A hidden page does not poll: its title must not show an old state. */
const showIfVisible = () => {
  if (document.hidden) document.title = 'Paused · Understudy';
  else show();
};
setInterval(showIfVisible, 1000);
document.addEventListener('visibilitychange', showIfVisible);
document.querySelector('#log-out')?.addEventListener('click', async () => {
  isLeaving = true;
  await fetch('/api/logout', { method: 'POST' }).catch(() => undefined);
  location.assign('/login');
});

async function load() {
  const asked = query();
  const [overview, page] = await Promise.all([askOverview(), askKeys(asked)]);
  if (state.error !== null) announce('The server answers again.');
  Object.assign(state, { overview, answeredAt: Date.now(), error: null });
  // Otherwise another page was chosen meanwhile, and its poll follows.
  if (isSame(asked, query())) Object.assign(state, { page, isTurning: false });
  show();
}

function query() {
  return { ...state.filter, after: state.pages.at(-1) ?? '', limit: PAGE_SIZE };
}

const isSame = (/** @type {object} */ one, /** @type {object} */ other) =>
  JSON.stringify(one) === JSON.stringify(other);

/** @param {unknown} error */
function failed(error) {
  if (error instanceof Refused && !isSame(query(), FIRST_QUERY)) {
    turnTo([''], NO_FILTER);
    return;
  }
  // An open dialog shows the error itself, and keeps its text.
  const isWriting = document.querySelector('dialog[open]') !== null;
  if (error instanceof LoggedOut && !isWriting && !isLeaving)
    location.assign('/login?to=/dashboard');
  if (state.error === null) announce('The server does not answer.');
  state.error = error;
  show();
}

function show() {
  const { overview, page, error, answeredAt } = state;
  if (overview === null || page === null) {
    if (error !== null) render(notice(), main);
    return;
  }
  const isStale = error !== null || Date.now() - answeredAt > FRESH_MS;
  const { sentence, look } = headline(overview);
  document.title = `${isStale || look !== 'good' ? '⚠ ' : ''}${sentence} · Understudy`;
  const times = timesOf(overview, isStale);
  render(
    html`
      ${isStale ? notice() : null}
      <div class="headline ${look} ${isStale ? 'stale' : ''}">
        <div role="status"><h1>${sentence}</h1></div>
        ${firstReturns(overview, times.liveNow)}
        <p class="quiet small">
          ${aboutServer(overview)}
          <a href="#keys-title">Keys</a> · <a href="#minutes-title">The last hour</a> ·
          <a href="#requests-title">Latest requests</a>
        </p>
      </div>
      ${modelsView(overview, times.liveNow)}
      <section aria-labelledby="keys-title">
        <h2 id="keys-title">Keys</h2>
        ${filtersView(overview, state.filter, changeFilter)}
        ${keysView(page, times, { choose, showNext, showPrevious, hasPrevious: state.pages.length > 1 })}
      </section>
      ${minutesChart(overview.minutes)}
      ${requestsView(overview)}
    `,
    main,
  );
}

/** @param {Overview} overview */
function aboutServer({ startedAt, now, mode }) {
  const sentences = [`Started at ${moment(startedAt, now)}.`];
  if (mode === 'demo') sentences.push('Demo: the providers are stand-ins on this machine.');
  return sentences.join(' ');
}

/**
 * Countdowns stop while the data is stale.
 *
 * @param {Overview} overview
 * @param {boolean} isStale
 */
function timesOf(overview, isStale) {
  const now = Date.parse(overview.now);
  const startedAt = Date.parse(overview.startedAt);
  const liveNow = isStale ? now : now + Date.now() - state.answeredAt;
  const barMs = Math.min(Math.max(now - startedAt, MIN_BAR_MS), HOUR_MS);
  return { now, liveNow, startedAt, barMs };
}

function notice() {
  const { overview, error } = state;
  const what =
    error instanceof Fault
      ? `The server answers with an error (${error.message})`
      : 'Connection lost';
  const since = overview === null ? '' : ` The data is from ${moment(overview.now, overview.now)}.`;
  return html`<p class="notice bad">${what}.${since} Retrying…</p>`;
}

/** @param {Partial<Filter>} changed */
const changeFilter = (changed) => turnTo([''], { ...state.filter, ...changed });

/**
 * @param {string[]} pages
 * @param {Filter} filter
 */
function turnTo(pages, filter = state.filter) {
  Object.assign(state, { pages, filter, isTurning: true });
  void polling.pollNow();
}

function showNext() {
  const next = state.page?.next ?? null;
  if (next !== null && !state.isTurning) turnTo([...state.pages, next]);
}

function showPrevious() {
  if (!state.isTurning && state.pages.length > 1) turnTo(state.pages.slice(0, -1));
}

/**
 * @param {KeyReport} key
 * @param {'release' | 'park'} action
 */
function choose(key, action) {
  askToAct(key, action, async (body) => {
    await act(key.id, action, body);
    announce(`${key.id} was ${action === 'park' ? 'parked' : 'released'}.`);
    await polling.pollNow();
  });
}
