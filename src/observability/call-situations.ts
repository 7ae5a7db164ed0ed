import { isoTime } from '../shared/clock.ts';
import type { Situation } from './reports.ts';
import { type Reason, type ServiceFacts, situation, titleOf } from './situation.ts';
import type { FailedRequest } from './troubles.ts';

const FAILING_MS = 300_000;
/** How many answers in a row end it. */
const ANSWERS_THAT_PROVE = 3;

/** Most of the recent requests fail, and not for lack of keys. */
export function situationsOfCalls(service: ServiceFacts, now: number): readonly Situation[] {
  const { failures, answeredSince, failed } = service.troubles;
  const recent = failures.filter(({ at }) => at > now - FAILING_MS);
  const [first, ...others] = recent;
  const last = recent.at(-1);
  if (first === undefined || last === undefined || !areMost(recent, answeredSince)) return [];
  // One failure may be an accident, but a wrong setting refuses every request.
  if (others.length === 0 && (last.kind !== 'misconfigured' || first.answeredBefore > 0)) return [];
  return [
    situation(now, {
      ...{ look: 'bad', service: service.provider.name, cause: last.kind },
      untilText: `${titleOf(service)} answers again`,
      ...whyCallsFail(
        service,
        last,
        recent.every(({ isTimeout }) => isTimeout),
      ),
      since: isoTime(first.at),
      requestsAffected: failed.since(first.at, now),
    }),
  ];
}

function areMost([, ...later]: readonly FailedRequest[], answeredSince: number): boolean {
  const between = later.reduce((sum, { answeredBefore }) => sum + answeredBefore, 0);
  return answeredSince < ANSWERS_THAT_PROVE && later.length + 1 >= between + answeredSince;
}

/** No connection comes about: DNS, address, firewall, TLS. */
const NO_CONNECTION =
  /\b(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENETDOWN|UND_ERR_CONNECT_TIMEOUT|CERT_\w+|\w+_CERT\w*|UNABLE_TO_\w+|ERR_TLS_\w+)\b/;
const WRONG_REGION = /\blocation is not supported\b/i;

function whyCallsFail(service: ServiceFacts, last: FailedRequest, isSlow: boolean): Reason {
  const { provider, hasOtherAddress } = service;
  const title = titleOf(service);
  const [code] = last.status === null ? (NO_CONNECTION.exec(last.message) ?? []) : [];
  if (code !== undefined) {
    return hasOtherAddress
      ? wrongAddress(provider, `Nothing answers at ${provider.prefix}_BASE_URL (${code})`)
      : {
          ...{ kind: 'network', fault: 'network', link: provider.statusPage ?? null },
          sentence: `This server cannot reach ${title} (${code}): its network or name service has a fault.`,
          remedy: "Check this server's network, name service, proxy and firewall.",
        };
  }
  if (last.kind === 'misconfigured') return wrongSetting(service, last);
  const link = provider.statusPage ?? null;
  return isSlow
    ? {
        ...{ kind: 'provider_slow', fault: 'provider', link },
        sentence: `${title} does not answer in time. The keys are fine.`,
        remedy: `Look at the status page of ${title}. Further keys do not help.`,
      }
    : {
        ...{ kind: 'provider_down', fault: 'provider', link },
        sentence: whatFails(title, last),
        remedy: `Look at the status page of ${title}, and wait. Further keys do not help.`,
      };
}

const whatFails = (title: string, { status }: FailedRequest) =>
  status === null
    ? `Requests to ${title} fail: the provider or the network has a fault, not the keys.`
    : `${title} fails with status ${status}: it has a fault, not the keys.`;

const wrongAddress = ({ prefix }: ServiceFacts['provider'], what: string): Reason => ({
  ...{ kind: 'wrong_base_url', fault: 'us', sentence: `${what}.` },
  remedy: `Correct ${prefix}_BASE_URL and restart, or start what should answer there.`,
  untilText: 'it is corrected',
});

function wrongSetting(service: ServiceFacts, { message, status }: FailedRequest): Reason {
  const { provider, hasOtherAddress } = service;
  const { prefix, hasPersonas = false } = provider;
  const title = titleOf(service);
  if (WRONG_REGION.test(message)) {
    return {
      ...{ kind: 'region', fault: 'us' },
      sentence: `${title} does not serve the region where this server runs.`,
      remedy: 'Run this server in a region that the provider supports.',
    };
  }
  if (hasPersonas && (status === 400 || status === null)) {
    return {
      ...{ kind: 'wrong_persona', fault: 'us', link: provider.keysPage ?? null },
      sentence: `${title} refuses our persona: it is missing or invalid.`,
      remedy: `Correct ${prefix}_PERSONA_ID or ${prefix}_PERSONA_CONFIG and restart.`,
    };
  }
  if (hasOtherAddress) {
    return wrongAddress(provider, `Something other than ${title} answers at ${prefix}_BASE_URL`);
  }
  return {
    ...{ kind: 'misconfigured', fault: 'us' },
    sentence: `Requests to ${title} fail: a setting of this server is wrong, see its log.`,
    remedy: 'Look for misconfigured in the log: the line says what was answered.',
  };
}
