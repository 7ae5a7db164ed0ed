import { tokenBody } from '../avatar-routes.ts';
import {
  anything,
  METRICS_EXAMPLES,
  metrics,
  SESSION_EXAMPLES,
  STARTED,
  session,
  sessionRequest,
  THANKED,
  tokenAnswer,
  tokenExamples,
} from './avatar-bodies.ts';
import type { DescribedServer } from './described-server.ts';
import { ANAMS, OURS } from './error-bodies.ts';
import type { Answer, Operation } from './operation.ts';
import { refusals } from './refusals.ts';

export const avatarOperations = (server: DescribedServer): Operation[] => [
  sessionToken(server, '/api/anam/session-token', 'createSessionToken'),
  sessionToken(server, '/api/session-token', 'createSessionTokenAlias'),
  sessionStart(server),
  clientMetrics(server),
];

const isLimited = ({ sessionsPerMinute }: DescribedServer) => sessionsPerMinute > 0;

const limitOf = (server: DescribedServer) => (isLimited(server) ? (['rate_limited'] as const) : []);

const sessionToken = (server: DescribedServer, path: string, id: string): Operation => ({
  method: 'post',
  path,
  id,
  tag: 'Avatar',
  summary: 'Get a token for one avatar session',
  description: TOKENS,
  isLimited: isLimited(server),
  body: { schemas: [tokenBody], isRequired: false, examples: tokenExamples(server) },
  answers: [
    {
      status: 200,
      description: 'The token, good for an hour. Nobody may keep it.',
      headers: ['cache-control'],
      content: [
        {
          type: 'application/json',
          schema: tokenAnswer,
          examples: {
            token: { value: { sessionToken: 'eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln' } },
          },
        },
      ],
    },
    ...refusals(
      [OURS],
      [
        'persona_refused',
        'persona_unavailable',
        'method_not_allowed',
        'payload_too_large',
        'unsupported_media_type',
        ...limitOf(server),
        'internal_error',
        'upstream_failed',
        'all_anam_keys_exhausted',
        'no_anam_keys_configured',
        'upstream_timeout',
      ],
    ),
  ],
});

const sessionStart = (server: DescribedServer): Operation => ({
  method: 'post',
  path: '/api/anam/v1/engine/session',
  id: 'startSession',
  tag: 'Avatar',
  summary: 'Start the session of a token',
  description: STARTING,
  isLimited: isLimited(server),
  security: ['sessionToken'],
  body: { schemas: [sessionRequest], isRequired: false, examples: SESSION_EXAMPLES },
  answers: [
    {
      status: 200,
      description: 'The session has started.',
      headers: ['cache-control'],
      content: [{ type: 'application/json', schema: session, examples: STARTED }],
    },
    ...refusals(
      [ANAMS],
      [
        'unreadable_body',
        'session_token_missing',
        'persona_unavailable',
        'method_not_allowed',
        'payload_too_large',
        'unsupported_encoding',
        ...limitOf(server),
        'all_anam_keys_exhausted',
        'internal_error',
        'upstream_failed',
        'no_anam_keys_configured',
        'upstream_timeout',
      ],
    ),
    ANAMS_OWN,
  ],
});

const clientMetrics = (server: DescribedServer): Operation => ({
  method: 'post',
  path: '/api/anam/v1/metrics/client',
  id: 'passMetrics',
  tag: 'Avatar',
  summary: "Pass on what Anam's SDK measures",
  isLimited: isLimited(server),
  body: { schemas: [metrics], isRequired: false, examples: METRICS_EXAMPLES },
  answers: [
    {
      status: 200,
      description: 'Anam has taken it.',
      content: [{ type: 'application/json', schema: anything, examples: THANKED }],
    },
    ...refusals(
      [ANAMS],
      [
        'unreadable_body',
        'method_not_allowed',
        'payload_too_large',
        'unsupported_encoding',
        ...limitOf(server),
        'internal_error',
        'upstream_failed',
        'no_anam_keys_configured',
        'upstream_timeout',
      ],
    ),
    ANAMS_OWN,
  ],
});

const TOKENS = `Who the avatar is, the server decides (\`ANAM_PERSONA_ID\` or \`ANAM_PERSONA_CONFIG\`); with \`ALLOW_CLIENT_PERSONA=true\`
the caller may bring a persona.`;

const STARTING = `What Anam's SDK calls to start, with this server as its \`baseUrl\`. When the account behind the token has no
minutes, slots or credit left, the same persona starts on another. With no account left the answer is 429, which the SDK does not
try again.`;

const ANAMS_OWN: Answer = {
  status: 'default',
  description: "Anam's own answer to a request that is itself at fault, handed on as it came.",
  content: [
    {
      type: 'application/json',
      schema: ANAMS.schema,
      examples: { invalid: { value: { error: 'Invalid session token' } } },
    },
  ],
};
