import type { KeyState } from '../pool/inspection.ts';
import type { Cause } from '../pool/verdicts.ts';
import { isoTime } from '../shared/clock.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';
import { isLost, said, timeOf } from './key-report.ts';
import type { Situation } from './reports.ts';
import {
  listOf,
  type ModelFacts,
  named,
  type Reason,
  type ServiceFacts,
  situation,
  titleOf,
} from './situation.ts';

/** Models that no key can answer with. */
export function situationsOfKeys(service: ServiceFacts, now: number): readonly Situation[] {
  const { models } = service;
  const isOut = ({ states }: ModelFacts) => states.every(({ state }) => state !== 'available');
  const main = models.filter(({ target }) => target.use !== 'embeddings');
  const isWholeOut = main.every(isOut);
  const others = models.filter((one) => isOut(one) && !(isWholeOut && main.includes(one)));
  return [
    ...(isWholeOut ? [allOut(service, main, now)] : []),
    ...others.map((model) => modelOut(service, model, now)),
  ];
}

function allOut(service: ServiceFacts, models: readonly ModelFacts[], now: number): Situation {
  const { provider, troubles } = service;
  const states = models.flatMap((model) => model.states);
  const since = Math.max(...models.map((model) => lastSince(model.states, now)));
  const groups = new Set(states.map(groupOf));
  const [group] = groups;
  const isMixed = group === undefined || groups.size > 1;
  return situation(now, {
    ...(isMixed
      ? { ...mixed(service, models[0]?.states ?? []), cause: 'mixed' }
      : { ...GROUPS[group].all(service, states), cause: states[0]?.cause ?? group }),
    ...{ look: 'bad', service: provider.name, ...endOf(states, now) },
    ...named(states.map(({ id }) => id)),
    since: isoTime(since),
    requestsAffected: troubles.outOfKeys.since(since, now),
  });
}

function modelOut(service: ServiceFacts, { target, states }: ModelFacts, now: number): Situation {
  const { provider, troubles } = service;
  const groups = new Set(states.map(groupOf));
  const [group] = groups;
  const what = target.use === 'embeddings' ? `embeddings by ${target.label}` : target.label;
  const rest = target.use === 'embeddings' ? '' : '; other models answer';
  const isMixed = group === undefined || groups.size > 1;
  const why = isMixed ? '' : `: every key ${GROUPS[group].each}`;
  const since = lastSince(states, now);
  return situation(now, {
    ...{ kind: 'models_out', look: 'wait', service: provider.name, model: target.label },
    ...(isMixed
      ? { fault: 'quota', remedy: WAIT_OR_ADD, cause: 'mixed' }
      : {
          ...GROUPS[group].all(service, states),
          ...{ kind: 'models_out', cause: states[0]?.cause ?? group },
        }),
    sentence: `No ${titleOf(service)} key is available for ${what}${why}${rest}.`,
    ...endOf(states, now),
    ...named(states.map(({ id }) => id)),
    since: isoTime(since),
    requestsAffected: troubles.outOfKeys.since(since, now),
  });
}

/** When the last of them became unavailable. */
const lastSince = (states: readonly KeyState[], now: number) =>
  Math.max(...states.map(({ since = now }) => since));

type Group =
  | 'minute'
  | 'day'
  | 'unexplained'
  | 'operator'
  | 'model'
  | 'rejected'
  | 'credit'
  | 'failing';

/** A rate limit for which the provider named no time may be any quota. */
function groupOf({ cause, untilBy }: KeyState): Group {
  if (cause === 'rate_limited') return untilBy === 'provider' ? 'minute' : 'unexplained';
  return (cause === undefined ? undefined : OF_CAUSE[cause]) ?? 'failing';
}

const OF_CAUSE: Partial<Record<Cause, Group>> = {
  paced: 'minute',
  quota_exhausted: 'day',
  quota_unexplained: 'unexplained',
  operator: 'operator',
  model_unavailable: 'model',
  key_rejected: 'rejected',
  out_of_credit: 'credit',
};

const WAIT_OR_ADD = 'Wait, or add a key of another project that you are entitled to.';

interface GroupWords {
  /** After "every key". */
  readonly each: string;
  /** After a number of keys. */
  readonly some: string;
  /** Where every key of a service is in the group. */
  readonly all: (service: ServiceFacts, states: readonly KeyState[]) => Reason;
}

const outBy =
  (fault: Situation['fault'], each: string, remedy: string) =>
  (service: ServiceFacts): Reason => ({
    ...{ kind: 'keys_out', fault, remedy },
    sentence: `Every ${titleOf(service)} key ${each}.`,
  });

