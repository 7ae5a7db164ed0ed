// @ts-check
import { html, nothing, render } from '/dashboard/lib/lit-html/lit-html.js';
import { ask, askKeys, LoggedOut } from './api.js';
import { clientDetail } from './clients.js';
import { incidentDetail } from './incidents.js';
import { keyDetail } from './key-detail.js';
import { traceView } from './trace.js';

/** @import { TemplateResult } from 'lit-html' */
/** @import { KeyReport, KeysPage, Overview, RequestReport } from '../../../observability/reports.ts' */
/** @import { ClientList } from '../../admin/client-routes.ts' */
/** @import { IncidentsAnswer } from '../../admin/incident-routes.ts' */
/** @typedef {ClientList['clients'][number]} Client */
/** @import { KeyAction } from './key-detail.js' */
/** @import { Times } from './keys.js' */
/**
 * @typedef {object} PanelOptions
 * @property {() => Times} times
 * @property {() => KeysPage | null} page
 * @property {() => Overview | null} overview
 * @property {() => IncidentsAnswer | null} incidents null: not loaded yet
 * @property {() => readonly Client[] | null} clients null: not loaded yet
 * @property {(key: KeyReport, action: KeyAction) => void} actOnKey
 * @property {(client: Client, action: 'change' | 'rotate' | 'revoke') => void} actOnClient
 * @property {() => void} opened
 */
/** @typedef {{ kind: string, id: string }} Subject */

const dialog = /** @type {HTMLDialogElement} */ (document.querySelector('#panel'));

/**
 * The detail of one key, request, client or incident, which the address names: `#key=google-2`.
 *
 * @param {PanelOptions} options
 */
export function createPanel(options) {
  /** @type {Subject | null} */
  let subject = null;
  /** What was asked for this subject alone. @type {{ key?: KeyReport, request?: RequestReport, error?: string }} */
  let found = {};

  const follow = () => {
    const [kind = '', id = ''] = decoded(location.hash.slice(1)).split(/=(.*)/s);
    subject = kind in TITLES && id !== '' ? { kind, id } : null;
    found = {};
    show();
  };
  addEventListener('hashchange', () => {
    follow();
    if (subject !== null) options.opened();
  });
  dialog.addEventListener('close', () => {
    render(nothing, dialog);
    history.replaceState(null, '', location.pathname);
    subject = null;
  });
  // The backdrop belongs to the dialog; what is in it does not.
  dialog.addEventListener('click', ({ target }) => {
    if (target === dialog) dialog.close();
  });

  function show() {
    if (subject === null) {
      if (dialog.open) dialog.close();
      return;
    }
    if (options.overview() === null) return;
    render(frame(subject, contentOf(subject)), dialog);
    if (!dialog.open) dialog.showModal();
  }

  /** @param {Subject} subject */
  function contentOf({ kind, id }) {
    const overview = options.overview();
    const content = CONTENTS[kind]?.(id) ?? null;
    if (content !== null || overview === null) return content;
    return html`<p class="quiet">${found.error ?? (isMissing(kind) ? missing(kind) : 'Loading…')}</p>`;
  }

  /** Whether the list that would have the subject is there. @param {string} kind */
  const isMissing = (kind) =>
    (kind === 'client' && options.clients() !== null) ||
    (kind === 'incident' && options.incidents() !== null);

  /** @param {string} kind */
  const missing = (kind) =>
    kind === 'incident' && options.incidents()?.isComplete === false
      ? 'This incident cannot be read now.'
      : `There is no such ${kind}.`;

  /** @type {Record<string, (id: string) => TemplateResult | null>} */
  const CONTENTS = {
    key(id) {
      const key = found.key ?? options.page()?.keys.find((one) => one.id === id);
      const overview = options.overview();
      return key === undefined || overview === null
        ? null
        : keyDetail(key, overview, {
            times: options.times(),
            lasts: options.page()?.lasts === true,
            act: options.actOnKey,
          });
    },
    request(id) {
      const known = options.overview()?.latest.find(({ requestId }) => requestId === id);
      const request = found.request ?? known;
      return request === undefined ? null : traceView(request, nowOf(options));
    },
    client(id) {
      const client = options.clients()?.find(({ name }) => name === id);
      return client === undefined
        ? null
        : clientDetail(client, nowOf(options), options.actOnClient);
    },
    incident(id) {
      const incident = options.incidents()?.incidents.find((one) => one.id === id);
      return incident === undefined ? null : incidentDetail(incident, nowOf(options));
    },
  };

  follow();
  return {
    show,
    /** Asks for the subject, at each poll; what is forgotten meanwhile stays on the screen. */
    async load() {
      const asked = subject;
      if (asked === null) return;
      const answer = await load(asked).catch(errorOf);
      if (asked === subject) Object.assign(found, answer);
    },
  };
}

/** @param {unknown} error */
function errorOf(error) {
  if (error instanceof LoggedOut) throw error;
  return { error: error instanceof Error ? error.message : String(error) };
}

/** @type {Record<string, string>} */
const TITLES = { key: 'Key', request: 'Request', client: 'Client', incident: 'Incident' };

/**
 * @param {Subject} subject
 * @returns {Promise<{ key?: KeyReport, request?: RequestReport }>}
 */
async function load({ kind, id }) {
  if (kind === 'request') {
    const { request } = await ask(`/api/requests/${encodeURIComponent(id)}`);
    return { request };
  }
  if (kind !== 'key') return {};
  const key = (await findKey(id, '')) ?? (await findKey(id, 'retired'));
  if (key === undefined) throw new Error('There is no such key.');
  return { key };
}

/**
 * @param {string} id
 * @param {string} state
 */
async function findKey(id, state) {
  // Ids that begin with this one are found too.
  const { keys } = await askKeys({ search: id, state, limit: '500' });
  return keys.find((one) => one.id === id);
}

/** @param {string} fragment may be malformed */
function decoded(fragment) {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

/** @param {PanelOptions} options */
const nowOf = ({ overview }) => overview()?.now ?? new Date().toISOString();

/**
 * @param {Subject} subject
 * @param {TemplateResult | null} content
 */
const frame = ({ kind, id }, content) => html`
  <div class="inside">
    <div class="row head">
      <h2 id="panel-title"><span class="quiet">${TITLES[kind]}</span> ${kind === 'request' ? id.slice(0, 8) : id}</h2>
      <button type="button" class="close" autofocus @click=${() => dialog.close()}>Close</button>
    </div>
    ${content}
  </div>
`;
