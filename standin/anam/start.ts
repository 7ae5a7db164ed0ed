import { randomUUID } from 'node:crypto';
import type { UsedTokens } from '../google/used-tokens.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { AnamAccount } from './account.ts';
import type { AnamCall } from './call.ts';
import { startRefusal } from './refusals.ts';

/**
 * Starts the one conversation that a token is good for. A refused start leaves the token unused,
 * so it may be tried again.
 */
export function startSession(call: AnamCall, account: AnamAccount, used: UsedTokens): Reply {
  const tokenId = call.claims?.jti ?? '';
  if (used.has(tokenId)) return startRefusal('token_used');
  const refusal = account.start(call.now);
  if (refusal !== null) return startRefusal(refusal);
  used.add(tokenId, call.now);
  return jsonReply(200, sessionAt(call.host));
}

/** What the browser SDK needs before it opens its WebSocket, which the stand-in does not serve. */
const sessionAt = (host: string) => ({
  sessionId: randomUUID(),
  region: 'local',
  engineHost: host,
  engineProtocol: 'http',
  signallingEndpoint: '/ws',
  clientConfig: { heartbeatIntervalSeconds: 5, maxWsReconnectionAttempts: 5, iceServers: [] },
});
