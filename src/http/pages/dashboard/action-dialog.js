// @ts-check
import { html, render } from '/dashboard/lib/lit-html/lit-html.js';

/** @import { KeyReport } from '../../../observability/reports.ts' */

const TIMES = [
  { seconds: 900, text: '15 minutes' },
  { seconds: 3600, text: '1 hour' },
  { seconds: 28_800, text: '8 hours' },
  { seconds: 86_400, text: '1 day' },
  { seconds: 604_800, text: '7 days' },
];

const EFFECTS = {
  park: 'New requests do not use this key; running requests finish. Without Redis, a restart of the server ends the cooldown.',
  release:
    'The key is available at once, for every model. Findings about its project are cleared too.',
};

const dialog = /** @type {HTMLDialogElement} */ (document.querySelector('#dialog'));

/**
 * Asks for the reason, and for the duration.
 *
 * @param {KeyReport} key
 * @param {'release' | 'park'} action
 * @param {(body: object) => Promise<void>} carryOut throws an error whose message is shown
 */
export function askToAct(key, action, carryOut) {
  render(content(key, action, carryOut), dialog);
  dialog.querySelector('form')?.reset();
  showFault('');
  dialog.showModal();
}

/** @param {string} fault */
function showFault(fault) {
  const place = dialog.querySelector('[role=alert]');
  if (place !== null) place.textContent = fault;
}

/**
 * @param {KeyReport} key
 * @param {'release' | 'park'} action
 * @param {(body: object) => Promise<void>} carryOut
 */
function content(key, action, carryOut) {
  const isPark = action === 'park';
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const given = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const reason = String(given.get('reason') ?? '');
    try {
      await carryOut(isPark ? { reason, seconds: Number(given.get('seconds')) } : { reason });
      dialog.close();
    } catch (error) {
      showFault(error instanceof Error ? error.message : String(error));
    }
  };
  return html`
    <form @submit=${submit}>
      <h2 id="dialog-title">${isPark ? 'Park' : 'Release'} ${key.id}</h2>
      <p>${EFFECTS[action]}</p>
      ${
        isPark
          ? html`<label>Duration
              <select name="seconds">${TIMES.map(({ seconds, text }) => html`<option value=${seconds} ?selected=${seconds === 3600}>${text}</option>`)}</select>
            </label>`
          : null
      }
      <label>
        <span>Reason <span class="quiet">(optional, for the log)</span></span>
        <input name="reason" maxlength="200" autocomplete="off" />
      </label>
      <p class="notice bad" role="alert"></p>
      <div class="row">
        <button class="main">${isPark ? 'Park key' : 'Release key'}</button>
        <button type="button" @click=${() => dialog.close()}>Cancel</button>
      </div>
    </form>
  `;
}