const group = (
  each: string,
  some: string,
  fault: Situation['fault'],
  remedy: string,
): GroupWords => ({ each, some, all: outBy(fault, each, remedy) });

const REJECTED = 'is rejected by the provider';
const NO_CREDIT = 'has no credit left, or its plan or spend cap ends here';

const GROUPS: Readonly<Record<Group, GroupWords>> = {
  minute: group(
    'has used up its quota of the minute',
    'without quota for the minute',
    'quota',
    WAIT_OR_ADD,
  ),
  day: group(
    'has used up its quota of the day',
    'without quota for the day',
    'quota',
    `${WAIT_OR_ADD} Until then each key is probed once an hour.`,
  ),
  unexplained: group(
    'is refused with 429, and the provider does not say why or for how long',
    'refused with 429 without a reason',
    'quota',
    "Look at the quotas on the provider's page. Each key is tried again by itself.",
  ),
  operator: group(
    'is parked by an operator',
    'parked by an operator',
    'us',
    'Release a key when it may be used again.',
  ),
  model: {
    each: 'is refused this model',
    some: 'not allowed to use the model',
    all: (service) => wrongNames(service),
  },
  rejected: { each: REJECTED, some: 'rejected', all: allRejected },
  credit: {
    each: NO_CREDIT,
    some: 'without credit',
    all: (service, states) => outBy('key', NO_CREDIT, remedyFor(service, states))(service),
  },
  failing: group(
    'fails while the provider answers others',
    'failing',
    'provider',
    "Look at the keys' last errors.",
  ),
};

function allRejected(service: ServiceFacts, states: readonly KeyState[]): Reason {
  const why = saidOfAll(service, states);
  const each = why === null ? REJECTED : `is rejected: ${why}`;
  return outBy('key', each, remedyFor(service, states))(service);
}

/** Whether no repair at the provider helps these keys. */
const areLost = ({ retiredCause }: ServiceFacts, states: readonly KeyState[]): boolean =>
  states.every(
    ({ cause, rejection }) =>
      isLost(rejection) || (cause === 'key_rejected' && retiredCause !== null),
  );

/** What to do about keys that need action. */
function remedyFor(service: ServiceFacts, states: readonly KeyState[]): string {
  const title = titleOf(service);
  const isOne = new Set(states.map(({ id }) => id)).size === 1;
  if (areLost(service, states)) {
    return isOne
      ? `Make a new key at ${title} and replace this one.`
      : `Make new keys at ${title} and replace these.`;
  }
  return states.some(({ rejection }) => isLost(rejection))
    ? `Replace the keys that are leaked, expired or unknown by new ones. Fix the others at ${title}, then release them.`
    : `Fix that at ${title}, then release ${isOne ? 'the key' : 'each key'}.`;
}

/** Null where the provider does not say the same of each of these rejected keys. */
function saidOfAll(
  { provider }: Pick<ServiceFacts, 'provider'>,
  states: readonly KeyState[],
): string | null {
  const [rejection, ...others] = new Set(states.map((state) => state.rejection));
  if (rejection === undefined || others.length > 0) return null;
  const isOne = states.every(({ id }) => id === states[0]?.id);
  return said(provider.name, isOne ? 'it' : 'each', rejection);
}

function wrongNames({ provider, ...service }: ServiceFacts): Reason {
  const { prefix, hasPersonas = false } = provider;
  const title = titleOf({ provider });
  if (hasPersonas && service.models.length > 0) {
    return {
      ...{ kind: 'wrong_persona', fault: 'us' },
      sentence: `No ${title} key has the persona in the settings.`,
      remedy: `Correct ${prefix}_PERSONA_ID, or name a persona for each key, and restart.`,
    };
  }
  return {
    ...{ kind: 'wrong_models', fault: 'us' },
    sentence: `No ${title} key may use the models in ${prefix}_MODELS: the names are wrong, the models are gone, or no project has a quota for them.`,
    remedy: `Correct ${prefix}_MODELS and restart.`,
  };
}

const QUOTAS: ReadonlySet<Group> = new Set(['minute', 'day', 'unexplained']);

/** Keys that are out for several reasons: how many for each. */
function mixed(service: ServiceFacts, states: readonly KeyState[]): Reason {
  const counts = new Map<Group, number>();
  for (const state of states) counts.set(groupOf(state), (counts.get(groupOf(state)) ?? 0) + 1);
  const words = [...counts].map(([name, count]) => `${count} ${GROUPS[name].some}`);
  const areQuotas = [...counts.keys()].every((name) => QUOTAS.has(name));
  const each = areQuotas ? 'Every' : 'No';
  const what = areQuotas ? 'key has used up its quota' : 'key is available';
  return {
    ...{ kind: 'keys_out', fault: 'quota' },
    sentence: `${each} ${titleOf(service)} ${what}: ${words.join(', ')}.`,
    remedy: areQuotas ? WAIT_OR_ADD : `${WAIT_OR_ADD} Fix or replace the keys that need action.`,
  };
}

