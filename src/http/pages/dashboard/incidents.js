// @ts-check
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { count } from '/dashboard/page.js';
import { change } from './api.js';
import { openForm } from './form-dialog.js';
import { bothTimes, fact, moment, number, plain, roughly, serviceName, span } from './labels.js';

/** @import { IncidentReport as Incident } from '../../../observability/incident-report.ts' */
/** @import { IncidentsAnswer } from '../../admin/incident-routes.ts' */
/** @import { Overview } from '../../../observability/reports.ts' */

const SHOWN = 8;

/**
 * What happened in the last thirty days, newest first.
 *
 * @param {IncidentsAnswer} answer
 * @param {{ now: string, testAlerts: () => void }} options without a webhook there is no test
 */
export const incidentsView = (
  { incidents, areAnnounced, isComplete = true },
  { now, testAlerts },
) => html`
  <section class="card" id="incidents" aria-labelledby="incidents-title">
    <div class="row head">
      <h2 id="incidents-title">Incidents <span class="quiet">last 30 days</span></h2>
      ${areAnnounced ? html`<button type="button" @click=${testAlerts}>Test alert</button>` : null}
    </div>
    ${isComplete ? null : html`<p class="wait">The store does not answer: other incidents may be missing.</p>`}
    ${isComplete && incidents.length === 0 ? html`<p class="quiet">None.</p>` : null}
    ${list(incidents.slice(0, SHOWN), now)}
    ${
      incidents.length <= SHOWN
        ? null
        : html`<details><summary class="small">${incidents.length - SHOWN} earlier</summary>${list(incidents.slice(SHOWN), now)}</details>`
    }
  </section>
`;

/**
 * @param {readonly Incident[]} incidents
 * @param {string} now
 */
const list = (incidents, now) => html`
  <ul class="incidents">
    ${incidents.map(
      (incident) => html`<li>
        <p>
          <span class=${incident.to === null ? 'bad-text' : 'quiet'} aria-hidden="true">${incident.to === null ? '●' : '○'}</span>
          <a href="#incident=${incident.id}">${incident.sentence}</a>
        </p>
        <p class="small quiet">
          ${span(incident.from, incident.to, now, html`<strong class="bad-text">going on</strong>`)},
          ${lengthOf(incident, now)}${incident.requestsAffected === 0 ? null : ` · ${count(incident.requestsAffected, 'request')} affected`}${incident.isNotified ? ' · alert sent' : ''}
        </p>
      </li>`,
    )}
  </ul>
`;

/**
 * @param {Incident} incident
 * @param {string} now
 */
const lengthOf = ({ from, to }, now) => roughly(Date.parse(to ?? now) - Date.parse(from));

/**
 * @param {Incident} incident
 * @param {string} now
 */
export const incidentDetail = (incident, now) => html`
  <p>${incident.sentence}</p>
  <dl class="facts">
    ${fact('Begin', bothTimes(incident.from, now))}
    ${fact('End', incident.to === null ? html`<strong class="bad-text">going on</strong>` : bothTimes(incident.to, now))}
    ${fact('Length', lengthOf(incident, now))}
    ${fact('Cause', incident.cause)}
    ${fact('Kind', plain(incident.kind))}
    ${incident.service === null ? null : fact('Service', `${serviceName(incident.service)}${incident.model === null ? '' : `, ${incident.model}`}`)}
    ${fact('Requests affected', number(incident.requestsAffected))}
    ${incident.keys.length === 0 ? null : fact('Keys', html`${incident.keys.map((id) => html`<a href="#key=${id}">${id}</a> `)}`)}
    ${fact('Alert', incident.isNotified ? 'sent' : 'not sent')}
  </dl>
`;

export const askToTestAlerts = () =>
  openForm({
    title: 'Test alert',
    text: 'Sends a test message to ALERT_WEBHOOK_URL, once.',
    fields: [],
    submit: 'Send',
    async carryOut() {
      const { sentence, isSent } = await change('POST', '/api/alerts/test');
      return html`<p class=${isSent ? '' : 'bad-text'}>${sentence}</p>`;
    },
  });

/**
 * One row for each instance, where there are several.
 *
 * @param {Overview} overview
 */
export function instancesView({ instances = [], silentInstances = 0, now }) {
  if (instances.length < 2 && silentInstances === 0) return null;
  return html`
    <section class="card" id="instances" aria-labelledby="instances-title">
      <h2 id="instances-title">Instances <span class="quiet">${instances.length}</span></h2>
      <table class="dense">
        <thead><tr><th scope="col">Instance</th><th scope="col" class="wide">Started</th><th scope="col">Redis</th><th scope="col" class="number">In flight</th><th scope="col" class="number">Requests</th><th scope="col" class="number wide">Memory</th><th scope="col" class="number wide">Lag</th></tr></thead>
        <tbody>
          ${instances.map(
            (one) => html`<tr>
              <th scope="row"><span class="mono">${one.id}</span>${one.isThis ? html` <span class="quiet">this one</span>` : null}</th>
              <td class="wide">${moment(one.startedAt, now)}</td>
              <td class=${one.redis === 'connected' ? '' : 'wait'}>${one.redis}</td>
              <td class="number">${number(one.inFlight)}</td><td class="number">${number(one.requests)}</td><td class="number wide">${number(one.memoryMb)} MB</td><td class="number wide">${one.lagMs === null ? '–' : `${one.lagMs} ms`}</td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${silentInstances === 0 ? null : html`<p class="small wait">${count(silentInstances, 'instance')} did not answer: ${silentInstances === 1 ? 'its' : 'their'} numbers are missing or some seconds old.</p>`}
    </section>
  `;
}
