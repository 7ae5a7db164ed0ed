import { parseJson } from '../json.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { AnamAccount, MintAllowance } from './account.ts';
import type { AnamCall } from './call.ts';
import { type BodyFault, type Persona, readPersona } from './persona.ts';
import { personaMissing, rateLimited, rateLimitHeaders } from './refusals.ts';
import type { TokenMint } from './token.ts';

/**
 * Mints a session token. It asks neither for slots nor for minutes: an account that has none left
 * is refused when the session starts.
 */
export function mintToken(call: AnamCall, account: AnamAccount, tokens: TokenMint): Reply {
  const allowance = account.mint(call.now);
  if (!allowance.granted) return rateLimited(allowance.limit, allowance.resetsInMs);
  const persona = readPersona(parseJson(call.text));
  if (isListOfFaults(persona)) return invalidBody(persona);
  if (persona.type === 'stateful' && !account.owns(persona.personaId)) return personaMissing();
  const claims = { type: persona.type, accountId: account.id, keyIndex: call.holder.index };
  const sessionToken = tokens.mint(claims, call.now);
  return jsonReply(200, { sessionToken }, allowanceHeaders(allowance));
}

const isListOfFaults = (read: Persona | readonly BodyFault[]): read is readonly BodyFault[] =>
  Array.isArray(read);

const invalidBody = (details: readonly BodyFault[]): Reply =>
  jsonReply(400, {
    error: 'Validation failed',
    details,
    summary: details.map(({ path, message }) => `${path}: ${message}`).join('; '),
  });

const allowanceHeaders = ({ limit, remaining, resetsInMs }: MintAllowance) =>
  Number.isFinite(limit) ? rateLimitHeaders(limit, remaining, resetsInMs) : {};
