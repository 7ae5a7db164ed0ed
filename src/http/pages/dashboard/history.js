// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { compact, dayOf, duration, hourAndMinute, number, utcTime } from './labels.js';

/** @import { IncidentReport as Incident } from '../../../observability/incident-report.ts' */
/** @import { History } from '../../../observability/reports.ts' */
/** @typedef {History['points'][number]} Point */
/**
 * Milliseconds since the epoch. Without an end it follows the present.
 *
 * @typedef {{ ms: number, to: number | null }} Range
 */
/**
 * @typedef {object} ChartOptions
 * @property {Range} range
 * @property {number} now by the server's clock
 * @property {readonly Incident[]} incidents
 * @property {number} width of the chart, in pixels
 * @property {(range: Range) => void} zoom
 * @property {() => void} redraw
 */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MIN_RANGE_MS = 15 * MINUTE_MS;
const RANGES = [
  { ms: MIN_RANGE_MS, text: '15 min' },
  { ms: HOUR_MS, text: '1 h' },
  { ms: 6 * HOUR_MS, text: '6 h' },
  { ms: DAY_MS, text: '24 h' },
];

const HEIGHT = 168;
const TOP = 14;
const BASE = HEIGHT - 20;
const LEFT = 34;
const MIN_BAR = 5;
const MAX_BAR = 24;
/** One refusal among thousands stays visible. */
const MIN_HEIGHT = 2;

/** From the base of a bar to its top. */
const PARTS = [
  { name: 'answered', look: 'good', of: (/** @type {Point} */ p) => p.answered - p.fallbacks },
  {
    name: 'after failover',
    look: 'failover',
    of: (/** @type {Point} */ p) => p.fallbacks,
  },
  {
    name: 'bad request, or the caller left',
    look: 'unknown',
    of: (/** @type {Point} */ p) => Math.max(0, p.requests - p.answered - p.refused - p.brokenOff),
  },
  {
    name: 'address limit',
    look: 'turned',
    of: (/** @type {Point} */ p) => p.turnedAway,
  },
  { name: 'client limit', look: 'budget', of: (/** @type {Point} */ p) => p.overBudget },
  { name: 'interrupted', look: 'broken', of: (/** @type {Point} */ p) => p.brokenOff },
  { name: 'refused', look: 'bad', of: (/** @type {Point} */ p) => p.refused },
];

/** What the pointer or the keyboard is at; `null` for nothing. */
const hand = {
  /** @type {number | null} */
  bar: null,
  /** @type {number | null} */
  dragFrom: null,
  /** @type {number | null} */
  dragTo: null,
};

/**
 * How requests ended, over at most a day: bars to zoom into, and incidents as bands.
 *
 * @param {History} history
 * @param {ChartOptions} options
 */
export function historyView(history, options) {
  const { range, zoom } = options;
  const bars = merge(history, Math.max(1, Math.floor((options.width - LEFT) / MIN_BAR)));
  const isPreset = (/** @type {number} */ ms) => range.to === null && range.ms === ms;
  return html`
    <section class="card history" id="history" aria-labelledby="history-title">
      <div class="row head">
        <h2 id="history-title">Requests</h2>
        <p class="small quiet readout" aria-live="off">${readout(bars, range, options.now)}</p>
        <div class="segmented" role="group" aria-label="Period">
          ${range.to === null ? null : html`<button type="button" @click=${() => zoom({ ms: widerThan(range.ms), to: null })}>Back to now</button>`}
          ${RANGES.map(({ ms, text }) => html`<button type="button" aria-pressed=${isPreset(ms)} @click=${() => zoom({ ms, to: null })}>${text}</button>`)}
        </div>
      </div>
      ${chart(bars, options)}
      <div class="row below"><ul class="legend small">${PARTS.map(({ name, look, of }) => {
        const sum = bars.reduce((total, { point }) => total + of(point), 0);
        return html`<li class=${sum === 0 ? 'quiet' : ''}><svg class="swatch" viewBox="0 0 8 8" aria-hidden="true"><rect class="fill-${look}" width="8" height="8"></rect></svg>${name} <strong>${number(sum)}</strong></li>`;
      })}</ul>${table(bars)}</div>
    </section>
  `;
}

/** The smallest offered period that is not shorter. @param {number} ms */
const widerThan = (ms) => RANGES.find((range) => range.ms >= ms)?.ms ?? DAY_MS;

/** @typedef {{ from: number, to: number, point: Point }} Bar */

/**
 * Joins neighbouring points until there are at most so many bars.
 *
 * @param {History} history
 * @param {number} most
 * @returns {Bar[]}
 */
