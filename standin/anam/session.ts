import { randomBytes, randomUUID } from 'node:crypto';
import { asText, isJsonObject, type JsonObject, parseJson } from '../../src/shared/json.ts';
import type { KnownKey } from '../provider.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { AnamAccount } from './account.ts';
import {
  PERSONA_MISSING,
  rateLimited,
  rateLimitHeaders,
  START_REFUSED,
  TOKEN_EXPIRED,
  TOKEN_USED,
} from './refusals.ts';

/** A call of a known key. */
export interface AnamCall {
  readonly holder: KnownKey;
  /** At session start; null at the other steps. */
  readonly token: SessionToken | null;
  readonly text: string;
  readonly now: number;
  /** Where the stand-in was called: it says that the engine is there too. */
  readonly host: string;
}

/** The session tokens that were minted and have not expired. */
export interface SessionTokens {
  mint(kind: Persona['type'], account: AnamAccount, holder: KnownKey, now: number): string;
  /** @returns null for a token that is not ours or has expired. */
  find(token: string, now: number): SessionToken | null;
}

interface SessionToken {
  /** The key that minted it. */
  readonly holder: KnownKey;
  readonly expiresAt: number;
  isUsed: boolean;
}

const LIFETIME_SECONDS = 3_600;
const SECOND_MS = 1_000;

