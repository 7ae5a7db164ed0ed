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

const dialog = /** @type {HTMLDialogElement} */ (document.querySelector('#dialog'));

/**
 * Asks for the reason, and for how long.
 *
 * @param {KeyReport} key
 * @param {'release' | 'park'} action
 * @param {(body: object) => Promise<void>} carryOut throws what the person is to read
 */
export function askToAct(key, action, carryOut) {
  render(content(key, action, carryOut), dialog);
  dialog.querySelector('form')?.reset();
  tell('');
  dialog.showModal();
}

/** @param {string} fault */
function tell(fault) {
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
      tell(error instanceof Error ? error.message : String(error));
    }
  };
  return html`
    <form @submit=${submit}>
      <h2 id="dialog-title">${isPark ? 'Park' : 'Release'} ${key.id}</h2>
      <p>${isPark ? 'It is used no more from now on; what it is answering goes on. Where no Redis remembers it, a restart of the server ends it too.' : 'It may be used at once, for every model; what was found about its project is forgotten too.'}</p>
      ${
        isPark
          ? html`<label>For how long
              <select name="seconds">${TIMES.map(({ seconds, text }) => html`<option value=${seconds} ?selected=${seconds === 3600}>${text}</option>`)}</select>
            </label>`
          : null
      }
      <label>
        <span>Why <span class="quiet">(optional, for the log)</span></span>
        <input name="reason" maxlength="200" autocomplete="off" />
      </label>
      <p class="notice bad" role="alert"></p>
      <div class="row">
        <button class="main">${isPark ? 'Park it' : 'Release it'}</button>
        <button type="button" @click=${() => dialog.close()}>Cancel</button>
      </div>
    </form>
  `;
}
