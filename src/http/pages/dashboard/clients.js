// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { announce } from '/dashboard/page.js';
import { change } from './api.js';
import { openForm, REASON } from './form-dialog.js';
import { bothTimes, compact, fact, number, roughly } from './labels.js';

/** @import { ClientList } from '../../admin/client-routes.ts' */
/** @typedef {ClientList['clients'][number]} Client */
/** @import { Field, Given } from './form-dialog.js' */

/** @typedef {Pick<ClientList, 'models' | 'routes'>} Choices what a client may be limited to */

/** @type {readonly { limit: 'requestsPerMinute' | 'tokensPerMinute' | 'requestsPerDay' | 'tokensPerDay', used: keyof Client['used'], title: string, short: string }[]} */
const LIMITS = [
  {
    limit: 'requestsPerMinute',
    used: 'requestsMinute',
    title: 'Requests a minute',
    short: 'Req/min',
  },
  { limit: 'tokensPerMinute', used: 'tokensMinute', title: 'Tokens a minute', short: 'Tokens/min' },
  { limit: 'requestsPerDay', used: 'requestsDay', title: 'Requests a day', short: 'Req/day' },
  { limit: 'tokensPerDay', used: 'tokensDay', title: 'Tokens a day', short: 'Tokens/day' },
];

const GRACES = [
  { value: '0', text: 'no longer' },
  { value: '300', text: 'for 5 minutes' },
  { value: '3600', text: 'for 1 hour' },
  { value: '86400', text: 'for 1 day' },
];

/**
 * Who calls: what each may use, and how much of it is used.
 *
 * @param {ClientList} list
 * @param {{ now: string, make: () => void }} options
 */
export const clientsView = ({ clients, lasts }, { now, make }) => html`
  <section class="card" id="clients" aria-labelledby="clients-title">
    <div class="row head">
      <h2 id="clients-title">Clients <span class="quiet">${clients.length}</span></h2>
      <div class="row tools"><button type="button" @click=${make}>New client</button></div>
    </div>
    ${lasts ? null : html`<p class="small quiet">Clients that are made here last until the restart.</p>`}
    ${clients.length === 0 ? html`<p class="quiet">None. Without a client token everybody may call.</p>` : table(clients, now)}
  </section>
`;

/**
 * @param {readonly Client[]} clients
 * @param {string} now
 */
const table = (clients, now) => html`
  <table class="dense clients">
    <thead>
      <tr>
        <th scope="col">Client</th>
        ${LIMITS.map(({ short }, index) => html`<th scope="col" class=${index % 2 === 0 ? '' : 'wide'}>${short}</th>`)}
        <th scope="col" class="wide number">Share</th>
        <th scope="col" class="number">Refused</th>
        <th scope="col" class="wide">Last used</th>
      </tr>
    </thead>
    <tbody>
      ${clients.map(
        (client) => html`<tr>
          <th scope="row"><a href="#client=${client.name}">${client.name}</a></th>
          ${LIMITS.map(({ limit, used }, index) => html`<td class=${index % 2 === 0 ? '' : 'wide'}>${meter(client.used[used], client[limit])}</td>`)}
          <td class="wide number">${client.weight}</td>
          <td class="number ${client.refused > 0 ? 'wait' : 'quiet'}">${number(client.refused)}</td>
          <td class="wide quiet">${client.lastUsedAt === null ? 'never' : `${roughly(Date.parse(now) - Date.parse(client.lastUsedAt))} ago`}</td>
        </tr>`,
      )}
    </tbody>
  </table>
`;

/**
 * @param {number} used
 * @param {number | null} limit
 */
function meter(used, limit) {
  if (limit === null) return html`<span class="quiet" title="No limit">${compact(used)} / –</span>`;
  const share = Math.min(100, (used / limit) * 100);
  const look = share >= 100 ? 'fill-bad' : share >= 80 ? 'fill-wait' : 'fill-good';
  return html`<span class="meter"><span>${compact(used)} <span class="quiet">/ ${compact(limit)}</span></span>
    <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">${svg`<rect class="fill-unknown" width="100" height="4"></rect><rect class=${look} width=${share} height="4"></rect>`}</svg></span>`;
}

/**
 * @param {Client} client
 * @param {string} now
 * @param {(client: Client, action: 'change' | 'rotate' | 'revoke') => void} act
 */
export const clientDetail = (client, now, act) => html`
  ${client.origin === 'environment' ? html`<p class="quiet">Of CLIENT_TOKENS: it can only be changed there.</p>` : actionsView(client, act)}
  <dl class="facts">
    ${fact('Models', client.models?.join(', ') ?? 'all')}
    ${fact('Routes', client.routes?.join(', ') ?? 'all')}
    ${LIMITS.map(({ limit, used, title }) => fact(title, meter(client.used[used], client[limit])))}
    ${fact('Share when keys are scarce', client.weight)}
    ${fact('Refused', number(client.refused))}
    ${client.createdAt === null ? null : fact('Made', bothTimes(client.createdAt, now))}
    ${fact('Last used', client.lastUsedAt === null ? 'never' : bothTimes(client.lastUsedAt, now))}
  </dl>
`;

