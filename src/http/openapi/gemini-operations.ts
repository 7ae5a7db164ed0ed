import { z } from 'zod';
import type { DescribedServer } from './described-server.ts';
import { GOOGLES } from './error-bodies.ts';
import {
  COUNT,
  GENERATED,
  GENERATED_EVENTS,
  GENERATED_PIECES,
  googleRequest,
} from './gemini-answers.ts';
import type { Answer, Content, Examples, Operation, Parameter } from './operation.ts';
import { refusals } from './refusals.ts';

/** One thing that can be asked of a model. */
interface Method {
  readonly name: 'generateContent' | 'streamGenerateContent' | 'countTokens';
  readonly summary: string;
  readonly reference: string;
  readonly parameters?: readonly Parameter[];
  readonly content: readonly Content[];
}

const REFERENCE = 'https://ai.google.dev/api';

const ALT: Parameter = {
  name: 'alt',
  in: 'query',
  description: 'With `sse` the pieces come as events, otherwise as one JSON list.',
  schema: z.enum(['sse', 'json']),
};

const METHODS: readonly Method[] = [
  {
    name: 'generateContent',
    summary: 'Get an answer when it is complete',
    reference: `${REFERENCE}/generate-content#method:-models.generatecontent`,
    content: [GENERATED],
  },
  {
    name: 'streamGenerateContent',
    summary: 'Get an answer as it comes',
    reference: `${REFERENCE}/generate-content#method:-models.streamgeneratecontent`,
    parameters: [ALT],
    content: [GENERATED_PIECES, GENERATED_EVENTS],
  },
  {
    name: 'countTokens',
    summary: 'Count the tokens of a request, which uses no quota',
    reference: `${REFERENCE}/tokens#method:-models.counttokens`,
    content: [COUNT],
  },
];

export const geminiOperations = (server: DescribedServer): Operation[] =>
  ['v1beta', 'v1', 'v1alpha'].flatMap((version) =>
    METHODS.map((method) => toOperation(method, version, server)),
  );

const toOperation = (method: Method, version: string, server: DescribedServer): Operation => ({
  method: 'post',
  path: `/${version}/models/{model}:${method.name}`,
  id: `${method.name}${suffixOf(version)}`,
  tag: 'Gemini',
  summary: method.summary,
  description: `Body and answer are Google's own: [reference](${method.reference}).`,
  security: ['googleKey', 'clientToken', 'keyInQuery'],
  parameters: [servedModel(server), ...(method.parameters ?? [])],
  body: { schemas: [googleRequest], isRequired: true, examples: HELLO },
  answers: [
    { status: 200, description: "Google's answer, byte for byte.", content: method.content },
    ...refusals(
      [GOOGLES],
      [
        'unreadable_body',
        'unauthorized',
        'model_unavailable',
        'method_not_allowed',
        'payload_too_large',
        'unsupported_encoding',
        'internal_error',
        'upstream_failed',
        'all_google_keys_exhausted',
        'no_google_keys_configured',
        'upstream_timeout',
      ],
    ),
    GOOGLES_OWN,
  ],
});

/** Of an operation's id. */
export const suffixOf = (version: string): string =>
  version === 'v1beta' ? '' : version.replace('v', 'V');

const servedModel = ({ models }: DescribedServer): Parameter => ({
  name: 'model',
  in: 'path',
  description: 'One of `GOOGLE_MODELS`.',
  schema: z.enum(models),
  example: models[0] ?? '',
});

export const GOOGLES_OWN: Answer = {
  status: 'default',
  description: "Google's own refusal of a request that is itself at fault, handed on as it came.",
  content: [
    {
      type: 'application/json',
      schema: GOOGLES.schema,
      examples: {
        invalid: {
          value: {
            error: {
              code: 400,
              message: 'Request contains an invalid argument.',
              status: 'INVALID_ARGUMENT',
            },
          },
        },
      },
    },
  ],
};

const HELLO: Examples = {
  hello: { value: { contents: [{ role: 'user', parts: [{ text: 'Hello!' }] }] } },
};
