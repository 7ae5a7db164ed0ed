// @ts-check
import { html, nothing, render } from '/dashboard/lib/lit-html/lit-html.js';

/** @import { TemplateResult } from 'lit-html' */
/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {'text' | 'secret' | 'number' | 'choice' | 'lines' | 'several'} kind `secret` hides what is typed; `several` are boxes to check
 * @property {string} [hint]
 * @property {string | readonly string[]} [value]
 * @property {readonly { value: string, text: string }[]} [options]
 * @property {boolean} [isRequired]
 * @property {boolean} [isShort] whether two such fields stand side by side
 * @property {number} [max] of a text's length, or of a number
 */
/**
 * What the fields hold: the chosen values of `several` joined by commas.
 *
 * @typedef {Record<string, string>} Given
 */
/**
 * @typedef {object} Form
 * @property {string} title
 * @property {unknown} [text]
 * @property {readonly Field[]} fields
 * @property {string} submit
 * @property {(given: Given) => Promise<TemplateResult | null | void>} carryOut shows what it returns; throws an error whose message is shown
 */

const dialog = /** @type {HTMLDialogElement} */ (document.querySelector('#dialog'));
// What was typed, and a token that was shown, leave the page with the dialog.
dialog.addEventListener('close', () => {
  if (!dialog.open) render(nothing, dialog);
});
// A link leads to the panel, which would cover the dialog.
dialog.addEventListener('click', ({ target }) => {
  if (target instanceof HTMLAnchorElement) dialog.close();
});

/** @type {Field} */
export const REASON = {
  name: 'reason',
  label: 'Reason',
  kind: 'text',
  hint: 'optional, for the log',
  max: 200,
};

/** @param {Form} form */
export function openForm(form) {
  if (dialog.open) dialog.close();
  render(nothing, dialog);
  render(formView(form), dialog);
  dialog.showModal();
}

/** @param {Form} form */
function formView({ title, text, fields, submit, carryOut }) {
  const onSubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const button = form.querySelector('button');
    showFault('');
    if (button !== null) button.disabled = true;
    try {
      const result = await carryOut(givenIn(form, fields));
      form.reset();
      if (result) render(resultView(title, result), dialog);
      else dialog.close();
    } catch (error) {
      showFault(error instanceof Error ? error.message : String(error));
    }
    if (button !== null) button.disabled = false;
  };
  return html`
    <form @submit=${onSubmit} autocomplete="off">
      <h2 id="dialog-title">${title}</h2>
      ${text === undefined ? null : html`<p class="quiet">${text}</p>`}
      ${fields.map(fieldView)}
      <p class="notice bad" role="alert"></p>
      <div class="row">
        <button class="main">${submit}</button>
        <button type="button" @click=${() => dialog.close()}>Cancel</button>
      </div>
    </form>
  `;
}

/** @param {string} fault */
function showFault(fault) {
  const place = dialog.querySelector('[role=alert]');
  if (place !== null) place.textContent = fault;
}

/**
 * @param {HTMLFormElement} form
 * @param {readonly Field[]} fields
 * @returns {Given}
 */
function givenIn(form, fields) {
  const data = new FormData(form);
  return Object.fromEntries(fields.map(({ name }) => [name, data.getAll(name).join(',').trim()]));
}

/**
 * @param {string} title
 * @param {TemplateResult} result
 */
const resultView = (title, result) => html`
  <div class="result">
    <h2 id="dialog-title">${title}</h2>
    ${result}
    <div class="row"><button type="button" class="main" autofocus @click=${() => dialog.close()}>Close</button></div>
  </div>
`;

/** @param {Field} field */
function fieldView(field) {
  const { name, label, hint, kind } = field;
  const title = html`<span>${label} ${hint === undefined ? null : html`<span class="quiet">(${hint})</span>`}</span>`;
  if (kind === 'several') {
    return html`<fieldset><legend>${title}</legend>${(field.options ?? []).map(
      ({ value, text }) =>
        html`<label class="box"><input type="checkbox" name=${name} value=${value} ?checked=${field.value?.includes(value) === true} />${text}</label>`,
    )}</fieldset>`;
  }
  return html`<label class=${kind === 'number' || field.isShort === true ? 'half' : ''}>${title} ${inputOf(field)}</label>`;
}

/** @param {Field} field */
function inputOf({ name, kind, value = '', options = [], isRequired = false, max }) {
  if (kind === 'choice') {
    return html`<select name=${name}>${options.map((option) => html`<option value=${option.value} ?selected=${option.value === value}>${option.text}</option>`)}</select>`;
  }
  if (kind === 'lines') {
    return html`<textarea class="mono secret-lines" name=${name} rows="6" ?required=${isRequired} autocomplete="off" spellcheck="false"></textarea>`;
  }
  if (kind === 'number') {
    return html`<input name=${name} type="number" min="1" max=${max ?? nothing} step="1" value=${value} ?required=${isRequired} />`;
  }
  return html`<input name=${name} type=${kind === 'secret' ? 'password' : 'text'} value=${value} maxlength=${max ?? nothing} ?required=${isRequired} autocomplete=off spellcheck="false" />`;
}
