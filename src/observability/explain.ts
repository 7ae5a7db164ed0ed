import type { ScopeState } from '../pool/key-facts.ts';
import type { ApiKey } from '../shared/api-key.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';

/** Who says that something is not ready: the provider's own answer, a rule of ours, or a person. */
export type Source = 'provider' | 'rule' | 'operator';

export const sourceOf = ({ scope }: Pick<ScopeState, 'scope'>): Source => {
  if (scope === 'operator') return 'operator';
  return scope === 'rest' ? 'rule' : 'provider';
};

/** By when it is told, and until when the key is kept back for whatever reason, in milliseconds since the epoch. */
export interface Times {
  readonly now: number;
  readonly blockedUntil: number;
}

/** Why a key cannot be had, and when that ends, in a sentence for whoever is on call. */
export function explain(finding: ScopeState, key: ApiKey, times: Times): string {
  return `${reasonFor(finding, key)}; ${outlookFor(finding, times)}`;
}

function reasonFor(finding: ScopeState, { service, project, id }: ApiKey): string {
  const { cause, scope } = finding;
  const model = nameOf(finding.model);
  const whose = project === id ? 'its project' : `the project ${project}`;
  switch (cause) {
    case 'rate_limited':
      return rateLimit(finding, service, model, whose);
    case 'quota_exhausted':
      return `the day's quota of ${model} is spent for ${whose}`;
    case 'out_of_credit':
      return `${whose} has no credit left, or its plan or spend cap ends here`;
    case 'key_rejected':
      return 'the provider rejects this key: unknown, leaked, blocked or not allowed here';
    case 'model_unavailable':
      return scope === 'key_model'
        ? `this key may not use ${model}`
        : `${whose} has no quota at all for ${model}`;
    case 'upstream_down':
      return `it fails with ${model} while others answer`;
    case 'operator':
      return 'taken out of use by the operator';
    default:
      return cause;
  }
}

function rateLimit(
  { scope, untilBy }: ScopeState,
  service: ApiKey['service'],
  model: string,
  whose: string,
): string {
  if (service === 'anam' && scope === 'project') return 'every slot of its account is busy';
  return untilBy === 'provider'
    ? `a rate limit of ${model} is reached for ${whose}`
    : `the provider refuses ${model} for ${whose} with 429, and does not say for how long`;
}

/** What stands for a model where there is none. */
function nameOf(model: string | null): string {
  if (model === ':unmetered') return 'calls that use no quota';
  return (model ?? 'any model').replace('-persona', ' persona');
}

function outlookFor(finding: ScopeState, { now, blockedUntil }: Times): string {
  const { cause, effect, isBeingTried, until, untilBy, scope } = finding;
  if (isBeingTried) return 'one request is trying it now';
  if (blockedUntil > until && effect === 'exhausted') {
    const end = timeOf(blockedUntil, now);
    return `somebody has to act; not tried before ${end}, for another reason`;
  }
  if (until <= now) return 'its time has passed: the next request tries it';
  const at = timeOf(until, now);
  if (scope === 'operator') return `back at ${at}, or when it is released`;
  if (scope === 'rest') return `it rests until ${at}, and is the last resort until then`;
  if (effect === 'exhausted') return `somebody has to act; tried again at ${at} in case they did`;
  if (cause === 'quota_exhausted') return `tried again at ${at}; ${resetFrom(now)}`;
  return untilBy === 'provider' ? `the provider says until ${at}` : `tried again at ${at}`;
}

const resetFrom = (now: number) =>
  `resets at midnight Pacific, ${timeOf(nextPacificMidnight(now), now)}`;

const DAY_MS = 86_400_000;

/** In UTC, to the second where that matters. */
function timeOf(at: number, now: number): string {
  const text = new Date(at).toISOString();
  const isSoon = at - now < 600_000;
  const time = text.slice(11, isSoon ? 19 : 16);
  return at - now < DAY_MS ? `${time} UTC` : `${time} UTC on ${text.slice(0, 10)}`;
}