function merge({ points, stepSeconds }, most) {
  const size = Math.max(1, Math.ceil(points.length / most));
  const stepMs = stepSeconds * 1000;
  const groups = Math.ceil(points.length / size);
  return Array.from({ length: groups }, (_, index) => {
    const group = points.slice(index * size, (index + 1) * size);
    const from = Date.parse(group[0]?.at ?? '');
    return { from, to: from + stepMs * group.length, point: group.reduce(join) };
  });
}

/**
 * @param {Point} one
 * @param {Point} other
 * @returns {Point}
 */
const join = (one, other) => ({
  at: one.at,
  requests: one.requests + other.requests,
  answered: one.answered + other.answered,
  fallbacks: one.fallbacks + other.fallbacks,
  refused: one.refused + other.refused,
  brokenOff: one.brokenOff + other.brokenOff,
  turnedAway: one.turnedAway + other.turnedAway,
  overBudget: one.overBudget + other.overBudget,
  tokens: one.tokens + other.tokens,
  p95FirstMs:
    one.p95FirstMs === null && other.p95FirstMs === null
      ? null
      : Math.max(one.p95FirstMs ?? 0, other.p95FirstMs ?? 0),
});

/** @param {Point} point */
const heightOf = (point) => PARTS.reduce((sum, { of }) => sum + of(point), 0);

/**
 * @param {readonly Bar[]} bars
 * @param {Range} range
 * @param {number} now
 */
function readout(bars, range, now) {
  const bar = hand.bar === null ? undefined : bars[hand.bar];
  if (bar !== undefined) return barText(bar);
  if (range.to === null) return 'Click a bar or drag to zoom.';
  const from = range.to - range.ms;
  const day = dayOf(from) === dayOf(now) ? '' : `${dayOf(from)} `;
  return `${day}${hourAndMinute(from)}–${hourAndMinute(range.to)}`;
}

/** @param {Bar} bar */
function barText({ from, to, point }) {
  const utc = utcTime(new Date(from).toISOString());
  const parts = PARTS.map(({ name, of }) => ({ name, sum: of(point) })).filter(
    ({ sum }) => sum > 0,
  );
  return [
    `${hourAndMinute(from)}–${hourAndMinute(to)}${utc === null ? '' : ` (${utc.slice(0, 5)} UTC)`}`,
    ...(parts.length === 0
      ? ['no requests']
      : parts.map(({ name, sum }) => `${number(sum)} ${name}`)),
    ...(point.p95FirstMs === null ? [] : [`p95 ${duration(point.p95FirstMs)}`]),
    ...(point.tokens === 0 ? [] : [`${compact(point.tokens)} tokens`]),
  ].join(' · ');
}

/**
 * @param {readonly Bar[]} bars
 * @param {ChartOptions} options
 */
function chart(bars, options) {
  const { incidents, width } = options;
  const [start, end] = [bars[0]?.from ?? 0, bars.at(-1)?.to ?? 1];
  const step = (width - LEFT) / Math.max(1, bars.length);
  const x = (/** @type {number} */ at) =>
    LEFT + ((Math.min(end, Math.max(start, at)) - start) / (end - start)) * (width - LEFT);
  const max = niceMax(Math.max(0, ...bars.map(({ point }) => heightOf(point))));
  const last = Math.max(0, bars.length - 1);
  const chosen = bars[hand.bar ?? last];
  const { down, move, up, leave } = pointerHandlers(bars, step, options);
  const drag = dragOf(bars, x);
  return html`
    <svg class="bars" width=${width} height=${HEIGHT} viewBox="0 0 ${width} ${HEIGHT}" tabindex="0" role="slider"
      aria-label="Requests over time. Left and right choose a bar, Enter zooms in, Escape shows the whole day."
      aria-valuemin="0" aria-valuemax=${last} aria-valuenow=${hand.bar ?? last}
      aria-valuetext=${chosen === undefined ? 'no data' : barText(chosen)}
      @pointerdown=${down} @pointermove=${move} @pointerup=${up} @pointerleave=${leave} @blur=${leave}
      @keydown=${keyHandler(bars, options)}>
      ${bandsOf(incidents, start, end).map((one) => bandView(one, x))}
      ${[0.5, 1].map((share) => grid(max * share, BASE - share * (BASE - TOP), width))}
      ${ticks(start, end).map((at) => tick(at, x(at), width))}
      ${bars.map(({ point }, index) => barView(point, LEFT + index * step, step, (BASE - TOP) / max, hand.bar === index))}
      ${svg`<line class="base" x1=${LEFT} x2=${width} y1=${BASE} y2=${BASE}></line>`}
      ${drag === null ? null : svg`<rect class="drag" x=${drag.x} y=${TOP} width=${drag.width} height=${BASE - TOP}></rect>`}
    </svg>
  `;
}

