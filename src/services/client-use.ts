import { WEB } from '../failover/wait-queue.ts';
import type { Claim, ClientUse, FairShare } from '../pool/fair-share.ts';
import type { Target } from '../shared/target.ts';
import { Client, type Clients } from './clients.ts';

export interface ClientUseOptions {
  readonly clients: Clients;
  readonly shares: FairShare;
  /** Those that are shared. */
  readonly targets: readonly Target[];
}

/** Names and merges what instances add up: a client's use of its budget, and of its share of each target. */
export function createClientUse({ clients, shares, targets }: ClientUseOptions) {
  const byName = new Map(targets.map((target) => [nameOfTarget(target), target]));
  return {
    nameOf: (counted: Client | Claim): string =>
      counted instanceof Client
        ? `client:${counted.name}`
        : `share:${counted.client.name}:${nameOfTarget(counted.target)}`,
    find(name: string): Client | Claim | null {
      const [kind, of = '', ...rest] = name.split(':');
      if (kind === 'client') return clients.get(of);
      if (kind !== 'share') return null;
      const client = of === WEB.name ? WEB : clients.get(of);
      const target = byName.get(rest.join(':'));
      return client === null || target === undefined ? null : shares.claimOf(client, target);
    },
    countsOf: (counted: Client | Claim, now: number): ClientUse =>
      counted instanceof Client ? counted.budget.countsHere(now) : shares.use(counted, now),
    merge(counted: Client | Claim, others: ClientUse, _limits: string, now: number): void {
      if (counted instanceof Client) counted.merge(others, now);
      else shares.merge(counted, others, now);
    },
  };
}

const nameOfTarget = ({ provider, label }: Target) => `${provider}:${label}`;