/**
 * @param {Client} client
 * @param {(client: Client, action: 'change' | 'rotate' | 'revoke') => void} act
 */
const actionsView = (client, act) => html`
  <div class="row actions">
    <button type="button" @click=${() => act(client, 'change')}>Change…</button>
    <button type="button" @click=${() => act(client, 'rotate')}>New token…</button>
    <button type="button" @click=${() => act(client, 'revoke')}>Revoke…</button>
  </div>
`;

/**
 * @param {Choices} choices
 * @param {Client | null} client
 * @returns {Field[]}
 */
const policyFields = ({ models, routes }, client) => [
  {
    name: 'models',
    label: 'Models',
    kind: 'several',
    hint: 'none checked: all',
    options: models.map((model) => ({ value: model, text: model })),
    value: client?.models ?? [],
  },
  {
    name: 'routes',
    label: 'Routes',
    kind: 'several',
    hint: 'none checked: all',
    options: routes.map((route) => ({ value: route, text: route })),
    value: client?.routes ?? [],
  },
  ...LIMITS.map(({ limit, title }) => ({
    name: limit,
    label: title,
    kind: /** @type {const} */ ('number'),
    hint: 'empty: no limit',
    value: String(client?.[limit] ?? ''),
  })),
  {
    name: 'weight',
    label: 'Share when keys are scarce',
    kind: 'number',
    hint: '1 to 100',
    max: 100,
    isRequired: true,
    value: String(client?.weight ?? 1),
  },
];

/** @param {Given} given */
function policyIn(given) {
  const list = (/** @type {string | undefined} */ text) => (text ? text.split(',') : null);
  const limits = LIMITS.map(({ limit }) => [limit, given[limit] ? Number(given[limit]) : null]);
  return {
    models: list(given.models),
    routes: list(given.routes),
    ...Object.fromEntries(limits),
    weight: Number(given.weight),
    ...(given.reason ? { reason: given.reason } : {}),
  };
}

/**
 * @param {Choices} choices
 * @param {() => Promise<void>} changed
 */
export function askToMake(choices, changed) {
  openForm({
    title: 'New client',
    text: 'Its token is shown once.',
    fields: [
      {
        name: 'name',
        label: 'Name',
        kind: 'text',
        hint: 'a-z, 0-9, ., _ and -',
        isRequired: true,
        max: 60,
      },
      ...policyFields(choices, null),
      REASON,
    ],
    submit: 'Make client',
    async carryOut(given) {
      const { token } = await change('POST', '/api/clients', {
        name: given.name,
        ...policyIn(given),
      });
      await changed();
      return tokenView(token);
    },
  });
}

/** @param {string} token */
function tokenView(token) {
  const copy = async (/** @type {Event} */ event) => {
    const button = /** @type {HTMLButtonElement} */ (event.target);
    await navigator.clipboard.writeText(token).then(
      () => {
        button.textContent = 'Copied';
      },
      () => document.querySelector('#token')?.dispatchEvent(new Event('focus')),
    );
  };
  return html`
    <p>Copy the token now: only its digest is kept, so it cannot be shown again.</p>
    <div class="token">
      <input id="token" class="mono" readonly aria-label="Token" value=${token} @focus=${(/** @type {Event} */ event) => /** @type {HTMLInputElement} */ (event.target).select()} />
      <button type="button" @click=${copy}>Copy</button>
    </div>
  `;
}

/**
 * @param {Choices} choices
 * @param {Client} client
 * @param {'change' | 'rotate' | 'revoke'} action
 * @param {() => Promise<void>} changed
 */
export function askToActOnClient(choices, client, action, changed) {
  const path = `/api/clients/${encodeURIComponent(client.name)}`;
  const reasonIn = (/** @type {Given} */ { reason }) => (reason ? { reason } : {});
  const forms = {
    change: {
      title: `Change ${client.name}`,
      text: 'Holds from the next request on.',
      fields: [...policyFields(choices, client), REASON],
      submit: 'Save',
      carryOut: async (/** @type {Given} */ given) => {
        await change('PATCH', path, policyIn(given));
        announce(`${client.name} was changed.`);
        await changed();
      },
    },
    rotate: {
      title: `New token for ${client.name}`,
      text: 'The new token is shown once.',
      fields: [
        {
          name: 'graceSeconds',
          label: 'The old token works',
          kind: /** @type {const} */ ('choice'),
          options: GRACES,
        },
        REASON,
      ],
      submit: 'Make token',
      carryOut: async (/** @type {Given} */ given) => {
        const { token } = await change('POST', `${path}/rotate`, {
          ...reasonIn(given),
          graceSeconds: Number(given.graceSeconds),
        });
        await changed();
        return tokenView(token);
      },
    },
    revoke: {
      title: `Revoke ${client.name}`,
      text: 'Its token is refused at once; running answers finish.',
      fields: [REASON],
      submit: 'Revoke client',
      carryOut: async (/** @type {Given} */ given) => {
        await change('DELETE', path, reasonIn(given));
        announce(`${client.name} was revoked.`);
        location.hash = '';
        await changed();
      },
    },
  };
  openForm(forms[action]);
}
