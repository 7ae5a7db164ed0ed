// @ts-check
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { STATES, serviceName } from './words.js';

/** @import { Overview } from '../../../observability/reports.ts' */
/** @typedef {{ service: string, model: string, state: string }} Filter */

/**
 * @param {Overview} overview
 * @param {Filter} filter
 * @param {(changed: Partial<Filter>) => void} change
 */
export const filtersView = ({ services }, filter, change) => html`
  <div class="filters">
    ${choice({
      label: 'Service and model',
      all: 'all, for the first model of each',
      chosen: `${filter.service} ${filter.model}`.trim(),
      options: services.flatMap(({ service, models }) =>
        models.map(({ model }) => ({
          value: `${service} ${model}`,
          text: `${serviceName(service)} · ${model}`,
        })),
      ),
      choose(value) {
        const [service = '', model = ''] = value.split(' ');
        change({ service, model });
      },
    })}
    ${choice({
      label: 'State',
      all: 'all',
      chosen: filter.state,
      options: Object.entries(STATES).map(([value, { word }]) => ({ value, text: word })),
      choose: (state) => change({ state }),
    })}
  </div>
`;

/**
 * @typedef {object} Choice
 * @property {string} label
 * @property {string} all what nothing chosen means
 * @property {string} chosen
 * @property {readonly { value: string, text: string }[]} options
 * @property {(value: string) => void} choose
 */

/** @param {Choice} choice */
const choice = ({ label, all, chosen, options, choose }) => html`
  <label class="small">${label}
    <select @change=${(/** @type {Event} */ event) => choose(/** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value="" ?selected=${chosen === ''}>${all}</option>
      ${options.map(({ value, text }) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`)}
    </select>
  </label>
`;
