import { z } from 'zod';
import type { ChatRequest } from '../../services/chat.ts';
import {
  EFFORTS,
  type Effort,
  type GenerationSettings,
  type ToolChoice,
  type Tools,
} from '../../shared/chat.ts';
import { isJsonObject } from '../../shared/json.ts';
import { invalidField, jsonSchema, listOf, validate } from '../body.ts';
import { modelName } from './dialect.ts';
import { messages, readConversation } from './openai-messages.ts';

const MAX_PARAMETERS = 100;

const tokens = z.int().min(1);
const penalty = z.number().min(-2).max(2);

/**
 * As Google's own OpenAI-compatible routes take it
 * (https://ai.google.dev/gemini-api/docs/openai#extra-body). It goes on to Google as it is.
 */
const googleExtras = z.strictObject({
  thinking_config: z
    .strictObject({
      /** In tokens; -1 leaves it to the model. */
      thinking_budget: z.int32().min(-1).nullish(),
      thinking_level: z
        .enum(['minimal', 'low', 'medium', 'high', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH'])
        .nullish(),
      include_thoughts: z.boolean().nullish(),
    })
    .nullish(),
});

const responseFormat = z.discriminatedUnion('type', [
  z.looseObject({ type: z.enum(['text', 'json_object']) }),
  z.looseObject({
    type: z.literal('json_schema'),
    json_schema: z.looseObject({ schema: jsonSchema.nullish() }),
  }),
]);

const MAX_TOOLS = 128;
const named = z.looseObject({ name: z.string().min(1).max(64) });

const tool = z.looseObject({
  type: z.literal('function', 'Only functions are supported.'),
  function: named.extend({
    description: z.string().nullish(),
    parameters: jsonSchema.nullish(),
  }),
});

const tools = listOf(tool, MAX_TOOLS);

const mode = z.enum(['none', 'auto', 'required'], 'Must be none, auto, required or function.');

const toolChoice = z.union(
  [
    mode,
    z.looseObject({ type: z.literal('function'), function: named }),
    z.looseObject({ type: mode }).transform(({ type }) => type),
  ],
  'Must be none, auto, required or a function.',
);

/** Parameters that shape the answer. */
const SUPPORTED = {
  model: modelName,
  messages,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  /** 0 and -1 switch it off. */
  top_k: z.int32().min(-1).nullish(),
  max_tokens: tokens.nullish(),
  max_completion_tokens: tokens.nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(5)]).nullish(),
  seed: z.int32().nullish(),
  presence_penalty: penalty.nullish(),
  frequency_penalty: penalty.nullish(),
  response_format: responseFormat.nullish(),
  reasoning_effort: z.enum([...EFFORTS, 'xhigh']).nullish(),
  enable_thinking: z.boolean().nullish(),
  extra_body: z.strictObject({ google: googleExtras.nullish() }).nullish(),
  /** Where the Python client puts the content of `extra_body`. */
  google: googleExtras.nullish(),
  tools: tools.nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
};

/** Parameters with one accepted value, which changes nothing. */
const only = <const Value extends string | number | boolean>(value: Value) =>
  z.literal(value, `Only ${value} is supported.`).nullish();

const USE_TOOLS = 'This is not supported: send tools and tool_choice.';

const FIXED = {
  n: only(1),
  logprobs: only(false),
  top_logprobs: only(0),
  verbosity: only('medium'),
  modalities: z.tuple([z.literal('text')], 'Only text is supported.').nullish(),
  logit_bias: z.strictObject({}, 'Only an empty one is supported.').nullish(),
  repetition_penalty: only(1),
  functions: z.array(z.unknown(), USE_TOOLS).max(0, USE_TOOLS).nullish(),
  function_call: z.enum(['none', 'auto'], USE_TOOLS).nullish(),
};

const anything = z.unknown().optional();

/** They concern OpenAI's own housekeeping, never the answer. */
const IGNORED = {
  metadata: anything,
  prediction: anything,
  prompt_cache_key: anything,
  prompt_cache_retention: anything,
  safety_identifier: anything,
  service_tier: anything,
  store: anything,
  user: anything,
};

const completionBody = z
  .object({ ...IGNORED, ...SUPPORTED, ...FIXED })
  .catchall(z.null('This parameter is not supported.').optional());

type CompletionBody = z.output<typeof completionBody>;

