import { Counter, Histogram, type Registry } from 'prom-client';
import type { AttemptTrace, RequestTrace } from '../failover/trace.ts';
import { SERVICES } from '../shared/api-key.ts';
import { TIMES, WAIT_SECONDS } from './buckets.ts';
import { ENDS, OPERATIONS, REFUSALS, SERVICE_OF } from './closed-sets.ts';

/** What became of each request of a caller's, and what it took. */
export function createRequestMetrics(registry: Registry): (request: RequestTrace) => void {
  const { requests, refusals } = defineCounters(registry);
  const { failovers, calls, wait } = defineHistograms(registry);
  return ({ service, operation, end, attempts, waitedMs }) => {
    const ofService = { service };
    requests.inc({ service, operation, end: end.kind });
    if (end.kind === 'refused') refusals.inc({ service, code: end.code });
    if (end.kind === 'answered') calls.observe(ofService, attempts.length);
    if (waitedMs > 0) wait.observe(ofService, waitedMs / 1000);
    failovers.observe(ofService, failoversIn(attempts));
  };
}

/** How often another key or model stepped in; one that was tried once more is none. */
function failoversIn(attempts: readonly AttemptTrace[]): number {
  let count = 0;
  for (let index = 1; index < attempts.length; index += 1) {
    const [before, after] = [attempts[index - 1], attempts[index]];
    if (before?.key !== after?.key || before?.model !== after?.model) count += 1;
  }
  return count;
}

function defineCounters(registry: Registry) {
  const requests = new Counter({
    name: 'understudy_requests_total',
    help: 'Requests that went to the keys, by what became of them.',
    labelNames: ['service', 'operation', 'end'],
    registers: [registry],
  });
  const refusals = new Counter({
    name: 'understudy_refusals_total',
    help: 'Requests that were refused, by the code of the refusal.',
    labelNames: ['service', 'code'],
    registers: [registry],
  });
  for (const operation of OPERATIONS) {
    for (const end of ENDS) requests.inc({ service: SERVICE_OF[operation], operation, end }, 0);
  }
  for (const service of SERVICES) {
    for (const code of REFUSALS) refusals.inc({ service, code }, 0);
  }
  return { requests, refusals };
}

function defineHistograms(registry: Registry) {
  const all = {
    failovers: new Histogram({
      name: 'understudy_request_failovers',
      help: 'How often another key or model stepped in, for each request.',
      labelNames: ['service'],
      buckets: TIMES,
      registers: [registry],
    }),
    calls: new Histogram({
      name: 'understudy_upstream_calls_per_served_request',
      help: 'How many attempts an answered request took.',
      labelNames: ['service'],
      buckets: TIMES,
      registers: [registry],
    }),
    wait: new Histogram({
      name: 'understudy_wait_seconds',
      help: 'How long a request stood in line for a key to come back, of those that did.',
      labelNames: ['service'],
      buckets: WAIT_SECONDS,
      registers: [registry],
    }),
  };
  for (const service of SERVICES) {
    for (const histogram of Object.values(all)) histogram.zero({ service });
  }
  return all;
}
