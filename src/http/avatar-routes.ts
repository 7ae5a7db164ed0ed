import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { ServiceError } from '../failover/service-error.ts';
import type { AvatarSession } from '../services/avatar.ts';
import type { Clients } from '../services/clients.ts';
import { type ProviderWords, UpstreamError } from '../shared/failure.ts';
import type { JsonObject } from '../shared/json.ts';
import { isTooDeep, MAX_DEPTH } from '../shared/json-schema.ts';
import { bearerIn, callerOf } from './access.ts';
import {
  bodyOrNone,
  invalidField,
  jsonObject,
  linked,
  readBytes,
  readJsonBody,
  validate,
} from './body.ts';
import { type ErrorForm, HttpError } from './errors.ts';
import { JSON_TYPE, sendJson, sendText } from './reply.ts';
import { errorsOfClients, jsonAnswer, type RequestBody, type Route } from './route.ts';

export interface AvatarRoutesOptions {
  readonly avatar: AvatarSession;
  /** Whether the caller may bring its own persona. */
  readonly allowClientPersona: boolean;
  /** May use Anam's protocol; null if it is off. */
  readonly clients: Pick<Clients, 'find'> | null;
  /** Recognises a client by its token. */
  readonly recogniseClient: readonly RequestHandler[];
  readonly anamBaseUrl: string;
  /** In bytes. */
  readonly maxBodyBytes: number;
  /** @returns a limit for one client address; empty if limits are off */
  readonly limit: (name: string, perMinute: number) => RequestHandler[];
  readonly sessionsPerMinute: number;
}

/** Anam's SDK sends several measurements for each session. */
const METRICS_PER_SESSION = 20;
/** One program starts sessions for many people. */
const STARTS_OF_PROGRAM = 20;

/** The paths of Anam's API, as programs with a client token call them. */
export const TOKEN_PATH = '/v1/auth/session-token';
export const START_PATH = '/v1/engine/session';
const METRICS_PATH = '/v1/metrics/client';

export function avatarRoutes(options: AvatarRoutesOptions): Route[] {
  const { avatar, allowClientPersona, clients, anamBaseUrl } = options;
  const { maxBodyBytes, limit, sessionsPerMinute } = options;
  const readSessionBody = readBytes(maxBodyBytes, { inflates: true, isJson: false });
  const asAnam = {
    method: 'post',
    tag: 'Avatar',
    usesKeys: true,
    passesOn: 'Anam',
    errorForms: [ANAM_ERRORS],
  } as const;
  const start = {
    ...asAnam,
    auth: 'session',
    body: anamBody('SessionRequest', { clientMetadata: { client: 'js-sdk', version: '4.27.0' } }),
    answer: jsonAnswer('The session has started.', linked('Session', ANAM_DOCS)),
    errors: ['model_unavailable'],
    isUncached: true,
    handlers: [
      refuseOtherTargets(anamBaseUrl, START_PATH),
      readSessionBody,
      postSession(avatar, (token) => (clients?.find(token) ?? null) !== null),
    ],
  } as const;
  const ofPrograms: Route[] = [
    {
      ...asAnam,
      path: TOKEN_PATH,
      id: 'createAnamSessionToken',
      summary: "Get a token for one avatar session, by Anam's protocol",
      description: PROGRAM_TOKENS,
      auth: 'client',
      body: {
        schema: programTokenBody,
        isRequired: false,
        examples: { livekit: { summary: "What LiveKit's plugin sends", value: OF_LIVEKIT } },
      },
      answer: jsonAnswer('The token, good for an hour. It must not be cached.', sessionToken),
      errors: ['model_unavailable', ...errorsOfClients(options.recogniseClient)],
      isUncached: true,
      handlers: [readJsonBody(maxBodyBytes), postProgramToken(avatar)],
    },
    {
      ...start,
      path: START_PATH,
      id: 'startProgramSession',
      summary: "Start the session of a token, by Anam's protocol",
      description: 'For programs; a browser starts its session at `/api/anam/v1/engine/session`.',
      limit: limit('program-session-starts', sessionsPerMinute * STARTS_OF_PROGRAM),
    },
  ];
  return [
    {
      method: 'post',
      path: '/api/anam/session-token',
      aliases: ['/api/session-token'],
      id: 'createSessionToken',
      tag: 'Avatar',
      summary: 'Get a token for one avatar session',
      description: TOKENS,
      usesKeys: true,
      limit: limit('sessions', sessionsPerMinute),
      body: {
        schema: tokenBody,
        isRequired: false,
        examples: {
          ourPersona: { summary: "The server's persona", value: {} },
          ...(allowClientPersona ? CALLERS_PERSONA : {}),
        },
      },
      answer: jsonAnswer('The token, good for an hour. It must not be cached.', sessionToken),
      errors: ['model_unavailable'],
      isUncached: true,
      handlers: [
        ...options.recogniseClient,
        readJsonBody(maxBodyBytes),
        postSessionToken(avatar, allowClientPersona),
      ],
    },
    {
      ...start,
      path: `/api/anam${START_PATH}`,
      id: 'startSession',
      summary: 'Start the session of a token',
      description:
        "Anam's SDK calls this, with this server as its `baseUrl` or as its `apiGateway`. When the account of the token has nothing left, the same persona starts on another.",
      limit: limit('session-starts', sessionsPerMinute),
    },
    {
      ...asAnam,
      path: `/api/anam${METRICS_PATH}`,
      id: 'passMetrics',
      summary: "Pass on what Anam's SDK measures",
      limit: limit('session-metrics', sessionsPerMinute * METRICS_PER_SESSION),
      body: anamBody('ClientMetrics', {
        metrics: [{ name: 'client_metric_connection', value: 1, tags: {} }],
      }),
      answer: jsonAnswer('Anam has taken it.', z.looseObject({})),
      handlers: [
        refuseOtherTargets(anamBaseUrl, METRICS_PATH),
        readSessionBody,
        postMetrics(avatar),
      ],
    },
    ...(clients === null ? [] : ofPrograms),
  ];
}

