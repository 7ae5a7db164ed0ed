import type { Request, RequestHandler, Response } from 'express';
import { ServiceError } from '../../failover/service-error.ts';
import type { Relay, RelayAnswer, RelayCall } from '../../services/relay.ts';
import type { Clock } from '../../shared/clock.ts';
import { type ProviderWords, UpstreamError } from '../../shared/failure.ts';
import { STREAM_CACHING } from '../caching.ts';
import { callerOf } from '../caller.ts';
import { failInStream } from '../error-form.ts';
import { sent, write } from '../paced-write.ts';
import { sendText } from '../send-json.ts';
import { rememberTold } from '../told.ts';

/** A request in Gemini's own protocol: what Google answers, byte for byte. */
export function relayRoute(
  relay: Relay,
  readCall: (request: Request) => RelayCall,
  clock: Clock,
): RequestHandler {
  return async function postRelay(request, response) {
    const call = readCall(request);
    const answer = await relay(call, callerOf(request, response));
    const isStream = answer.kind === 'answer' && call.isMetered && !call.comesWhole;
    if (isStream) response.setHeader('cache-control', STREAM_CACHING);
    if (answer.kind === 'refusal') sendRefusal(response, answer.refusal);
    else await sendAnswer(response, answer, clock);
  };
}

function sendRefusal(response: Response, { status, type, body }: ProviderWords): void {
  rememberTold(response, { code: 'refused_by_google' });
  sendText(response, status, type, body);
}

async function sendAnswer(
  response: Response,
  { head, pieces }: Extract<RelayAnswer, { kind: 'answer' }>,
  clock: Clock,
): Promise<void> {
  for (const [name, value] of Object.entries(head.headers)) response.setHeader(name, value);
  response.setHeader('x-accel-buffering', 'no');
  response.statusCode = head.status;
  try {
    for await (const { bytes } of pieces) await write(response, bytes, clock);
  } catch (error) {
    // What Google itself said at the break goes on like all the rest.
    failInStream(response, () => lastWordsIn(error));
    throw error;
  }
  response.end();
  await sent(response, clock);
}

function lastWordsIn(error: unknown): string | null {
  const cause = error instanceof ServiceError ? error.cause : null;
  return cause instanceof UpstreamError ? (cause.refusal?.body ?? null) : null;
}
