// @ts-check
import { html, render } from '/dashboard/lib/lit-html/lit-html.js';
import { askToAct } from './action-dialog.js';
import { act, askKeys, askOverview, Fault, LoggedOut, Refused } from './api.js';
import { filtersView } from './filters-view.js';
import { keysView } from './keys-view.js';
import { minutesChart } from './minutes-chart.js';
import { firstBack, modelsView } from './models-view.js';
import { startPolling } from './polling.js';
import { requestsView } from './requests-view.js';
import { verdict } from './verdict.js';
import { moment } from './words.js';

/** @import { KeyReport } from '../../../observability/reports.ts' */
/** @import { Overview } from '../../../observability/reports.ts' */
/** @import { KeysPage } from '../../../observability/reports.ts' */
/** @import { Filter } from './filters-view.js' */

const PAGE_SIZE = '25';
const HOUR_MS = 3_600_000;
/** A server that has just started has little to show: then the bars begin with it. */
const SHORTEST_BAR_MS = 300_000;
/** What is older is told to be so. */
const FRESH_MS = 10_000;

const main = /** @type {HTMLElement} */ (document.querySelector('#main'));
const announcement = /** @type {HTMLElement} */ (document.querySelector('#announcement'));

/** @type {Filter} */
const EVERYTHING = { service: '', model: '', state: '' };

const state = {
  /** @type {Overview | null} */
  overview: null,
  /** @type {KeysPage | null} */
  page: null,
  filter: { ...EVERYTHING },
  /** The key after which each shown page began; the last one is the present page's. */
  pages: [''],
  /** Whether another page or filter was chosen than what is shown. */
  isTurning: false,
  /** By the browser's clock. */
  answeredAt: 0,
  /** @type {unknown} what went wrong at the last question */
  error: null,
};

/** What is asked for at first. */
const START = wanted();

main.textContent = '';
render(html`<p class="quiet">Asking the server…</p>`, main);

const polling = startPolling(askAll, lost);
/** Nobody asks the server while nobody looks: the tab must not go on saying what was. */
const showIfSeen = () => {
  if (document.hidden) document.title = 'Paused · Understudy';
  else show();
};
setInterval(showIfSeen, 1000);
document.addEventListener('visibilitychange', showIfSeen);

async function askAll() {
  const query = wanted();
  const [overview, page] = await Promise.all([askOverview(), askKeys(query)]);
  if (state.error !== null) announce('The server answers again.');
  Object.assign(state, { overview, answeredAt: Date.now(), error: null });
  // What was asked for meanwhile is under way.
  if (isSame(query, wanted())) Object.assign(state, { page, isTurning: false });
  show();
}

function wanted() {
  return { ...state.filter, after: state.pages.at(-1) ?? '', limit: PAGE_SIZE };
}

const isSame = (/** @type {object} */ one, /** @type {object} */ other) =>
  JSON.stringify(one) === JSON.stringify(other);

/** @param {unknown} error */
function lost(error) {
  if (error instanceof Refused && !isSame(wanted(), START)) {
    turnTo([''], EVERYTHING);
    return;
  }
  // Somebody who is writing is told there.
  const isWriting = document.querySelector('dialog[open]') !== null;
  if (error instanceof LoggedOut && !isWriting) location.assign('/login?to=/dashboard');
  if (state.error === null) announce('The server does not answer.');
  state.error = error;
  show();
}

/** @param {string} sentence */
function announce(sentence) {
  announcement.textContent = sentence;
}

function show() {
  const { overview, page, error, answeredAt } = state;
  if (overview === null || page === null) {
    if (error !== null) render(notice(), main);
    return;
  }
  const isStale = error !== null || Date.now() - answeredAt > FRESH_MS;
  const { sentence, look } = verdict(overview);
  document.title = `${isStale || look !== 'good' ? '⚠ ' : ''}${sentence} · Understudy`;
  const times = timesOf(overview, isStale);
  render(
    html`
      ${isStale ? notice() : null}
      <div class="verdict ${look} ${isStale ? 'stale' : ''}">
        <div role="status"><h1>${sentence}</h1></div>
        ${firstBack(overview, times.liveNow)}
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
 * Nothing goes on counting that nobody has confirmed.
 *
 * @param {Overview} overview
 * @param {boolean} isStale
 */
function timesOf(overview, isStale) {
  const now = Date.parse(overview.now);
  const startedAt = Date.parse(overview.startedAt);
  const liveNow = isStale ? now : now + Date.now() - state.answeredAt;
  const barMs = Math.min(Math.max(now - startedAt, SHORTEST_BAR_MS), HOUR_MS);
  return { now, liveNow, startedAt, barMs };
}

function notice() {
  const { overview, error } = state;
  const what =
    error instanceof Fault
      ? `The server answers with an error (${error.message})`
      : 'Connection lost';
  const since =
    overview === null ? '' : `; what you see is of ${moment(overview.now, overview.now)}`;
  return html`<p class="notice bad">${what}${since}. Trying again…</p>`;
}

/** @param {Partial<Filter>} changed */
const changeFilter = (changed) => turnTo([''], { ...state.filter, ...changed });

/**
 * @param {string[]} pages
 * @param {Filter} filter
 */
function turnTo(pages, filter = state.filter) {
  Object.assign(state, { pages, filter, isTurning: true });
  void polling.askNow();
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
    await polling.askNow();
  });
}
