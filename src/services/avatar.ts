import type { Caller, Failover } from '../failover/failover.ts';
import {
  clientGone,
  noKeysConfigured,
  ServiceError,
  upstreamFailed,
  upstreamTimeout,
} from '../failover/service-error.ts';
import type { Anam, SessionRequest, TokenRequest } from '../providers/anam/anam-api.ts';
import { type AsyncCall, asyncClient } from '../providers/provider.ts';
import type { ApiKey, Persona } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import { type ProviderWords, UpstreamError } from '../shared/failure.ts';
import { isJsonObject, type JsonObject, parseJson } from '../shared/json.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import { type Target, targetWhere } from '../shared/target.ts';
import {
  createSessionTokens,
  type MintedToken,
  type SessionTokens,
  type SessionTokensOptions,
} from './session-tokens.ts';
import { MINT_LIMITS, type ValueEnd, valueFrom } from './value-from.ts';

const METRICS_LIMIT_MS = 10_000;

export interface AvatarSessionOptions extends PersonaOptions, SessionTokensOptions {
  readonly failover: Failover;
  readonly provider: ProviderFacts;
  readonly anam: Anam;
}

export interface AvatarSession {
  /**
   * A token that lets one browser start one avatar session within the hour.
   *
   * @param clientRequest what the caller asks for in Anam's form, its own persona among it; null for our persona
   * @throws ServiceError; Anam's refusal of what the caller asked for is in the cause
   */
  mintToken(clientRequest: JsonObject | null, caller: Caller): Promise<string>;
  /**
   * Starts the session of a token with the account that minted it, or with another account and the same
   * persona when the first has nothing left. An unknown token is passed on as it is.
   *
   * @returns Anam's answer: the session, or the refusal of the request itself
   * @throws ServiceError when no account could start it; Anam's refusal is in the cause
   */
  start(request: SessionRequest, caller: Caller): Promise<ProviderWords>;
  /**
   * Passes on what the browser's SDK reports to Anam about its connections.
   *
   * @returns Anam's answer, whatever it is
   * @throws ServiceError when there is none
   */
  passMetrics(body: Buffer, caller: Caller): Promise<ProviderWords>;
}

export function createAvatarSession(options: AvatarSessionOptions): AvatarSession {
  const { failover, clock } = options;
  const tokens = createSessionTokens(options);
  const anamOrThrow = () => {
    if (!hasKeys(options)) throw noKeysConfigured(options.provider);
    return options.anam;
  };
  return {
    async mintToken(clientRequest, caller) {
      const anam = anamOrThrow();
      const ask = async (request: JsonObject | null, { key, signal, traceparent }: AnamAttempt) => {
        const body = tokenRequestFor(key, request, options);
        const token = await anam.mintToken(key, body, signal, { traceparent });
        tokens.remember(token, { keyId: key.id, clientRequest: request });
        return token;
      };
      try {
        return await valueFrom(failover, {
          operation: 'session_token',
          targets: [targetFor(clientRequest, options.targets)],
          reach: 'part',
          ...MINT_LIMITS,
          caller,
          question: clientRequest,
          client: clientFor(ask),
        });
      } catch (error) {
        const isOurSetting = clientRequest === null && !hasPersona(options);
        throw isOurSetting && isUpstreamFailure(error) ? noPersona(error) : forCaller(error);
      }
    },
    start(request, caller) {
      anamOrThrow();
      return startSession(request, caller, { ...options, tokens });
    },
    async passMetrics(body, caller) {
      const anam = anamOrThrow();
      return within(METRICS_LIMIT_MS, clock, caller, (signal) => anam.passMetrics(body, signal));
    },
  };
}

const isUpstreamFailure = (error: unknown) =>
  error instanceof ServiceError && error.code === 'upstream_failed';

const noPersona = (cause: unknown) =>
  new ServiceError('upstream_failed', 'No persona is configured. Set ANAM_PERSONA_ID.', { cause });