/** When the first of these keys really comes back, which may be later than its next probe. */
function endOf(states: readonly KeyState[], now: number): Pick<Situation, 'until' | 'untilText'> {
  const ends = states.map((state) => realEnd(state, now)).filter((end) => end !== null);
  const first = ends.toSorted((one, other) => one.at - other.at)[0];
  if (first !== undefined) {
    const untilText = `${timeOf(first.at, now)}${first.why}`;
    return { until: isoTime(first.at), untilText };
  }
  const probes = states.flatMap(({ state, until = 0 }) =>
    state === 'cooling_down' && until > now ? [until] : [],
  );
  if (probes.length > 0) {
    const at = timeOf(Math.min(...probes), now);
    return { until: null, untilText: `the provider answers again; tried at ${at}` };
  }
  const isBeingTried = states.some(({ state }) => state === 'cooling_down');
  return { until: null, untilText: isBeingTried ? 'the next request proves it' : 'it is fixed' };
}

function realEnd({ state, cause, until = 0, untilBy }: KeyState, now: number) {
  if (state !== 'cooling_down') return null;
  if (cause === 'quota_exhausted') {
    return { at: nextPacificMidnight(now), why: ', midnight Pacific' };
  }
  if (untilBy === undefined || untilBy === 'rule' || until <= now) return null;
  return { at: until, why: untilBy === 'operator' ? ', as the operator set' : '' };
}

/**
 * Some keys need action, by what for.
 *
 * @param areAnswered whether available keys answer
 */
export function situationsNeedingAction(
  service: ServiceFacts,
  areAnswered: boolean,
  now: number,
): readonly Situation[] {
  const { models } = service;
  const isAvailable = ({ states }: ModelFacts) => states.some(({ state }) => state === 'available');
  const others = areAnswered && models.every(isAvailable) ? ' Other keys answer.' : '';
  const causes = new Map<Cause, Map<string, KeyState>>();
  for (const state of models.flatMap(({ states }) => states)) {
    const { id, cause, since = now } = state;
    if (state.state !== 'exhausted' || cause === undefined) continue;
    const keys = causes.get(cause) ?? new Map<string, KeyState>();
    const isEarlier = since < (keys.get(id)?.since ?? Number.POSITIVE_INFINITY);
    causes.set(cause, isEarlier ? keys.set(id, state) : keys);
  }
  return [...causes].map(([cause, keys]) => {
    const one = needingActionFor(service, cause, keys, now);
    return { ...one, sentence: `${one.sentence}${others}` };
  });
}

/** @param keys by their ids */
function needingActionFor(
  service: ServiceFacts,
  cause: Cause,
  keys: ReadonlyMap<string, KeyState>,
  now: number,
): Situation {
  const { provider, retiredCause } = service;
  const ids = [...keys.keys()];
  const [only] = ids;
  const isOne = ids.length === 1;
  const states = [...keys.values()];
  const says = saidOfAll(service, states);
  const needs = (says === null ? NEEDS[cause] : undefined) ?? NEEDS_SOMETHING;
  const because = says === null ? '' : `: ${says}`;
  const why = cause === 'key_rejected' && retiredCause !== null ? `. ${retiredCause}` : '';
  return situation(now, {
    ...{ kind: 'key_needs_action', look: 'wait', service: provider.name, cause, fault: 'key' },
    ...named(ids),
    sentence: `${listOf(ids)} ${isOne ? needs.one : needs.many}${because}${why}.`,
    remedy: remedyFor(service, states),
    since: isoTime(Math.min(...states.map(({ since = now }) => since))),
    untilText: `${isOne ? 'it is' : 'they are'} ${areLost(service, states) ? 'replaced' : 'fixed'}`,
    link: provider.keysPage ?? (isOne ? `#key=${only}` : null),
  });
}

const NEEDS_SOMETHING = { one: 'needs action', many: 'need action' };

const NEEDS: Partial<Record<Cause, { readonly one: string; readonly many: string }>> = {
  key_rejected: {
    one: 'needs action: the provider rejects it as unknown, leaked, blocked or not allowed here',
    many: 'need action: the provider rejects them as unknown, leaked, blocked or not allowed here',
  },
  out_of_credit: {
    one: 'needs action: its project has no credit left, or its plan or spend cap ends here',
    many: 'need action: their projects have no credit left, or their plans or spend caps end here',
  },
};
