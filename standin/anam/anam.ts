import type { Clock } from '../../src/shared/clock.ts';
import { answerDespite, isOfConnection } from '../fault.ts';
import { KnownKeys, type Provider, type Visit } from '../provider.ts';
import type { QuotaWindows } from '../quota-window.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { StandinKey } from '../standin-key.ts';
import { createAccounts } from './account.ts';
import { type AnamStep, INVALID_KEY, isAnamFault, refuse, TOKEN_EXPIRED } from './refusals.ts';
import { type AnamCall, createSessionTokens, mintToken, startSession } from './session.ts';

export interface AnamOptions {
  readonly clock: Clock;
  readonly keys: readonly StandinKey[];
  readonly windows: QuotaWindows;
}

/** Anam's API: minting a token, starting a session with it, asking for free slots, listing personas. */
export function createAnam({ clock, keys: given, windows }: AnamOptions): Provider {
  const keys = new KnownKeys('anam', given, (fault) => isOfConnection(fault) || isAnamFault(fault));
  const tokens = createSessionTokens();
  const accountOf = createAccounts(keys.all, windows);
  const steps: Readonly<Record<AnamStep, (call: AnamCall) => Reply>> = {
    mint: (call) => mintToken(call, accountOf(call.holder), tokens),
    start: (call) => startSession(call, accountOf(call.holder)),
    concurrency: ({ holder, now }) => jsonReply(200, accountOf(holder).concurrency(now)),
    personas: ({ holder }) => jsonReply(200, accountOf(holder).personas()),
  };
  const perform = (step: AnamStep, call: AnamCall): Reply => {
    const fault = call.holder.nextFault();
    const resetsInMs = windows.minuteEnd(call.now) - call.now;
    const refusal = fault !== null && isAnamFault(fault) ? refuse(fault, step, resetsInMs) : null;
    return answerDespite(fault, step, () => refusal ?? steps[step](call));
  };
  /** By the API key; at session start by the token, which belongs to the key that minted it. */
  const identify = (step: AnamStep, bearer: string) => {
    if (step !== 'start') return { key: bearer, holder: keys.find(bearer), token: null };
    const token = tokens.find(bearer, clock.now());
    return { key: token?.holder.shape.key ?? '', holder: token?.holder ?? null, token };
  };
  return {
    keys,
    receive({ path, method, headers }) {
      if (path === METRICS_PATH) return METRICS;
      const route = ROUTES[path];
      if (route === undefined) return null;
      const { step } = route;
      const { key, holder, token } = identify(
        step,
        headers.authorization?.replace(BEARER, '') ?? '',
      );
      const answer = (text: string) => {
        if (method !== route.method) return jsonReply(404, { error: 'Not found' });
        if (holder === null) return step === 'start' ? TOKEN_EXPIRED : INVALID_KEY;
        const { host = '' } = headers;
        return perform(step, { holder, token, text, now: clock.now(), host });
      };
      return { service: 'anam', key, holder, model: '', answer };
    },
  };
}

const BEARER = /^Bearer\s+/i;
const METRICS_PATH = '/v1/metrics/client';

const ROUTES: Readonly<Record<string, { readonly step: AnamStep; readonly method: string }>> = {
  '/v1/auth/session-token': { step: 'mint', method: 'POST' },
  '/v1/engine/session': { step: 'start', method: 'POST' },
  '/v1/sessions/concurrency': { step: 'concurrency', method: 'GET' },
  '/v1/personas': { step: 'personas', method: 'GET' },
};

/** A browser's report about its connection is accepted without a key. */
const METRICS: Visit = {
  service: 'anam',
  key: '',
  holder: null,
  model: '',
  answer: () => jsonReply(200, { success: true }),
};