function forCaller(error: unknown): unknown {
  if (!(error instanceof UpstreamError)) return error;
  const { kind, message } = error.failure;
  if (kind !== 'request_fault') return upstreamFailed(error);
  return new ServiceError('invalid_request', `Anam refused this persona: ${message}`, {
    details: [{ path: 'personaConfig', message }],
    cause: error,
  });
}

interface SessionStartOptions extends AvatarSessionOptions {
  readonly tokens: SessionTokens;
}

/** The browser's SDK asks again after ten seconds; before that there must be time for more than one account. */
const START_LIMIT_MS = 9500;
const START_ATTEMPT_MS = 5000;

async function startSession(
  request: SessionRequest,
  caller: Caller,
  options: SessionStartOptions,
): Promise<ProviderWords> {
  const { failover, anam, clock, tokens } = options;
  const minted = await tokens.find(request.token);
  if (minted === null) {
    return within(START_LIMIT_MS, clock, caller, (signal) => anam.passOn(request, signal));
  }
  if (!(await tokens.claim(request.token))) throw alreadyUsed();
  try {
    return await valueFrom(failover, {
      operation: 'session_start',
      targets: [targetFor(minted.clientRequest, options.targets)],
      preferred: minted.keyId,
      requestTimeoutMs: START_LIMIT_MS,
      attemptTimeoutMs: START_ATTEMPT_MS,
      caller,
      shape: () => shapeOfStart(request, minted),
      question: request,
      client: clientFor((asked: SessionRequest, attempt) =>
        startOn(attempt, asked, minted, options),
      ),
    });
  } catch (error) {
    tokens.release(request.token);
    if (!(error instanceof UpstreamError)) throw error;
    if (error.refusal === null) throw upstreamFailed(error);
    return error.refusal;
  }
}

/** The SDK sends nothing but its name and version, unless its page has set options. */
function shapeOfStart({ body }: SessionRequest, { clientRequest }: MintedToken): RequestShape {
  const json = parseJson(body.toString());
  const isUsual =
    isJsonObject(json) &&
    Object.entries(json).every(([name, value]) => name === 'clientMetadata' || value === null);
  const features = [...(isUsual ? [] : ['body']), ...(clientRequest === null ? [] : ['persona'])];
  return { features, tokens: 0, mostTokens: 0 };
}

const alreadyUsed = () => new ServiceError('unauthorized', 'Session token has already been used.');

/** The key that minted the token uses it; any other key mints a new one for the same persona. */
async function startOn(
  { key, signal, traceparent }: AnamAttempt,
  { token, body }: SessionRequest,
  { keyId, clientRequest }: MintedToken,
  options: SessionStartOptions,
): Promise<ProviderWords> {
  const { anam } = options;
  const asked = tokenRequestFor(key, clientRequest, options);
  const { personaOf } = asked;
  const trace = { traceparent };
  if (key.id === keyId) return anam.startSession(key, { token, body, personaOf }, signal, trace);
  const fresh = await anam.mintToken(key, asked, signal, trace).catch(asNotOwned);
  const start = { token: fresh, body, personaOf };
  return anam.startSession(key, start, signal, trace).catch(asUpstreamDown);
}

/**
 * The first account accepted this request, so the refusal concerns this account alone. It is no answer to the start of a
 * session.
 */
function asNotOwned(error: unknown): never {
  if (!(error instanceof UpstreamError)) throw error;
  const { kind, message } = error.failure;
  if (kind !== 'request_fault' && kind !== 'misconfigured') throw error;
  throw new UpstreamError({ kind: 'not_owned', message });
}

/** The caller cannot have spent a token that was minted a moment ago: its refusal is upstream trouble. */
function asUpstreamDown(error: unknown): never {
  if (!(error instanceof UpstreamError)) throw error;
  const { failure } = error;
  if (failure.kind !== 'request_fault' || failure.about !== 'session_token') throw error;
  throw new UpstreamError({ kind: 'upstream_down', timedOut: false, message: failure.message });
}