export interface CompletionRequest {
  readonly request: ChatRequest;
  readonly isStreamed: boolean;
  /** Whether one more chunk has the usage, and all others `usage: null`. */
  readonly includesUsage: boolean;
  /** Gemini has no such limit: only its first call is handed on. */
  readonly isOneCallAtATime: boolean;
}

/** @throws HttpError that names each faulty or unsupported parameter */
export function readCompletionRequest(body: unknown): CompletionRequest {
  const isTooMuch = isJsonObject(body) && Object.keys(body).length > MAX_PARAMETERS;
  if (isTooMuch) throw invalidField('', `At most ${MAX_PARAMETERS} parameters are read.`);
  const read = validate(completionBody, body);
  const declared = toTools(read.tools ?? [], read.tool_choice ?? null);
  return {
    request: {
      turn: {
        ...readConversation(read.messages),
        settings: toSettings(read),
        ...(declared === null ? {} : { tools: declared }),
      },
      model: read.model,
    },
    isStreamed: read.stream ?? false,
    includesUsage: read.stream_options?.include_usage ?? false,
    isOneCallAtATime: read.parallel_tool_calls === false,
  };
}

function toSettings(body: CompletionBody): GenerationSettings {
  const { stop, top_k: topK } = body;
  return withoutGaps({
    temperature: body.temperature,
    topP: body.top_p,
    topK: isGiven(topK) && topK > 0 ? topK : null,
    maxOutputTokens: body.max_completion_tokens ?? body.max_tokens,
    stop: typeof stop === 'string' ? [stop] : stop,
    seed: body.seed,
    // Newer models refuse any penalty, even a neutral one.
    presencePenalty: body.presence_penalty || null,
    frequencyPenalty: body.frequency_penalty || null,
    thinking: toThinking(body),
    json: toJson(body.response_format),
  });
}

/** Google's own configuration wins over the parameters of other providers. */
function toThinking(body: CompletionBody): GenerationSettings['thinking'] | null {
  const config = body.extra_body?.google?.thinking_config ?? body.google?.thinking_config ?? {};
  const { thinking_budget: budget, thinking_level: level, include_thoughts } = config;
  const isConfigured = isGiven(budget) || isGiven(level);
  const thinking = withoutGaps({
    effort: isConfigured ? null : effortOf(body),
    budget,
    level,
    includeThoughts: include_thoughts,
  });
  return Object.keys(thinking).length === 0 ? null : thinking;
}

function effortOf({ reasoning_effort: effort, enable_thinking }: CompletionBody): Effort | null {
  if (isGiven(effort)) return effort === 'xhigh' ? 'high' : effort;
  return enable_thinking === false ? 'none' : null;
}

function toJson(format: CompletionBody['response_format']): GenerationSettings['json'] | null {
  if (!isGiven(format) || format.type === 'text') return null;
  return format.type === 'json_schema' ? withoutGaps({ schema: format.json_schema.schema }) : {};
}

type WithoutGaps<T> = { [K in keyof T]?: NonNullable<T[K]> };

export const withoutGaps = <T extends object>(settings: T) =>
  Object.fromEntries(
    Object.entries(settings).filter(([, value]) => isGiven(value)),
  ) as WithoutGaps<T>;

/** @returns null when there are no tools */
function toTools(
  declared: z.output<typeof tools>,
  choice: z.output<typeof toolChoice> | null,
): Tools | null {
  if (declared.length === 0) {
    if (choice !== null && choice !== 'none' && choice !== 'auto') throw noSuchTool();
    return null;
  }
  const declarations = declared.map(({ function: { name, description, parameters } }) => ({
    name,
    ...withoutGaps({ description, parameters }),
  }));
  const chosen = toChoice(choice);
  const isKnown = chosen.kind !== 'one' || declarations.some(({ name }) => name === chosen.name);
  if (!isKnown) throw noSuchTool();
  return { declarations, choice: chosen };
}

const isGiven = <T>(value: T): value is NonNullable<T> => value !== undefined && value !== null;

function toChoice(choice: z.output<typeof toolChoice> | null): ToolChoice {
  if (choice === null) return { kind: 'auto' };
  if (typeof choice !== 'string') return { kind: 'one', name: choice.function.name };
  return { kind: choice === 'required' ? 'any' : choice };
}

const noSuchTool = () => invalidField('tool_choice', 'There is no such tool.');