/** Tokens look like Anam's JWTs, whose `type` and `accountId` the browser SDK reads; they last an hour, whatever the speed. */
export function createSessionTokens(): SessionTokens {
  /** The oldest first, as all live equally long. */
  const tokens = new Map<string, SessionToken>();
  const forgetExpired = (now: number) => {
    for (const [token, { expiresAt }] of tokens) {
      if (now < expiresAt) return;
      tokens.delete(token);
    }
  };
  return {
    mint(type, { id: accountId }, holder, now) {
      forgetExpired(now);
      const iat = Math.floor(now / SECOND_MS);
      const exp = iat + LIFETIME_SECONDS;
      const payload = encode({ type, accountId, jti: randomUUID(), iat, exp });
      const token = `${HEADER}.${payload}.${randomBytes(32).toString('base64url')}`;
      tokens.set(token, { holder, expiresAt: exp * SECOND_MS, isUsed: false });
      return token;
    },
    find(token, now) {
      const found = tokens.get(token);
      return found !== undefined && now < found.expiresAt ? found : null;
    },
  };
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const HEADER = encode({ alg: 'HS256', typ: 'JWT' });

/**
 * Mints a session token. It asks neither for slots nor for minutes: an account that has none left
 * is refused when the session starts.
 */
export function mintToken(
  { text, now, holder }: AnamCall,
  account: AnamAccount,
  tokens: SessionTokens,
): Reply {
  const { granted, limit, remaining, resetsInMs } = account.mint(now);
  if (!granted) return rateLimited(limit, resetsInMs);
  const body = parseJson(text);
  const persona = readPersona(body);
  if ('status' in persona) return persona;
  const faults = isJsonObject(body) ? faultsIn(body) : [];
  if (faults.length > 0) return refuseFields(faults);
  if (persona.personaId !== null && !account.owns(persona.personaId)) return PERSONA_MISSING;
  const sessionToken = tokens.mint(persona.type, account, holder, now);
  const headers = Number.isFinite(limit) ? rateLimitHeaders(limit, remaining, resetsInMs) : {};
  return jsonReply(200, { sessionToken }, headers);
}

/** A persona that is saved in an account, or one that lives as long as its session. */
interface Persona {
  readonly type: 'stateful' | 'ephemeral';
  readonly personaId: string | null;
}

/** @returns the persona that a token is asked for, or the refusal of the body */
function readPersona(body: unknown): Persona | Reply {
  const config = isJsonObject(body) ? body.personaConfig : undefined;
  if (!isJsonObject(config)) return invalidBody([['personaConfig', config]]);
  const personaId = asText(config.personaId);
  if (personaId !== '') return { type: 'stateful', personaId };
  const needed = config.llmId === CLIENTS_OWN_MODEL ? SILENT : [...SILENT, 'voiceId'];
  const missing = needed.filter((name) => asText(config[name]) === '');
  if (missing.length === 0) return { type: 'ephemeral', personaId: null };
  return invalidBody(missing.map((name) => [`personaConfig.${name}`, config[name]]));
}

/** The client, such as a LiveKit agent, generates the speech itself, so the persona needs no voice. */
const CLIENTS_OWN_MODEL = 'CUSTOMER_CLIENT_V1';
const SILENT = ['name', 'avatarId'];

type FieldFault = readonly [path: string, message: string];

/** Of what may accompany a persona (https://docs.anam.ai/api-reference/create-session-token). */
function faultsIn({ personaConfig, ...body }: JsonObject): FieldFault[] {
  const { directorNotes: notes } = isJsonObject(personaConfig) ? personaConfig : {};
  return [
    ...Object.keys(body)
      .filter((name) => !FIELDS.has(name))
      .map((name): FieldFault => [name, 'Unrecognized key']),
    ...(['sessionOptions', 'environment'] as const)
      .filter((name) => body[name] !== undefined && !isJsonObject(body[name]))
      .map((name): FieldFault => [name, 'Expected object']),
    ...(isOptional(body.clientLabel, 'string') ? [] : [CLIENT_LABEL]),
    ...(isJsonObject(body.sessionOptions) ? faultsOfOptions(body.sessionOptions) : []),
    ...(isJsonObject(notes) ? faultsOfNotes(notes) : []),
  ];
}

const FIELDS: ReadonlySet<string> = new Set([
  'clientLabel',
  'sessionOptions',
  'environment',
  'expiresIn',
  'widgetConfig',
]);
const CLIENT_LABEL: FieldFault = ['clientLabel', 'Expected string'];

const isOptional = (value: unknown, type: 'string' | 'boolean') =>
  value === undefined || typeof value === type;

function faultsOfOptions({ sessionReplay, videoWidth, videoHeight }: JsonObject): FieldFault[] {
  const { enableSessionReplay } = isJsonObject(sessionReplay) ? sessionReplay : {};
  return [
    ...(isOptional(enableSessionReplay, 'boolean')
      ? []
      : [['sessionOptions.sessionReplay.enableSessionReplay', 'Expected boolean'] as const]),
    ...((videoWidth === undefined) === (videoHeight === undefined)
      ? []
      : [['sessionOptions', 'videoWidth and videoHeight must be set together'] as const]),
  ];
}

function faultsOfNotes({ presetStyle, customStylePrompt, expressivity = 0 }: JsonObject) {
  const path = 'personaConfig.directorNotes';
  return [
    ...(presetStyle === undefined || customStylePrompt === undefined
      ? []
      : [[path, 'presetStyle and customStylePrompt are mutually exclusive'] as const]),
    ...(Number(expressivity) >= 0 && Number(expressivity) <= 1
      ? []
      : [[`${path}.expressivity`, 'Must be between 0 and 1'] as const]),
  ];
}

const invalidBody = (fields: readonly (readonly [path: string, value: unknown])[]): Reply =>
  refuseFields(
    fields.map(([path, value]) => [path, value === undefined ? 'Required' : 'Invalid value']),
  );

function refuseFields(faults: readonly FieldFault[]): Reply {
  const details = faults.map(([path, message]) => ({ path, message, code: 'invalid_type' }));
  const summary = details.map(({ path, message }) => `${path}: ${message}`).join('; ');
  return jsonReply(400, { error: 'Validation failed', details, summary });
}

/**
 * Starts the one conversation that a token is good for. A refused start leaves the token unused,
 * so it may be tried again.
 */
export function startSession({ token, now, host }: AnamCall, account: AnamAccount): Reply {
  if (token === null) return TOKEN_EXPIRED;
  if (token.isUsed) return TOKEN_USED;
  const refusal = account.start(now);
  if (refusal !== null) return START_REFUSED[refusal];
  token.isUsed = true;
  // What the browser SDK needs before it opens its WebSocket, which the stand-in does not serve.
  return jsonReply(200, {
    sessionId: randomUUID(),
    region: 'local',
    engineHost: host,
    engineProtocol: 'http',
    signallingEndpoint: '/ws',
    clientConfig: { heartbeatIntervalSeconds: 5, maxWsReconnectionAttempts: 5, iceServers: [] },
  });
}