interface PersonaOptions extends Pick<SessionTokensOptions, 'keys'> {
  /** Anam's. */
  readonly targets: readonly Target[];
  /** Our own persona; a key's own persona takes precedence. */
  readonly persona: Persona | null;
  /** Added to our persona. Notes in the persona's configuration take precedence. */
  readonly directorNotes: JsonObject | null;
  /** They take precedence over a caller's options: the server decides whether sessions are recorded. */
  readonly sessionOptions: JsonObject | null;
  /** It takes precedence over a caller's label. */
  readonly clientLabel: string | null;
}

/** A key's account that lacks our persona may still show those that callers bring. */
function targetFor(clientRequest: JsonObject | null, targets: readonly Target[]): Target {
  const owner = clientRequest === null ? 'ours' : 'callers';
  return targetWhere(targets, ({ persona }) => persona === owner);
}

/** The body of `POST /v1/auth/session-token` (https://docs.anam.ai/api-reference/create-session-token). */
function tokenRequestFor(
  key: ApiKey,
  clientRequest: JsonObject | null,
  options: PersonaOptions,
): TokenRequest {
  const { sessionOptions, clientLabel } = options;
  const { personaConfig = ourPersona(key, options), ...rest } = clientRequest ?? {};
  const asked = isJsonObject(rest.sessionOptions) ? rest.sessionOptions : {};
  const body = {
    personaConfig,
    ...rest,
    ...(sessionOptions === null ? {} : { sessionOptions: { ...asked, ...sessionOptions } }),
    ...(clientLabel === null ? {} : { clientLabel }),
  };
  return { body, personaOf: clientRequest === null ? 'ours' : 'callers' };
}

const ourPersona = (key: ApiKey, options: PersonaOptions): JsonObject => ({
  ...(options.directorNotes === null ? {} : { directorNotes: options.directorNotes }),
  ...personaFor(key, options),
});

/** Paused keys too: the sessions that they started continue. */
function hasKeys({ keys, provider }: Pick<AvatarSessionOptions, 'keys' | 'provider'>): boolean {
  for (const { key, use } of keys.all()) {
    if (use !== 'retired' && key.provider === provider.name) return true;
  }
  return false;
}

/** Whether we or any key has a persona. */
function hasPersona({ keys, persona }: Pick<PersonaOptions, 'keys' | 'persona'>): boolean {
  if (persona !== null) return true;
  for (const { key, use } of keys.all()) {
    if (use === 'used' && key.personaId !== undefined) return true;
  }
  return false;
}

/** A saved persona belongs to one account, so the key's own persona comes first. */
function personaFor({ personaId }: ApiKey, options: PersonaOptions): JsonObject {
  const { persona } = options;
  if (personaId !== undefined) return { personaId };
  if (persona !== null) return 'config' in persona ? persona.config : persona;
  const message = 'no persona is set: ANAM_PERSONA_ID, ANAM_PERSONA_CONFIG or one of this key';
  throw new UpstreamError(
    hasPersona(options)
      ? { kind: 'model_unavailable', whose: 'key', message }
      : { kind: 'misconfigured', message },
  );
}

type AnamAttempt = AsyncCall<never>;

const clientFor = <Question, Value>(
  ask: (question: Question, attempt: AnamAttempt) => Promise<Value>,
) =>
  asyncClient<Question, never, ValueEnd<Value>>(async (question, attempt) => ({
    usage: null,
    value: await ask(question, attempt),
  }));

/**
 * One call upstream without a key of ours, which ends with its caller or its time limit.
 *
 * @throws ServiceError
 */
async function within<T>(
  limitMs: number,
  clock: Clock,
  caller: Caller,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let hasTimedOut = false;
  const timer = clock.after(limitMs, () => {
    hasTimedOut = true;
    controller.abort();
  });
  caller.work = { callerGone: () => controller.abort() };
  if (caller.isGone) controller.abort();
  try {
    return await call(controller.signal);
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    if (caller.isGone) throw clientGone();
    throw hasTimedOut ? upstreamTimeout(error) : upstreamFailed(error);
  } finally {
    timer.cancel();
    caller.work = null;
  }
}
