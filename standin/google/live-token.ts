import { randomBytes } from 'node:crypto';
import { asText, isJsonObject, parseJson } from '../../src/shared/json.ts';
import { jsonReply, type Reply } from '../reply.ts';
import { googleError } from './refusals.ts';
import { invalidJson } from './request.ts';

/** Mints an ephemeral token for a Live session; the session itself is not served. */
export function mintLiveToken({
  text,
  now,
}: {
  readonly text: string;
  readonly now: number;
}): Reply {
  const body = parseJson(text);
  if (!isJsonObject(body)) return invalidJson('Unexpected token.');
  const unknownField = Object.keys(body).find((name) => !FIELDS.has(name));
  if (unknownField !== undefined) {
    return invalidJson(`Unknown name "${unknownField}": Cannot find field.`);
  }
  const times = [body.expireTime, body.newSessionExpireTime];
  if (!times.every((time) => time === undefined || isSoon(asText(time), now))) {
    return googleError(400, 'The expiration time must be in the future and within 20 hours.');
  }
  const model = liveModelIn(text);
  if (body.bidiGenerateContentSetup !== undefined && !model.startsWith('models/')) {
    return googleError(400, '* BidiGenerateContentSetup.model: unexpected model name format\n');
  }
  return jsonReply(200, { name: `auth_tokens/${randomBytes(32).toString('hex')}` });
}

/** @returns the model that a token is asked for; empty where none is named */
export function liveModelIn(text: string): string {
  const body = parseJson(text);
  const setup = isJsonObject(body) ? body.bidiGenerateContentSetup : undefined;
  return isJsonObject(setup) ? asText(setup.model) : '';
}

const FIELDS: ReadonlySet<string> = new Set([
  'uses',
  'expireTime',
  'newSessionExpireTime',
  'bidiGenerateContentSetup',
  'fieldMask',
]);

const MOST_MS = 20 * 3_600_000;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

function isSoon(time: string, now: number): boolean {
  const ms = Date.parse(time) - now;
  return RFC_3339.test(time) && ms > 0 && ms < MOST_MS;
}
