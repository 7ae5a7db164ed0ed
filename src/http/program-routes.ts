import type { Express } from 'express';
import type { Chat } from '../services/chat.ts';
import type { Relay } from '../services/relay.ts';
import type { Clock } from '../shared/clock.ts';
import type { Secret } from '../shared/secret.ts';
import { answerChat } from './answer-chat.ts';
import { readBytes } from './body-limit.ts';
import { requireClientToken } from './client-token.ts';
import { openai } from './dialects/openai/openai.ts';
import { METHOD_PATH, MODELS_PATH, readMethodCall, readModelsCall } from './gemini/read-call.ts';
import { relayRoute } from './gemini/relay-route.ts';
import { readJsonBody } from './json-body.ts';
import { refuseTooManyValues } from './json-cost.ts';
import { openaiModelsRoute } from './models-route.ts';
import { COMPLETIONS_PATH, readProgramAddress } from './program-address.ts';
import { serve } from './serve.ts';

export interface ProgramRoutesOptions {
  readonly clientTokens: readonly Secret[];
  /** Without our own system prompt, which is for people who chat. */
  readonly completions: Chat;
  readonly relay: Relay;
  readonly models: readonly string[];
  readonly maxProgramBodyBytes: number;
  readonly clock: Clock;
}

/** The routes for other programs, in the protocols that they speak already: OpenAI's and Gemini's. */
export function serveProgramRoutes(app: Express, options: ProgramRoutesOptions): void {
  const { clientTokens, completions, relay, models, clock, maxProgramBodyBytes } = options;
  const listModels = openaiModelsRoute(models, clock.now());
  const relayModels = relayRoute(relay, readModelsCall, clock);
  app.use(readProgramAddress);
  app.use(['/v1', '/v1alpha', '/v1beta'], requireClientToken(clientTokens));
  serve(
    app,
    'post',
    [COMPLETIONS_PATH],
    ...readJsonBody(maxProgramBodyBytes),
    answerChat(completions, () => openai, clock),
  );
  // As they come: they go on to Google unread.
  const readCall = readBytes(maxProgramBodyBytes, {
    inflate: false,
    verify: refuseTooManyValues,
  });
  serve(app, 'post', [METHOD_PATH], readCall, relayRoute(relay, readMethodCall, clock));
  serve(app, 'get', [MODELS_PATH], (request, response, next) =>
    (response.locals.protocol === 'gemini' ? relayModels : listModels)(request, response, next),
  );
}