const ANAM_DOCS = 'https://docs.anam.ai';

const anamBody = (id: string, value: object): RequestBody => ({
  schema: linked(id, ANAM_DOCS),
  isRequired: false,
  examples: { sdk: { value } },
});

const TOKENS = `The server decides who the avatar is (\`ANAM_PERSONA_ID\` or \`ANAM_PERSONA_CONFIG\`); with
\`ALLOW_CLIENT_PERSONA=true\` the caller may bring a persona.`;

const CALLERS_PERSONA = {
  clientPersona: {
    summary: "The caller's persona",
    value: {
      personaConfig: { name: 'Ada', avatarId: 'an-avatar', voiceId: 'a-voice', llmId: 'a-model' },
    },
  },
};

const sessionToken = z
  .strictObject({ sessionToken: z.string().min(1) })
  .meta({ id: 'SessionToken' });

const tokenBody = z
  .strictObject({
    personaConfig: jsonObject
      .refine((config) => Object.keys(config).length > 0, 'Must not be empty.')
      .refine((config) => !namesPrototype(config), 'Has a field that no persona can have.')
      .optional()
      .meta({
        minProperties: 1,
        description:
          "The caller's own persona, in Anam's form. Refused unless `ALLOW_CLIENT_PERSONA` is set.",
      }),
  })
  .meta({
    id: 'SessionTokenRequest',
    description: 'Empty, or nothing at all, for our persona.',
  });

function postSessionToken(avatar: AvatarSession, allowClientPersona: boolean): RequestHandler {
  return async function mintSessionToken(request, response) {
    const { personaConfig } = validate(tokenBody, bodyOrNone(request));
    if (personaConfig !== undefined && !allowClientPersona) throw personaNotAllowed();
    const asked = personaConfig === undefined ? null : { personaConfig };
    const sessionToken = await avatar.mintToken(asked, callerOf(response));
    sendJson(response, 200, { sessionToken });
  };
}

const PROGRAM_TOKENS = `For LiveKit's plugin and other programs that call Anam's API with an API key: they send a client token instead. The
body is [Anam's](${ANAM_DOCS}/api-reference/create-session-token); without \`personaConfig\` the server's persona is shown. The server's
\`ANAM_SESSION_OPTIONS\` and \`ANAM_CLIENT_LABEL\` take precedence.`;

const OF_LIVEKIT = {
  personaConfig: {
    type: 'ephemeral',
    name: 'Ada',
    avatarId: 'an-avatar',
    llmId: 'CUSTOMER_CLIENT_V1',
  },
  environment: { livekitUrl: 'wss://rooms.example.com', livekitToken: 'a-token' },
};

/** Anam validates the other fields. */
const programTokenBody = z
  .looseObject({
    personaConfig: jsonObject.optional(),
    sessionOptions: jsonObject.optional(),
    environment: jsonObject.optional(),
    clientLabel: z.string().optional(),
  })
  .refine((body) => !isTooDeep(body), {
    error: `Must not nest deeper than ${MAX_DEPTH}.`,
    // The next check looks at every level.
    abort: true,
  })
  .refine((body) => !namesPrototype(body), 'Has a field that no request can have.')
  .meta({ id: 'AnamSessionTokenRequest' });

