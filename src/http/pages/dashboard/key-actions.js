// @ts-check
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { announce, count } from '/dashboard/page.js';
import { change } from './api.js';
import { openForm, REASON } from './form-dialog.js';
import { CHECKS } from './key-detail.js';
import { serviceName } from './labels.js';

/** @import { KeyReport, Overview } from '../../../observability/reports.ts' */
/** @typedef {NonNullable<KeyReport['lastCheck']>} Check */
/** @import { Field, Given } from './form-dialog.js' */
/** @import { KeyAction } from './key-detail.js' */

const TIMES = [
  { value: '900', text: '15 minutes' },
  { value: '3600', text: '1 hour' },
  { value: '28800', text: '8 hours' },
  { value: '86400', text: '1 day' },
  { value: '604800', text: '7 days' },
];

/** @type {readonly Field[]} */
const LABELS = [
  {
    name: 'project',
    label: 'Project',
    kind: 'text',
    hint: 'optional; keys of one project share its quota',
    max: 100,
  },
  {
    name: 'billing',
    label: 'Billing account',
    kind: 'text',
    hint: 'optional',
    isShort: true,
    max: 100,
  },
  {
    name: 'personaId',
    label: 'Persona',
    kind: 'text',
    hint: 'optional, Anam only',
    isShort: true,
    max: 100,
  },
];

/** @type {Field} */
const FORCE = {
  name: 'force',
  label: 'Check',
  kind: 'several',
  options: [{ value: 'yes', text: 'Release it by force, even if the provider rejects it' }],
};

/** Empty fields are left out. @param {Given} given */
const filled = (given) =>
  Object.fromEntries(Object.entries(given).filter(([, text]) => text !== ''));

/**
 * @param {Overview} overview
 * @param {() => Promise<void>} changed
 */
export function askToAdd(overview, changed) {
  openForm({
    title: 'Add key',
    text: 'The key is used for new requests at once. Its text is never shown again.',
    fields: [
      providerField(overview, 'Service'),
      { name: 'key', label: 'API key', kind: 'secret', isRequired: true, max: 500 },
      ...LABELS,
      REASON,
    ],
    submit: 'Add key',
    async carryOut(given) {
      const { key, warnings } = await change('POST', '/api/keys', filled(given));
      announce(`${key.id} was added.`);
      await changed();
      if (warnings.length > 0) {
        return html`<p><a href="#key=${key.id}">${key.id}</a> was added.</p>${warningsView(warnings)}`;
      }
      location.hash = `key=${key.id}`;
      return null;
    },
  });
}

/** @param {readonly string[]} warnings */
const warningsView = (warnings) =>
  html`<ul class="notice">${warnings.map((warning) => html`<li>${warning}</li>`)}</ul>`;

/**
 * @param {Overview} overview
 * @param {() => Promise<void>} changed
 */
export function askToImport(overview, changed) {
  openForm({
    title: 'Import keys',
    text: 'One key on each line: KEY, KEY=project or KEY=project,billing. Keys that are known already are skipped; after any other fault none is added.',
    fields: [
      providerField(overview, 'Service of the lines that name none'),
      { name: 'text', label: 'Keys', kind: 'lines', isRequired: true },
      REASON,
    ],
    submit: 'Import',
    async carryOut(given) {
      const { added, skipped } = await change('POST', '/api/keys/import', filled(given));
      await changed();
      const warnings = added.flatMap((/** @type {Added} */ { id, warnings: all }) =>
        all.map((warning) => `${id}: ${warning}`),
      );
      return html`
        <p>${count(added.length, 'key')} added${skipped.length === 0 ? '.' : `, ${count(skipped.length, 'line')} skipped:`}</p>
        <ul class="scrolls small">${skipped.map((/** @type {Skipped} */ { line, why }) => html`<li>Line ${line}: ${why}</li>`)}</ul>
        ${warnings.length === 0 ? null : warningsView(warnings)}
      `;
    },
  });
}

/** @typedef {{ id: string, warnings: readonly string[] }} Added */
/** @typedef {{ line: number, why: string }} Skipped */

/**
 * @param {Overview} overview
 * @param {string} label
 * @returns {Field}
 */
const providerField = ({ services }, label) => ({
  name: 'provider',
  label,
  kind: 'choice',
  options: services.map(({ service }) => ({ value: service, text: serviceName(service) })),
});

/** @param {() => Promise<void>} changed */
export function askToCheckAll(changed) {
  openForm({
    title: 'Check all keys',
    text: 'Asks the provider about each key with a call that uses no quota. A key that works again is released; one that is rejected needs action.',
    fields: [],
    submit: 'Check all',
    async carryOut() {
      const { checks } = await change('POST', '/api/keys/check');
      await changed();
      return checksView(checks);
    },
  });
}

