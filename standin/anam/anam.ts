import type { Clock } from '../../src/shared/clock.ts';
import { connectionReply, isOfConnection, slownessMs } from '../connection-fault.ts';
import { createUsedTokens } from '../google/used-tokens.ts';
import { type CallFault, type HeldKey, KeyRing } from '../key-ring.ts';
import type { Provider, Visit } from '../provider.ts';
import type { QuotaWindows } from '../quota-window.ts';
import { delayed, jsonReply, type Reply } from '../reply.ts';
import type { StandinKey } from '../standin-key.ts';
import { createAccounts } from './accounts.ts';
import type { AnamCall } from './call.ts';
import type { AnamStep } from './fault.ts';
import { mintToken } from './mint.ts';
import { anamRefusal, invalidKey, isAnamRefusal, startRefusal } from './refusals.ts';
import { anamRoute, bearerOf, METRICS_PATH } from './route.ts';
import { startSession } from './start.ts';
import { createTokenMint, type TokenClaims, type TokenMint } from './token.ts';

export interface AnamOptions {
  readonly clock: Clock;
  readonly keys: readonly StandinKey[];
  readonly windows: QuotaWindows;
}

/** Anam's API: minting a token, starting a session with it, asking for free slots. */
export function createAnam({ clock, keys, windows }: AnamOptions): Provider {
  const ring = new KeyRing('anam', keys, isAnamFault);
  const tokens = createTokenMint();
  const steps = createSteps(ring, windows, tokens);
  return {
    service: 'anam',
    ring,
    receive(head) {
      if (head.path === METRICS_PATH) return METRICS;
      const route = anamRoute(head.path);
      if (route === null) return null;
      const { step } = route;
      const { holder, claims, key } = identify(step, bearerOf(head), ring, tokens, clock.now());
      const answer = (text: string) => {
        if (head.method !== route.method) return jsonReply(404, { error: 'Not found' });
        if (holder === null) return step === 'start' ? startRefusal('token_expired') : invalidKey();
        const { host = '' } = head.headers;
        const call = { holder, claims, text, now: clock.now(), host };
        return strikeOr(steps[step], call, step, windows);
      };
      return { key, holder, model: '', answer };
    },
  };
}

/** What browsers tell of their connections is thanked for, whoever they are. */
const METRICS: Visit = {
  key: '',
  holder: null,
  model: '',
  answer: () => jsonReply(200, { success: true }),
};

interface Caller {
  readonly key: string;
  readonly holder: HeldKey | null;
  readonly claims: TokenClaims | null;
}

/** By the API key; at session start by the token, which names the key that minted it. */
function identify(
  step: AnamStep,
  bearer: string,
  ring: KeyRing,
  tokens: TokenMint,
  now: number,
): Caller {
  if (step !== 'start') return { key: bearer, holder: ring.find(bearer), claims: null };
  const claims = tokens.verify(bearer, now);
  const holder = claims === null ? null : (ring.keys[claims.keyIndex] ?? null);
  return { key: holder?.shape.key ?? '', holder, claims };
}

type Perform = (call: AnamCall) => Reply;

function createSteps(
  ring: KeyRing,
  windows: QuotaWindows,
  tokens: TokenMint,
): Record<AnamStep, Perform> {
  const accountOf = createAccounts(ring.keys, windows);
  const used = createUsedTokens();
  return {
    mint: (call) => mintToken(call, accountOf(call.holder), tokens),
    start: (call) => startSession(call, accountOf(call.holder), used),
    concurrency: ({ holder, now }) => jsonReply(200, accountOf(holder).concurrency(now)),
  };
}

function strikeOr(perform: Perform, call: AnamCall, step: AnamStep, windows: QuotaWindows): Reply {
  const fault = call.holder.nextFault();
  if (fault === null) return perform(call);
  const resetsInMs = windows.minuteEnd(call.now) - call.now;
  return (
    connectionReply(fault, step) ??
    anamRefusal(fault, step, resetsInMs) ??
    delayed(perform(call), slownessMs(fault, step))
  );
}

const isAnamFault = (fault: CallFault) => isOfConnection(fault) || isAnamRefusal(fault);
