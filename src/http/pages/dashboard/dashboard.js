// @ts-check
import { html, render } from '/dashboard/lib/lit-html/lit-html.js';
import { announce } from '/dashboard/page.js';
import {
  askKeys,
  askOverview,
  createFeed,
  Fault,
  LoggedOut,
  Refused,
  startPolling,
} from './api.js';
import { askToActOnClient, askToMake, clientsView } from './clients.js';
import { failuresView, requestsView } from './failures.js';
import { firstRange, historyPath, historyView } from './history.js';
import { askToTestAlerts, incidentsView, instancesView } from './incidents.js';
import { askToAct, askToAdd, askToCheckAll, askToImport } from './key-actions.js';
import { barPeriod, keysView } from './keys.js';
import { localTime } from './labels.js';
import { createPanel } from './panel.js';
import { totalsView } from './totals.js';
import { usagePath, usageView } from './usage.js';
import { headline, verdictView } from './verdict.js';

/** @import { IncidentsAnswer } from '../../admin/incident-routes.ts' */
/** @import { History, KeysPage, Overview, UsageReport as Usage } from '../../../observability/reports.ts' */
/** @import { ClientList } from '../../admin/client-routes.ts' */
/** @import { Filter } from './keys.js' */
/** @import { Range } from './history.js' */

const PAGE_SIZE = '50';
const HOUR_MS = 3_600_000;
/** Of the chart's card, in pixels. */
const PADDING = 28;
const MIN_CHART = 200;
/** Older data is marked as stale. */
const FRESH_MS = 10_000;

const main = /** @type {HTMLElement} */ (document.querySelector('#main'));
const wide = matchMedia('(min-width: 90rem)');

/** @type {Filter} */
const NO_FILTER = { search: '', service: '', model: '', state: '' };

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
  /** @type {Range} */
  range: { ms: HOUR_MS, to: null },
  /** @type {'client' | 'key' | 'model'} */
  usageBy: 'client',
  chartWidth: 600,
  /** By the browser's clock. */
  answeredAt: 0,
  /** @type {unknown} the error of the last poll */
  error: null,
};

/** A poll that is refused after the logout must not lead elsewhere. */
let isLeaving = false;
document.querySelector('#log-out')?.addEventListener('click', () => {
  isLeaving = true;
});

const now = () => Date.parse(state.overview?.now ?? '') || Date.now();

/** @type {ReturnType<typeof createFeed<History>>} */
const historyFeed = createFeed({
  path: () => historyPath(state.range, now()),
  everyMs: 10_000,
  sections: ['history'],
});
/** @type {ReturnType<typeof createFeed<IncidentsAnswer>>} */
const incidentsFeed = createFeed({
  path: () => '/api/incidents',
  everyMs: 10_000,
  sections: ['history', 'incidents'],
});
/** @type {ReturnType<typeof createFeed<ClientList>>} */
const clientsFeed = createFeed({
  path: () => '/api/clients',
  everyMs: 4000,
  sections: ['clients'],
});
/** @type {ReturnType<typeof createFeed<Usage>>} */
const daysFeed = createFeed({
  path: () => usagePath(now(), 'day'),
  everyMs: 30_000,
  sections: ['usage'],
});
/** @type {ReturnType<typeof createFeed<Usage>>} */
const usageFeed = createFeed({
  path: () => usagePath(now(), state.usageBy),
  everyMs: 30_000,
  sections: ['usage'],
});
const feeds = [historyFeed, incidentsFeed, clientsFeed, daysFeed, usageFeed];

const FIRST_QUERY = query();

main.textContent = '';
render(html`<p class="quiet">Loading…</p>`, main);

const panel = createPanel({
  times: () => timesOf(isStale()),
  page: () => state.page,
  overview: () => state.overview,
  incidents: () => incidentsFeed.value,
  clients: () => clientsFeed.value?.clients ?? null,
  actOnKey: (key, action) => askToAct(key, action, { lasts: state.page?.lasts === true, changed }),
  actOnClient: (client, action) => {
    if (clientsFeed.value !== null) {
      askToActOnClient(clientsFeed.value, client, action, changed);
    }
  },
  opened: () => void polling.pollNow(),
});

const polling = startPolling(load, failed);
/** A hidden page does not poll: its title must not show an old state. */
const showIfVisible = () => {
  if (document.hidden) document.title = 'Paused · Understudy';
  else show();
};
setInterval(showIfVisible, 1000);
document.addEventListener('visibilitychange', showIfVisible);
wide.addEventListener('change', show);
addEventListener('resize', show);

async function load() {
  const asked = query();
  const [overview, page] = await Promise.all([askOverview(), askKeys(asked), panel.load()]);
  if (state.error !== null) announce('The server answers again.');
  if (state.overview === null) {
    state.range = firstRange(Date.parse(overview.now) - Date.parse(overview.startedAt));
  }
  Object.assign(state, { overview, answeredAt: Date.now(), error: null });
  // Otherwise another page was chosen meanwhile, and its poll follows.
  if (isSame(asked, query())) Object.assign(state, { page, isTurning: false });
  show();
  await Promise.all(feeds.map((feed) => feed.refresh()));
  show();
}

