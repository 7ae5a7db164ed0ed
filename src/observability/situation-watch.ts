import { WEB } from '../failover/wait-queue.ts';
import type { Inspection } from '../pool/inspection.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { type Clock, isoTime } from '../shared/clock.ts';
import type { DurableStore } from '../shared/durable-store.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { defaultTargets, type Target } from '../shared/target.ts';

import type { OperatorActions } from './operator-actions.ts';
import type { Verdict } from './reports.ts';
import type { ServiceFacts } from './situation.ts';
import { type SituationFacts, verdictOn } from './situations.ts';
import type { Troubles } from './troubles.ts';

export interface SituationWatchOptions extends Pick<OperatorActions, 'unprovenKeys'> {
  readonly inspection: Inspection;
  /** Those that are reported; each provider's first is its default. */
  readonly targets: readonly Target[];
  readonly providers: readonly ProviderFacts[];
  /** The names of the providers whose base URL in the settings is another than their own. */
  readonly atOtherAddress: ReadonlySet<string>;
  /** As `ServiceFacts` has it. */
  readonly checkWorkedAt: (provider: ProviderName) => number;
  /** Whether a client of this name is not revoked. */
  readonly isClient: (name: string) => boolean;
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
  readonly store: Pick<DurableStore, 'kind' | 'isUp' | 'fault'>;
  readonly troubles: Troubles;
  readonly clock: Pick<Clock, 'now'>;
}

/** Makes the verdict of the present facts. A situation keeps its beginning as long as it lasts. */
export function watchSituations(options: SituationWatchOptions): () => Verdict {
  const { clock } = options;
  /** When each situation was first seen, or had begun before, in milliseconds since the epoch. */
  let beginnings: ReadonlyMap<string, number> = new Map();
  return () => {
    const { look, situations } = verdictOn(gatherFacts(options, clock.now()));
    beginnings = new Map(
      situations.map(({ id, since }) => [
        id,
        Math.min(beginnings.get(id) ?? Number.POSITIVE_INFINITY, Date.parse(since)),
      ]),
    );
    return {
      look,
      situations: situations.map((one) => ({
        ...one,
        since: isoTime(beginnings.get(one.id) ?? clock.now()),
      })),
    };
  };
}

const NO_ANSWER = 'It does not answer.';

function gatherFacts(options: SituationWatchOptions, now: number): SituationFacts {
  const { targets, isClient, redis, store, troubles, unprovenKeys } = options;
  return {
    now,
    services: defaultTargets(targets).map(({ provider }) => factsOfService(options, provider)),
    unprovenKeys: unprovenKeys(),
    redis: redis === null ? null : redis(),
    store: { kind: store.kind, fault: store.fault() ?? (store.isUp() ? null : NO_ANSWER) },
    limiter: troubles.limiter(now),
    clients: troubles.clients(now).filter(({ client }) => client === WEB.name || isClient(client)),
    bugs: troubles.bugs,
    otherModels: troubles.otherModels(now),
  };
}

function factsOfService(options: SituationWatchOptions, name: string): ServiceFacts {
  const { inspection, targets, providers, atOtherAddress, checkWorkedAt, troubles } = options;
  const provider = providerOf(providers, name);
  const models = targets
    .filter((target) => target.provider === name)
    .map((target) => ({ target, states: inspection.states(name, target.label) }));
  const hasRejected = models[0]?.states.some(({ cause }) => cause === 'key_rejected') ?? false;
  const { retiredKeys } = provider;
  const isRetired =
    hasRejected &&
    retiredKeys !== undefined &&
    inspection.wereRejectedTogether(name, retiredKeys.isOne);
  return {
    provider,
    models,
    hasOtherAddress: atOtherAddress.has(name),
    checkWorkedAt: checkWorkedAt(name),
    troubles: troubles.of(name),
    retiredCause: isRetired ? retiredKeys.cause : null,
  };
}
