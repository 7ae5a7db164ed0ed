import type { Clock } from '../../src/shared/clock.ts';
import { connectionReply, isOfConnection, slownessMs } from '../connection-fault.ts';
import { type CallFault, KeyRing } from '../key-ring.ts';
import type { Provider } from '../provider.ts';
import type { QuotaWindows } from '../quota-window.ts';
import { delayed, type Reply } from '../reply.ts';
import type { AnswerShape, StandinKey } from '../standin-key.ts';
import type { GoogleCallFacts } from './error.ts';
import { missingKey } from './key-refusals.ts';
import { createMethods, type GoogleCall } from './methods.ts';
import { notFoundPage } from './other-refusals.ts';
import { refusalOf, unknownKey } from './refusals.ts';
import { googleRoute, isVerbOf } from './route.ts';
import { spoilsAnswer } from './spoiled-answer.ts';

export interface GoogleOptions {
  readonly clock: Clock;
  readonly keys: readonly StandinKey[];
  readonly windows: QuotaWindows;
  readonly models: readonly string[];
  readonly answer: AnswerShape | undefined;
}

/** The Gemini API. Only generating counts against quotas; listing and counting tokens are free. */
export function createGoogle({ clock, keys, windows, models, answer }: GoogleOptions): Provider {
  const ring = new KeyRing('google', keys, isGoogleFault);
  const perform = createMethods(new Set(models), ring.keys, answer);
  return {
    service: 'google',
    ring,
    receive({ method, path, query, headers }) {
      const route = googleRoute(path);
      if (route === null) return null;
      const key = String(headers['x-goog-api-key'] ?? '');
      const holder = ring.find(key);
      const answerTo = (text: string) => {
        if (!isVerbOf(method, route)) return notFoundPage();
        const call = { ...route, key, now: clock.now(), windows };
        if (holder === null) return key === '' ? missingKey() : unknownKey(call);
        return strikeOr(perform, { holder, call, query, text, fault: holder.nextFault() });
      };
      return { key, holder, model: route.model, answer: answerTo };
    },
  };
}

function strikeOr(perform: (call: GoogleCall) => Reply, call: GoogleCall): Reply {
  const { fault } = call;
  if (fault === null) return perform(call);
  return struckBy(fault, call.call) ?? delayed(perform(call), slownessMs(fault));
}

const struckBy = (fault: CallFault, call: GoogleCallFacts): Reply | null =>
  connectionReply(fault) ?? refusalOf(fault)?.(call) ?? null;

const isGoogleFault = (fault: CallFault) =>
  isOfConnection(fault) || spoilsAnswer(fault) || refusalOf(fault) !== null;