/** After a change by the operator. */
async function changed() {
  for (const feed of feeds) feed.expire();
  await polling.pollNow();
}

function query() {
  return {
    ...state.filter,
    after: state.pages.at(-1) ?? '',
    limit: PAGE_SIZE,
    sort: 'trouble',
  };
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
  const isWriting = document.querySelector('#dialog[open]') !== null;
  if (error instanceof LoggedOut && !isWriting && !isLeaving) {
    location.assign(`/login?to=/dashboard${location.hash}`);
  }
  if (state.error === null) announce('The server does not answer.');
  state.error = error;
  show();
}

const isStale = () => state.error !== null || Date.now() - state.answeredAt > FRESH_MS;

function show() {
  const { overview, page, error } = state;
  if (overview === null || page === null) {
    if (error !== null) render(notice(), main);
    return;
  }
  const times = timesOf(isStale());
  showTitle(overview);
  measure();
  render(
    html`
      ${isStale() ? notice() : null}
      ${verdictView(overview, { isStale: isStale(), liveNow: times.liveNow })}
      ${totalsView(overview, { liveNow: times.liveNow, showKeys })}
      <div class="pair charts">${historySection()} ${failuresView(overview)}</div>
      ${keysView(overview, page, times, {
        filter: state.filter,
        changeFilter,
        isWide: wide.matches,
        hasPrevious: state.pages.length > 1,
        showNext,
        showPrevious,
        add: () => askToAdd(overview, changed),
        importMany: () => askToImport(overview, changed),
        checkAll: () => askToCheckAll(changed),
      })}
      <div class="pair">
        ${requestsView(overview)}
        <div class="stack">${incidentsSection(overview)} ${instancesView(overview)}</div>
      </div>
      <div class="pair">${clientsSection(overview)} ${usageSection()}</div>
    `,
    main,
  );
  panel.show();
  measure();
}

/** @param {Overview} overview */
function showTitle(overview) {
  const { look, sentence } = headline(overview);
  document.title = `${isStale() || look !== 'good' ? '⚠ ' : ''}${sentence} · Understudy`;
  const mode = document.querySelector('#mode');
  if (mode === null) return;
  mode.textContent = overview.mode;
  mode.className = `mode ${overview.mode}`;
}

/** The chart is drawn in pixels, so that its text is not stretched. */
function measure() {
  const width = Math.floor(document.querySelector('#history')?.clientWidth ?? 0) - PADDING;
  if (width > MIN_CHART && width !== state.chartWidth) {
    state.chartWidth = width;
    queueMicrotask(show);
  }
}

const historySection = () =>
  historyFeed.value === null
    ? null
    : historyView(historyFeed.value, {
        range: state.range,
        now: now(),
        incidents: incidentsFeed.value?.incidents ?? [],
        width: state.chartWidth,
        zoom(range) {
          state.range = range;
          void polling.pollNow();
        },
        redraw: show,
      });

/** @param {Overview} overview */
const incidentsSection = (overview) =>
  incidentsFeed.value === null
    ? null
    : incidentsView(incidentsFeed.value, { now: overview.now, testAlerts: askToTestAlerts });

/** @param {Overview} overview */
function clientsSection({ now: reportedAt }) {
  const list = clientsFeed.value;
  return list === null
    ? null
    : clientsView(list, { now: reportedAt, make: () => askToMake(list, changed) });
}

const usageSection = () =>
  daysFeed.value === null
    ? null
    : usageView(daysFeed.value, usageFeed.value, {
        group: state.usageBy,
        now: now(),
        choose(group) {
          state.usageBy = group;
          void polling.pollNow();
        },
      });

/**
 * Countdowns stop while the data is stale.
 *
 * @param {boolean} isStale
 */
function timesOf(isStale) {
  const reportedAt = now();
  const startedAt = Date.parse(state.overview?.startedAt ?? '');
  const liveNow = isStale ? reportedAt : reportedAt + Date.now() - state.answeredAt;
  return { now: reportedAt, liveNow, startedAt, barMs: barPeriod(reportedAt - startedAt) };
}

function notice() {
  const { overview, error } = state;
  const what =
    error instanceof Fault
      ? `The server answers with an error (${error.message})`
      : 'Connection lost';
  const since =
    overview === null ? '' : ` The data is from ${localTime(overview.now, overview.now)}.`;
  return html`<p class="notice bad">${what}.${since} Retrying…</p>`;
}

/** @param {Partial<Filter>} changed */
const changeFilter = (changed) => turnTo([''], { ...state.filter, ...changed });

/** @param {Partial<Filter>} filter */
function showKeys(filter) {
  changeFilter(filter);
  document.querySelector('#keys')?.scrollIntoView({ block: 'start' });
}

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