/** @param {readonly (Check & { id: string })[]} checks */
function checksView(checks) {
  const bad = checks.filter(({ verdict }) => verdict !== 'works');
  return html`
    <p>${checks.length - bad.length} of ${count(checks.length, 'key')} work.</p>
    <ul class="scrolls small">${bad.map(({ id, verdict, sentence }) => html`<li><a href="#key=${id}">${id}</a> <strong class=${CHECKS[verdict].look}>${CHECKS[verdict].word}</strong> ${sentence}</li>`)}</ul>
  `;
}

/**
 * @param {KeyReport} key
 * @param {KeyAction} action
 * @param {{ lasts: boolean, changed: () => Promise<void> }} options whether changes outlive the restart
 */
export function askToAct(key, action, { lasts, changed }) {
  const path = `/api/keys/${encodeURIComponent(key.id)}`;
  const {
    done,
    send = (given) => change('POST', `${path}/${action}`, filled(given)),
    ...form
  } = forms(key, path, lasts)[action];
  openForm({
    ...form,
    async carryOut(given) {
      const answer = await send(given);
      announce(`${key.id} ${done}.`);
      if (action === 'retire') location.hash = '';
      await changed();
      return action === 'check' ? checkView(answer.check) : null;
    },
  });
}

/** @param {Check} check */
const checkView = ({ verdict, sentence, ms }) => html`
  <p><strong class=${CHECKS[verdict].look}>${CHECKS[verdict].word}</strong> after ${ms} ms</p>
  <p>${sentence}</p>
`;

/**
 * @param {KeyReport} key
 * @param {string} path
 * @param {boolean} lasts
 * @returns {Record<KeyAction, { title: string, text: string, fields: readonly Field[], submit: string, done: string, send?: (given: Given) => Promise<any> }>}
 */
const forms = (key, path, lasts) => ({
  check: {
    title: `Check ${key.id}`,
    text: 'Asks the provider with a call that uses no quota.',
    fields: [],
    submit: 'Check key',
    done: 'was checked',
  },
  release: {
    title: `Release ${key.id}`,
    text: 'The key is available at once, for every model. Findings about its project are cleared too. A key that needs action is checked first.',
    fields: key.state === 'exhausted' ? [REASON, FORCE] : [REASON],
    submit: 'Release key',
    done: 'was released',
    send: ({ force, ...given }) =>
      change('POST', `${path}/release`, { ...filled(given), ...(force ? { force: true } : {}) }),
  },
  park: {
    title: `Park ${key.id}`,
    text: 'New requests do not use this key until then; running requests finish.',
    fields: [
      { name: 'seconds', label: 'Duration', kind: 'choice', options: TIMES, value: '3600' },
      REASON,
    ],
    submit: 'Park key',
    done: 'was parked',
    send: ({ seconds, ...given }) =>
      change('POST', `${path}/park`, { ...filled(given), seconds: Number(seconds) }),
  },
  pause: {
    title: `Pause ${key.id}`,
    text: 'The key leaves the pool until it is resumed; running requests finish.',
    fields: [REASON],
    submit: 'Pause key',
    done: 'was paused',
  },
  resume: {
    title: `Resume ${key.id}`,
    text: 'The key is used for new requests at once.',
    fields: [REASON],
    submit: 'Resume key',
    done: 'was resumed',
  },
  labels: {
    title: `Labels of ${key.id}`,
    text: 'Keys of one project share its quota: what is found about it holds for all of them. An empty field removes the label.',
    fields: [...LABELS.map((field) => ({ ...field, value: labelOf(key, field.name) })), REASON],
    submit: 'Save labels',
    done: 'was relabelled',
    send: ({ project, billing, personaId, ...given }) =>
      change('PATCH', path, {
        project: project || null,
        billing: billing || null,
        personaId: personaId || null,
        ...filled(given),
      }),
  },
  replace: {
    title: `Replace ${key.id}`,
    text: 'New requests use the new key under the same id; running requests finish with the old one.',
    fields: [
      { name: 'key', label: 'New API key', kind: 'secret', isRequired: true, max: 500 },
      REASON,
    ],
    submit: 'Replace key',
    done: 'was replaced',
  },
  retire: {
    title: `Retire ${key.id}`,
    text: `The key leaves the pool${key.origin === 'added' ? ' for good' : ''}; running requests finish.${staysRetired(key, lasts)}`,
    fields: [REASON],
    submit: 'Retire key',
    done: 'was retired',
  },
});

/**
 * How long a key of the settings stays retired. A key that was added is gone.
 *
 * @param {KeyReport} key
 * @param {boolean} lasts
 */
function staysRetired({ origin }, lasts) {
  if (origin === 'added') return '';
  // A file is read again while the server runs.
  const changes = lasts || origin === 'file' ? ['until its text changes'] : [];
  const ends = [...changes, ...(lasts ? [] : ['until the restart']), 'or until it is resumed'];
  return ` It stays retired ${ends.join(', ')}.`;
}

/**
 * @param {KeyReport} key
 * @param {string} name
 */
function labelOf({ id, project, billing, personaId }, name) {
  if (name === 'project') return project === id ? '' : project;
  return (name === 'billing' ? billing : personaId) ?? '';
}