function postProgramToken(avatar: AvatarSession): RequestHandler {
  return async function mintProgramToken(request, response) {
    const asked: JsonObject = validate(programTokenBody, bodyOrNone(request));
    const isOurs = Object.keys(asked).length === 0;
    try {
      const sessionToken = await avatar.mintToken(isOurs ? null : asked, callerOf(response));
      sendJson(response, 200, { sessionToken });
    } catch (error) {
      throw withWords(refusalOfRequest(error), response, error);
    }
  };
}

/** Anam's own refusal of a program's request. */
function refusalOfRequest(error: unknown): ProviderWords | null {
  const isAtFault = error instanceof ServiceError && error.code === 'invalid_request';
  return isAtFault && error.cause instanceof UpstreamError ? error.cause.refusal : null;
}

/** The same error; its body is Anam's own where Anam has refused. */
function withWords(words: ProviderWords | null, { locals }: Response, error: unknown): unknown {
  if (words !== null) locals.errorForm = { ...ANAM_ERRORS, text: () => words.body };
  return error;
}

const PROTOTYPE_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

function namesPrototype(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(
    ([name, part]) => PROTOTYPE_NAMES.has(name) || namesPrototype(part),
  );
}

const personaNotAllowed = () =>
  invalidField(
    'personaConfig',
    'The persona is chosen by the server (ALLOW_CLIENT_PERSONA is off).',
  );

/** Anam's form. Exhaustion is a 429 there: Anam's SDK would repeat a request that got a 5xx. */
export const ANAM_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  schema: z
    .looseObject({ error: z.string(), message: z.string().optional() })
    .meta({ id: 'AnamError' }),
  text: ({ message }) => JSON.stringify({ error: message, message }),
  status: ({ code, status }) => (code === 'all_keys_exhausted' ? 429 : status),
};

/** Anam's SDK and programs call it as they would call Anam. */
function postSession(
  avatar: AvatarSession,
  isClientToken: (token: string) => boolean,
): RequestHandler {
  return async function startSession(request, response) {
    const token = bearerIn(request);
    if (token === null) throw new HttpError('unauthorized', 'Session token is missing.');
    // A token that we did not mint goes to Anam unchanged.
    if (isClientToken(token)) throw new HttpError('unauthorized', NO_SESSION_TOKEN);
    const caller = callerOf(response);
    try {
      passOn(response, await avatar.start({ token, body: bodyOf(request) }, caller));
    } catch (error) {
      throw withWords(lastRefusalIn(error), response, error);
    }
  };
}

const NO_SESSION_TOKEN = `A client token starts no session: POST it to ${TOKEN_PATH} for a session token.`;

/** Anam's SDK sends the address that its gateway should call. */
const TARGET_HEADER = 'x-anam-target-url';
const ANAM_ORIGIN = 'https://api.anam.ai';
const OTHER_TARGET =
  "X-Anam-Target-Url names another address than Anam's API. This server calls no other address.";

/**
 * The server calls no address but `ANAM_BASE_URL`. A request that names another address is refused, because its caller would believe that it was called.
 * Our own address is accepted: another gateway in front of us leaves it in the header.
 */
function refuseOtherTargets(anamBaseUrl: string, path: string): RequestHandler {
  return function refuseOtherTarget({ headers }, _response, next) {
    const target = headers[TARGET_HEADER];
    if (target === undefined || isKnown(String(target))) return next();
    throw new HttpError('invalid_request', OTHER_TARGET);
  };

  function isKnown(target: string): boolean {
    if (target === anamBaseUrl + path || target === ANAM_ORIGIN + path) return true;
    return URL.canParse(target) && new URL(target).pathname === `/api/anam${path}`;
  }
}

function postMetrics(avatar: AvatarSession): RequestHandler {
  return async function passMetrics(request, response) {
    passOn(response, await avatar.passMetrics(bodyOf(request), callerOf(response)));
  };
}

function passOn(response: Response, { status, type, body }: ProviderWords): void {
  if (status >= 400)
    response.locals.outcome = { ...response.locals.outcome, code: 'refused_by_anam' };
  sendText(response, status, type, body);
}

const bodyOf = ({ body }: Request) => (Buffer.isBuffer(body) && body.length > 0 ? body : NOTHING);

const NOTHING = Buffer.from('{}');

/** Anam's own refusal of the last account, if all are spent: its SDK distinguishes spent minutes from busy slots. */
function lastRefusalIn(error: unknown): ProviderWords | null {
  const isSpent =
    error instanceof ServiceError &&
    (error.code === 'all_keys_exhausted' || error.code === 'rate_limited');
  const refusal = isSpent && error.cause instanceof UpstreamError ? error.cause.refusal : null;
  return refusal?.status === 429 ? refusal : null;
}
