import type { Failover, FailoverRequest } from '../failover/failover.ts';
import { modelNotServed, ServiceError } from '../failover/service-error.ts';
import type { EndedTrace, TraceSink } from '../failover/trace.ts';
import { WEB } from '../failover/wait-queue.ts';
import type { FairShare } from '../pool/fair-share.ts';
import type { AnswerEnd } from '../providers/provider.ts';
import { type Clock, MINUTE_MS } from '../shared/clock.ts';
import type { Target } from '../shared/target.ts';
import type { ClientLimit, UsedUp } from './budgets.ts';
import type { Client, Clients } from './clients.ts';

export interface AdmissionOptions {
  readonly clients: Clients;
  readonly shares: FairShare;
  readonly clock: Pick<Clock, 'now'>;
  /** A budget has changed. */
  readonly used: (client: Client) => void;
  /** A client's request was refused for a limit. */
  readonly refused: (client: string, limit: ClientLimit) => void;
}

export interface Admission {
  /** The same failover, which refuses what the client may not do. */
  guard(failover: Failover): Failover;
  /** Counts the tokens of requests that have ended. */
  readonly sink: TraceSink;
}

/** Applies the models, the budget and the share of each client before the failover. Without clients it admits every request. */
export function createAdmission(options: AdmissionOptions): Admission {
  const { clients, shares, clock, used, refused } = options;

  function refuse(name: string, limit: ClientLimit, until: number, message: string): never {
    const client = clients.get(name);
    if (client !== null) client.refused += 1;
    refused(name, limit);
    const retryAfterMs = until - clock.now();
    throw new ServiceError('rate_limited', `${message} ${again(retryAfterMs)}`, {
      retryAfterMs,
      limit,
    });
  }

  function checkBudget(client: Client, now: number): void {
    const usedUp = client.budget.usedUp(now);
    if (usedUp !== null) {
      refuse(client.name, usedUp.limit, usedUp.until, budgetSentence(usedUp));
    }
  }

  function admit(client: Client | null, target: Target): void {
    const now = clock.now();
    if (client !== null) checkBudget(client, now);
    const sharer = client ?? WEB;
    const until = target.metered ? shares.admit(sharer, target, now) : 0;
    if (until > 0) refuse(sharer.name, 'share', until, shareSentence(target));
    if (client === null) return;
    client.lastUsedAt = now;
    client.budget.countRequest(now);
    used(client);
  }

  /** A request that was refused has used nothing. */
  function giveBack({ targets: [target], startedAt }: EndedTrace, client: Client | null): void {
    const now = clock.now();
    if (target.metered) shares.giveBack(client ?? WEB, target, startedAt, now);
    if (target.use !== 'free') client?.budget.giveBackRequest(startedAt, now);
  }

  function countTokens({ attempts }: EndedTrace, client: Client | null): void {
    const now = clock.now();
    for (const { target, usage } of attempts) {
      if (usage === null) continue;
      shares.spend(client ?? WEB, target, usage.totalTokens, now);
      client?.budget.countTokens(usage.totalTokens, now);
    }
  }

  /** Undefined for one that was revoked since its token was checked. */
  const clientOf = (name: string | null) =>
    name === null ? null : (clients.get(name) ?? undefined);

  function admitted<Question, Chunk, End extends AnswerEnd>(
    request: FailoverRequest<Question, Chunk, End>,
  ): FailoverRequest<Question, Chunk, End> {
    const client = clientOf(request.caller.client?.name ?? null);
    if (client === undefined) throw new ServiceError('unauthorized', REVOKED);
    if (clients.size === 0) return request;
    const asked = client?.isConfined === true ? confined(request, client) : request;
    const [target] = asked.targets;
    // Counting tokens and listing models uses no quota.
    if (target.use !== 'free') admit(client, target);
    return asked;
  }

  return {
    guard: (failover) => (request, reader) => failover(admitted(request), reader),
    sink: {
      requestHadTrouble(request) {
        const client = clientOf(request.client);
        if (clients.size === 0 || client === undefined || request.end.kind !== 'refused') return;
        giveBack(request, client);
      },
      requestEnded(request) {
        const client = clientOf(request.client);
        if (clients.size === 0 || client === undefined) return;
        countTokens(request, client);
        if (client !== null) used(client);
      },
    },
  };
}

/** @throws ServiceError when the client may use none of the models */
function confined<Question, Chunk, End extends AnswerEnd>(
  request: FailoverRequest<Question, Chunk, End>,
  client: Client,
): FailoverRequest<Question, Chunk, End> {
  const { targets, about = null } = request;
  const [first, ...others] = targets.filter(({ model }) => client.mayUseModel(model ?? about));
  if (first === undefined) throw modelNotServed(client.terms.models ?? [], NOT_FOR_CLIENT);
  const isWhole = others.length + 1 === targets.length;
  return isWhole ? request : { ...request, targets: [first, ...others] };
}

const REVOKED = 'This client was revoked.';
const NOT_FOR_CLIENT = 'This client may not use this model';

function again(ms: number): string {
  if (ms <= 2 * MINUTE_MS)
    return `Try again in ${count(Math.max(1, Math.ceil(ms / 1000)), 'second')}.`;
  const minutes = Math.ceil(ms / MINUTE_MS);
  const parts = [count(Math.floor(minutes / 60), 'hour'), count(minutes % 60, 'minute')];
  return `Try again in ${parts.filter((part) => !part.startsWith('0 ')).join(' ')}.`;
}

const count = (number: number, unit: string) => `${number} ${unit}${number === 1 ? '' : 's'}`;

const budgetSentence = ({ limit, value }: UsedUp) => {
  const [what, , unit] = limit.split('_');
  return `This client has used its ${value} ${what} of this ${unit}.`;
};

const shareSentence = ({ label }: Target) =>
  `This client has used its share of ${label} in this minute; the rest is for other clients.`;
