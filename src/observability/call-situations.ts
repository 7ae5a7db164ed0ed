import { DAY_MS, isoTime } from '../shared/clock.ts';
import type { Situation } from './reports.ts';
import { type Reason, type ServiceFacts, situation, titleOf } from './situation.ts';
import type { FailedRequest } from './troubles.ts';

/** After this time without a failure no request is being refused, but nothing proves that the provider answers. */
const SILENT_MS = 300_000;
/** Failures within this time before the last one count, even if requests were answered between them. */
const FAILING_MS = 300_000;
/** What failed a day ago says little about now, and the incident keeps it. */
const FORGOTTEN_MS = DAY_MS;
/** How many answers in a row end it at once. After the silence one is enough. */
const ANSWERS_THAT_PROVE = 3;

/** Most of the recent requests fail, and not for lack of keys. Answers end it; silence does not. */
export function situationsOfCalls(service: ServiceFacts, now: number): readonly Situation[] {
  const { failures, answeredSince, failed } = service.troubles;
  const recent = failuresInQuestion(failures, now);
  const [first, ...others] = recent;
  const last = recent.at(-1);
  if (first === undefined || last === undefined || !areMost(recent, answeredSince)) return [];
  const isSilent = now - last.at >= SILENT_MS;
  if ((isSilent && answeredSince > 0) || isProvedByCheck(service)) return [];
  // One failure may be an accident, but a wrong setting or address refuses every request.
  const isCertain = isOurs(service, last) && first.answeredBefore === 0;
  if (others.length === 0 && !isCertain) return [];
  const isSlow = recent.every(({ isTimeout }) => isTimeout);
  const reason = whyCallsFail(service, last, isSlow);
  return [
    situation(now, {
      ...{ look: isSilent ? 'wait' : 'bad', service: service.provider.name, cause: last.kind },
      untilText: `${titleOf(service)} answers again`,
      ...reason,
      ...(isSilent ? withoutProof(reason, last) : {}),
      since: isoTime(first.at),
      requestsAffected: failed.total - first.failedBefore,
    }),
  ];
}

/** The failures shortly before the last one, and all failures since the last answer. */
function failuresInQuestion(
  failures: readonly FailedRequest[],
  now: number,
): readonly FailedRequest[] {
  const last = failures.at(-1);
  if (last === undefined || now - last.at >= FORGOTTEN_MS) return [];
  const afterAnswer = failures.findLastIndex(({ answeredBefore }) => answeredBefore > 0);
  return failures.filter(({ at }, index) => at > last.at - FAILING_MS || index >= afterAnswer);
}

function areMost([, ...later]: readonly FailedRequest[], answeredSince: number): boolean {
  const between = later.reduce((sum, { answeredBefore }) => sum + answeredBefore, 0);
  return answeredSince < ANSWERS_THAT_PROVE && later.length + 1 >= between + answeredSince;
}

const isOurs = ({ hasOtherAddress }: ServiceFacts, failure: FailedRequest): boolean =>
  failure.kind === 'misconfigured' || (hasOtherAddress && noConnectionBy(failure) !== undefined);

/** The situations that a successful check of a key ends: the check proves that the address answers, and no more. */
const CHECK_PROVES: ReadonlySet<Situation['kind']> = new Set(['wrong_base_url', 'network']);

/** Whether a check has succeeded since the last failure and proves that its cause is gone. */
export function isProvedByCheck(service: ServiceFacts): boolean {
  const last = service.troubles.failures.at(-1);
  if (last === undefined || service.checkWorkedAt <= last.at) return false;
  return CHECK_PROVES.has(whyCallsFail(service, last).kind);
}

/** Whose fault the last failed request was. An answer that broke off for another reason is the provider's. */
export function faultOfLast(service: ServiceFacts): Situation['fault'] {
  const { failures, failed } = service.troubles;
  const last = failures.at(-1);
  return last === undefined || last.at < failed.lastAt
    ? 'provider'
    : whyCallsFail(service, last).fault;
}

function withoutProof({ kind, sentence, remedy }: Reason, { at }: FailedRequest) {
  const since = `No request was answered since ${isoTime(at).slice(11, 16)} UTC`;
  const then = CHECK_PROVES.has(kind)
    ? 'press "Check all": it asks that address with each key, without using quota.'
    : 'send a request: answers prove that it is over.';
  return {
    title: sentence,
    sentence: `${sentence} ${since}.`,
    remedy: `${remedy} Then ${then}`,
  };
}

/** No connection comes about: DNS, address, firewall, TLS. */
const NO_CONNECTION =
  /\b(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENETDOWN|UND_ERR_CONNECT_TIMEOUT|CERT_\w+|\w+_CERT\w*|UNABLE_TO_\w+|ERR_TLS_\w+)\b/;
const WRONG_REGION = /\blocation is not supported\b/i;

/** A code such as `ECONNREFUSED`. */
const noConnectionBy = ({ status, message }: FailedRequest): string | undefined =>
  status === null ? NO_CONNECTION.exec(message)?.[0] : undefined;

function whyCallsFail(service: ServiceFacts, last: FailedRequest, isSlow = last.isTimeout): Reason {
  const { provider, hasOtherAddress } = service;
  const title = titleOf(service);
  const code = noConnectionBy(last);
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
    ? `Requests to ${title} fail. The fault is at ${title} or in the network, not in the keys.`
    : `${title} fails with status ${status}. The fault is at ${title}, not in the keys.`;

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