/**
 * A click zooms around its bar, a drag to the bars that it covers.
 *
 * @param {readonly Bar[]} bars
 * @param {number} step
 * @param {ChartOptions} options
 */
function pointerHandlers(bars, step, { zoom, redraw }) {
  const indexAt = (/** @type {PointerEvent} */ event) => {
    const { left } = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    return clamp(Math.floor((event.clientX - left - LEFT) / step), bars.length);
  };
  return {
    down(/** @type {PointerEvent} */ event) {
      /** @type {Element} */ (event.currentTarget).setPointerCapture(event.pointerId);
      hand.dragFrom = indexAt(event);
      hand.dragTo = hand.dragFrom;
    },
    move(/** @type {PointerEvent} */ event) {
      hand.bar = indexAt(event);
      if (hand.dragFrom !== null) hand.dragTo = hand.bar;
      redraw();
    },
    up(/** @type {PointerEvent} */ event) {
      if (hand.dragFrom === null) return;
      zoomTo(bars, hand.dragFrom, indexAt(event), zoom);
    },
    leave() {
      letGo();
      redraw();
    },
  };
}

const letGo = () => Object.assign(hand, { bar: null, dragFrom: null, dragTo: null });

/**
 * @param {readonly Bar[]} bars
 * @param {ChartOptions} options
 */
function keyHandler(bars, { zoom, redraw }) {
  return (/** @type {KeyboardEvent} */ event) => {
    const last = bars.length - 1;
    const at = hand.bar ?? last + 1;
    const target = targetOf(event.key, at, last);
    if (target !== null) hand.bar = target;
    else if (event.key === 'Escape') zoom({ ms: DAY_MS, to: null });
    else if (event.key === 'Enter') zoomTo(bars, Math.min(at, last), Math.min(at, last), zoom);
    else return;
    event.preventDefault();
    redraw();
  };
}

/**
 * The bar to which a key of the keyboard leads; null for other keys.
 *
 * @param {string} key
 * @param {number} at
 * @param {number} last
 */
function targetOf(key, at, last) {
  if (key === 'ArrowLeft') return clamp(at - 1, last + 1);
  if (key === 'ArrowRight') return clamp(at + 1, last + 1);
  if (key === 'Home') return 0;
  return key === 'End' ? last : null;
}

/**
 * From one bar to another; for one bar alone, to what is around it.
 *
 * @param {readonly Bar[]} bars
 * @param {number} one
 * @param {number} other
 * @param {ChartOptions['zoom']} zoom
 */
function zoomTo(bars, one, other, zoom) {
  letGo();
  const [first, last] = [bars[Math.min(one, other)], bars[Math.max(one, other)]];
  const [begin, end] = [bars[0], bars.at(-1)];
  if (first === undefined || last === undefined || begin === undefined || end === undefined) return;
  const around = first === last ? (end.to - begin.from) / AROUND : 0;
  const middle = (first.from + last.to) / 2;
  const ms = Math.max(MIN_RANGE_MS, last.to - first.from + 2 * around);
  zoom({ ms, to: Math.min(end.to, middle + ms / 2) });
}

/** A click shows a sixth of what was shown. */
const AROUND = 12;

/**
 * @param {number} index
 * @param {number} length
 */
const clamp = (index, length) => Math.max(0, Math.min(length - 1, index));

/**
 * @param {readonly Bar[]} bars
 * @param {(at: number) => number} x
 */
function dragOf(bars, x) {
  const { dragFrom, dragTo } = hand;
  if (dragFrom === null || dragTo === null || dragFrom === dragTo) return null;
  const first = bars[Math.min(dragFrom, dragTo)];
  const last = bars[Math.max(dragFrom, dragTo)];
  if (first === undefined || last === undefined) return null;
  return { x: x(first.from), width: x(last.to) - x(first.from) };
}

/**
 * At least 4, and even: half of it is a grid line, which counts whole requests.
 *
 * @param {number} value
 */
function niceMax(value) {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = power === 1 ? [6, 8, 10] : [1, 2, 5, 10];
  return (steps.find((step) => step * power >= value) ?? 10) * power;
}

/**
 * @param {Point} point
 * @param {number} x
 * @param {number} step
 * @param {number} scale
 * @param {boolean} isChosen
 */
function barView(point, x, step, scale, isChosen) {
  let top = BASE;
  const gap = step > 8 ? 2 : 1;
  const width = Math.min(step - gap, MAX_BAR);
  const left = x + (step - gap - width) / 2;
  const parts = PARTS.map(({ look, of }) => {
    const value = of(point);
    const height = value === 0 ? 0 : Math.max(MIN_HEIGHT, value * scale);
    top -= height;
    return value === 0
      ? null
      : svg`<rect class="fill-${look}" x=${left} y=${Math.max(0, top)} width=${width} height=${height}></rect>`;
  });
  return svg`${isChosen ? svg`<rect class="chosen" x=${x - gap / 2} y=${TOP} width=${step} height=${BASE - TOP}></rect>` : null}${parts}`;
}

