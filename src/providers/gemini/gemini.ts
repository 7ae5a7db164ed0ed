import { modelTarget, unmeteredTarget } from '../../shared/target.ts';
import type { ChatClient, Provider, UpstreamContext } from '../provider.ts';
import { toGeminiRequest } from './gemini-request.ts';
import { GeminiAnswer } from './gemini-stream.ts';

export interface GoogleSettings {
  /** The first is the default; the others are its fallbacks, in this order. */
  readonly googleModels: readonly [string, ...string[]];
  readonly googleBaseUrl: string;
}

/** Chats by Google's Gemini (https://ai.google.dev/api). */
export const google: Provider<GoogleSettings> = {
  name: 'google',
  prefix: 'GOOGLE',
  mistakenPrefixes: ['GEMINI'],
  metricName: 'gcp.gemini',
  exhaustedMessage: "I'm experiencing high demand right now. Please try again in a few minutes.",
  withoutKeys: 'no key, so every chat is refused. Set GOOGLE_API_KEY.',
  createTargets: ({ googleModels: [first, ...others] }) => [
    modelTarget('google', first),
    ...others.map((model) => modelTarget('google', model)),
    unmeteredTarget('google'),
  ],
  describeUse: ({ googleModels: [first, ...others] }) =>
    [`answers with ${first}`, ...others.map((model) => `then ${model}`)].join(', '),
  createChat: ({ googleBaseUrl: baseUrl }, context) => createGemini({ ...context, baseUrl }),
};

export interface GeminiOptions extends UpstreamContext {
  /** Without a trailing slash and without the API's version. */
  readonly baseUrl: string;
}

/** Asks Gemini for the answer as a stream, which shows early that a key works. */
export function createGemini({ baseUrl, dispatcher, ...context }: GeminiOptions): ChatClient {
  const { origin, pathname } = new URL(baseUrl);
  const base = pathname === '/' ? '' : pathname;
  return {
    call(turn, key, { model }, handler) {
      const answer = new GeminiAnswer(dispatcher, handler, context);
      answer.send({
        origin,
        path: `${base}/v1beta/models/${model}:streamGenerateContent?alt=sse`,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-goog-api-key': key.secret.reveal() },
        body: JSON.stringify(toGeminiRequest(turn)),
      });
      return answer;
    },
  };
}