/** @typedef {{ from: number, to: number, sentences: string[] }} Band */

/**
 * Incidents that overlap share one band.
 *
 * @param {readonly Incident[]} incidents
 * @param {number} start
 * @param {number} end
 */
function bandsOf(incidents, start, end) {
  const sorted = incidents
    .map(({ from, to, sentence }) => ({
      from: Date.parse(from),
      to: to === null ? end : Date.parse(to),
      sentences: [sentence],
    }))
    .filter(({ from, to }) => to >= start && from <= end)
    .sort((one, other) => one.from - other.from);
  /** @type {Band[]} */
  const bands = [];
  for (const one of sorted) {
    const last = bands.at(-1);
    if (last === undefined || one.from > last.to) bands.push(one);
    else {
      last.to = Math.max(last.to, one.to);
      last.sentences.push(...one.sentences);
    }
  }
  return bands;
}

/**
 * @param {Band} band
 * @param {(at: number) => number} x
 */
function bandView({ from, to, sentences }, x) {
  const width = Math.max(2, x(to) - x(from));
  return svg`<g><title>${sentences.join('\n')}</title>
    <rect class="band" x=${x(from)} y=${TOP - 6} width=${width} height=${BASE - TOP + 6}></rect>
    <rect class="band-top" x=${x(from)} y=${TOP - 8} width=${width} height="3"></rect></g>`;
}

/**
 * @param {number} value
 * @param {number} y
 * @param {number} width
 */
const grid = (value, y, width) => svg`
  <line class="grid" x1=${LEFT} x2=${width} y1=${y} y2=${y}></line>
  <text class="tick" x=${LEFT - 5} y=${y + 4} text-anchor="end">${compact(value)}</text>`;

const TICKS_MS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360].map(
  (minutes) => minutes * MINUTE_MS,
);

/**
 * Round local times, seven at most.
 *
 * @param {number} start
 * @param {number} end
 */
function ticks(start, end) {
  const step = TICKS_MS.find((ms) => (end - start) / ms <= 8) ?? DAY_MS;
  const offset = new Date(end).getTimezoneOffset() * MINUTE_MS;
  const first = Math.ceil((start - offset) / step) * step + offset;
  const all = [];
  for (let at = first; at <= end; at += step) all.push(at);
  return all;
}

/**
 * @param {number} at
 * @param {number} x
 * @param {number} width
 */
function tick(at, x, width) {
  if (x < LEFT + 8 || x > width - 16) return null;
  return svg`<line class="grid" x1=${x} x2=${x} y1=${BASE} y2=${BASE + 4}></line>
    <text class="tick" x=${x} y=${HEIGHT - 4} text-anchor="middle">${hourAndMinute(at)}</text>`;
}

/** @param {readonly Bar[]} bars */
function table(bars) {
  const busy = bars.filter(({ point }) => heightOf(point) > 0).reverse();
  if (busy.length === 0) return null;
  return html`
    <details>
      <summary class="small">As a table</summary>
      <div class="scrolls" tabindex="0" role="region" aria-label="Requests over time, as a table">
        <table class="dense">
          <thead><tr><th scope="col">From</th>${PARTS.map(({ name }) => html`<th scope="col">${name}</th>`)}<th scope="col">p95 to the first words</th><th scope="col">Tokens</th></tr></thead>
          <tbody>
            ${busy.map(({ from, point }) => html`<tr><th scope="row">${hourAndMinute(from)}</th>${PARTS.map(({ of }) => html`<td class="number">${number(of(point))}</td>`)}<td class="number">${duration(point.p95FirstMs)}</td><td class="number">${number(point.tokens)}</td></tr>`)}
          </tbody>
        </table>
      </div>
    </details>
  `;
}

/**
 * An hour, or less where the server has just started.
 *
 * @param {number} runningMs
 * @returns {Range}
 */
export const firstRange = (runningMs) => ({
  ms: runningMs < 2 * MIN_RANGE_MS ? MIN_RANGE_MS : HOUR_MS,
  to: null,
});

/**
 * The query of `GET /api/history`.
 *
 * @param {Range} range
 * @param {number} now
 */
export function historyPath({ ms, to }, now) {
  const end = to ?? Math.ceil(now / MINUTE_MS) * MINUTE_MS;
  const query = { from: new Date(end - ms).toISOString(), to: new Date(end).toISOString() };
  return `/api/history?${new URLSearchParams(query)}`;
}
