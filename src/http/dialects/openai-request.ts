import { z } from 'zod';
import type { ChatRequest } from '../../services/chat.ts';
import {
  EFFORTS,
  type Effort,
  type GenerationSettings,
  type ToolChoice,
  type ToolDeclaration,
  type Tools,
} from '../../shared/chat.ts';
import { isJsonObject } from '../../shared/json.ts';
import { invalidField, jsonSchema, listOf, validate } from '../body.ts';
import { modelName } from './dialect.ts';
import { messages, readConversation, toolName } from './openai-messages.ts';
import {
  ignored,
  isGiven,
  only,
  refuseTooManyParameters,
  unsupported,
  withoutGaps,
} from './parameters.ts';

/** -1 is no limit: LM Studio's clients send it. */
const tokens = z.union([z.int().min(1), z.literal(-1)], 'Must be a whole number above 0.');
const penalty = z.number().min(-2).max(2);

/** In tokens; -1 leaves it to the model. */
const thinkingBudget = z.int32().min(-1).nullish();
const thinkingLevel = z
  .enum(['minimal', 'low', 'medium', 'high', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH'])
  .nullish();
const includeThoughts = z.boolean().nullish();

/** With Google's names in snake case or camel case. */
const thinkingConfig = z
  .strictObject({
    thinking_budget: thinkingBudget,
    thinkingBudget,
    thinking_level: thinkingLevel,
    thinkingLevel,
    include_thoughts: includeThoughts,
    includeThoughts,
  })
  .nullish();

const cachedContent = z
  .string()
  .max(200)
  .regex(/^cachedContents\/[\w-]+$/, 'Must be the name of a cached content: cachedContents/abc.')
  .nullish();

/**
 * As Google's own OpenAI-compatible routes take it
 * (https://ai.google.dev/gemini-api/docs/openai#extra-body). It goes on to Google as it is.
 */
const googleExtras = z
  .strictObject({
    thinking_config: thinkingConfig,
    thinkingConfig,
    cached_content: cachedContent,
    cachedContent,
  })
  .nullish();

/** Other providers have efforts above `high`. */
export const effort = z.enum([...EFFORTS, 'xhigh', 'max']).nullish();

export const toEffort = (stated: NonNullable<z.output<typeof effort>>): Effort =>
  stated === 'xhigh' || stated === 'max' ? 'high' : stated;

/** OpenRouter's parameter (https://openrouter.ai/docs/use-cases/reasoning-tokens). */
const reasoning = z.strictObject({
  effort,
  max_tokens: z.int().min(0).nullish(),
  /** Whether the thoughts are left out of the answer. */
  exclude: z.boolean().nullish(),
  enabled: z.boolean().nullish(),
  summary: z.enum(['auto', 'concise', 'detailed']).nullish(),
});

/** The parameter of Anthropic and some other providers. */
const thinking = z.strictObject({
  type: z.enum(['enabled', 'disabled', 'adaptive', 'auto']),
  budget_tokens: z.int().min(0).nullish(),
});

const responseFormat = z.discriminatedUnion('type', [
  z.looseObject({ type: z.enum(['text', 'json_object']) }),
  z.looseObject({
    type: z.literal('json_schema'),
    json_schema: z.looseObject({ schema: jsonSchema.nullish() }),
  }),
]);

export const MAX_TOOLS = 128;
const named = z.looseObject({ name: toolName });

export const declaredFunction = named.extend({
  description: z.string().nullish(),
  parameters: jsonSchema.nullish(),
});
type DeclaredFunction = z.output<typeof declaredFunction>;

const tool = z.looseObject({
  type: z.literal('function', 'Only functions are supported.'),
  function: declaredFunction,
});

const tools = listOf(tool, MAX_TOOLS);

/** A choice among the declared functions. */
export interface Choice {
  readonly choice: ToolChoice;
  /** The names of the only tools that may be called. */
  readonly only?: readonly string[];
}

const mode = z
  .enum(['none', 'auto', 'required', 'any'], 'Must be none, auto, required or function.')
  .transform((value): Choice => ({ choice: { kind: value === 'required' ? 'any' : value } }));

const chosenFunctions = [
  z.looseObject({ type: z.literal('function'), function: named }).transform(nameOfFunction),
  z.looseObject({ type: z.literal('function'), name: toolName }).transform(({ name }) => name),
] as const;

const allowedTools = z.looseObject({
  mode: z.enum(['auto', 'required']),
  tools: listOf(z.union(chosenFunctions), MAX_TOOLS).refine(
    ({ length }) => length > 0,
    'Must not be empty.',
  ),
});

/** Accepts the forms of both of OpenAI's interfaces, chat completions and responses. */
export const toolChoice = z.union(
  [
    mode,
    ...chosenFunctions.map((chosen) => chosen.transform(toOne)),
    z
      .looseObject({ type: z.literal('allowed_tools'), allowed_tools: allowedTools })
      .transform(({ allowed_tools: allowed }) => toAllowed(allowed)),
    allowedTools.extend({ type: z.literal('allowed_tools') }).transform(toAllowed),
    z.looseObject({ type: mode }).transform(({ type }) => type),
  ],
  'Must be none, auto, required, a function or allowed_tools.',
);

function nameOfFunction({ function: { name } }: { function: { name: string } }): string {
  return name;
}

function toOne(name: string): Choice {
  return { choice: { kind: 'one', name } };
}

function toAllowed({ mode, tools: only }: z.output<typeof allowedTools>): Choice {
  return { choice: { kind: mode === 'required' ? 'any' : 'auto' }, only };
}

const MODALITIES = ['text', 'image'] as const;

/** Google Search has no size of the context and no place. */
const webSearch = z.strictObject({
  search_context_size: z.enum(['low', 'medium', 'high']).nullish(),
  user_location: z.null('This is not supported.').optional(),
});

/** Parameters that shape the answer. */
const SUPPORTED = {
  model: modelName,
  messages,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  /** OpenRouter's form of `stream_options.include_usage`. */
  usage: z.strictObject({ include: z.boolean().nullish() }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  /** 0 and -1 switch it off. */
  top_k: z.int32().min(-1).nullish(),
  max_tokens: tokens.nullish(),
  max_completion_tokens: tokens.nullish(),
  stop: z
    .union([z.string(), z.array(z.string()).max(5)], 'Must be a text or a list of at most 5 texts.')
    .nullish(),
  seed: z.int().nullish(),
  presence_penalty: penalty.nullish(),
  frequency_penalty: penalty.nullish(),
  response_format: responseFormat.nullish(),
  modalities: z.array(z.enum(MODALITIES, 'Only text and image are supported.')).max(2).nullish(),
  reasoning_effort: effort,
  reasoning: reasoning.nullish(),
  include_reasoning: z.boolean().nullish(),
  thinking: thinking.nullish(),
  enable_thinking: z.boolean().nullish(),
  /** vLLM's form of `enable_thinking`. */
  chat_template_kwargs: z.strictObject({ enable_thinking: z.boolean().nullish() }).nullish(),
  extra_body: z.strictObject({ google: googleExtras }).nullish(),
  /** Where the Python client puts the content of `extra_body`. */
  google: googleExtras,
  web_search_options: webSearch.nullish(),
  tools: tools.nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
};

const USE_TOOLS = 'This is not supported: send tools and tool_choice.';

/** Parameters with one accepted value, which changes nothing. */
const FIXED = {
  n: only(1),
  best_of: only(1),
  echo: only(false),
  ignore_eos: only(false),
  skip_special_tokens: only(true),
  use_beam_search: only(false),
  min_p: only(0),
  top_a: only(0),
  logprobs: only(false),
  top_logprobs: only(0),
  logit_bias: z.strictObject({}, 'Only an empty one is supported.').nullish(),
  repetition_penalty: only(1),
  repeat_penalty: only(1),
  length_penalty: only(1),
  functions: z.array(z.unknown(), USE_TOOLS).max(0, USE_TOOLS).nullish(),
  function_call: z.enum(['none', 'auto'], USE_TOOLS).nullish(),
};

/** Parameters for OpenAI's accounts and caches. They never change the answer. */
const IGNORED = {
  metadata: ignored,
  prediction: ignored,
  cache_control: ignored,
  prompt_cache_key: ignored,
  prompt_cache_options: ignored,
  prompt_cache_retention: ignored,
  safety_identifier: ignored,
  service_tier: ignored,
  store: ignored,
  user: ignored,
  verbosity: ignored,
};

const completionBody = z.object({ ...IGNORED, ...SUPPORTED, ...FIXED }).catchall(unsupported);

type CompletionBody = z.output<typeof completionBody>;

export interface CompletionRequest {
  readonly request: ChatRequest;
  readonly isStreamed: boolean;
  /** Whether one more chunk has the usage, and all others `usage: null`. */
  readonly includesUsage: boolean;
  /** Gemini has no such setting, so only the first call of an answer is returned. */
  readonly isOneCallAtATime: boolean;
}

/** @throws HttpError that names each faulty or unsupported parameter */
export function readCompletionRequest(body: unknown): CompletionRequest {
  refuseTooManyParameters(body);
  const read = validate(completionBody, withoutEmpty(body));
  const declared = toTools(
    (read.tools ?? []).map((one) => toDeclaration(one.function)),
    read.tool_choice ?? AUTO,
    isGiven(read.web_search_options),
  );
  const google = { ...read.google, ...read.extra_body?.google };
  const cached = google.cached_content ?? google.cachedContent ?? null;
  return {
    request: {
      turn: {
        ...readConversation(read.messages),
        settings: toSettings(read, google.thinking_config ?? google.thinkingConfig ?? {}),
        ...(declared === null ? {} : { tools: declared }),
        ...(cached === null ? {} : { cachedContent: cached }),
      },
      model: read.model,
    },
    isStreamed: read.stream ?? false,
    includesUsage: read.stream_options?.include_usage ?? read.usage?.include ?? false,
    isOneCallAtATime: read.parallel_tool_calls === false,
  };
}

/** Parameters whose empty value has a meaning. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['messages', 'web_search_options']);

/** Some clients send empty texts, lists and objects for parameters that they do not use. */
function withoutEmpty(body: unknown): unknown {
  if (!isJsonObject(body) || !Object.values(body).some(isEmpty)) return body;
  const filled = Object.entries(body).filter(
    ([name, value]) => MAY_BE_EMPTY.has(name) || !isEmpty(value),
  );
  return Object.fromEntries(filled);
}

function isEmpty(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === '';
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
}

function toSettings(body: CompletionBody, config: ThinkingConfig): GenerationSettings {
  const { top_k: topK, seed, modalities } = body;
  const limit = body.max_completion_tokens ?? body.max_tokens;
  return withoutGaps({
    temperature: body.temperature,
    topP: body.top_p,
    topK: isGiven(topK) && topK > 0 ? topK : null,
    maxOutputTokens: limit === -1 ? null : limit,
    stop: toStop(body.stop),
    // Google accepts 32 bits. The same seed is always cut to the same number.
    seed: isGiven(seed) ? seed | 0 : null,
    // Newer models refuse any penalty, even a neutral one.
    presencePenalty: body.presence_penalty || null,
    frequencyPenalty: body.frequency_penalty || null,
    modalities: modalities?.includes('image') === true ? modalities : null,
    thinking: toThinking(body, config),
    json: toJson(body.response_format),
  });
}

function toStop(stop: CompletionBody['stop']): readonly string[] | null {
  const texts = (typeof stop === 'string' ? [stop] : (stop ?? [])).filter((text) => text !== '');
  return texts.length === 0 ? null : texts;
}

type ThinkingConfig = NonNullable<z.output<typeof thinkingConfig>>;

/** Google's own configuration wins over the parameters of other providers. */
function toThinking(
  body: CompletionBody,
  config: ThinkingConfig,
): GenerationSettings['thinking'] | null {
  const budget = config.thinking_budget ?? config.thinkingBudget;
  const level = config.thinking_level ?? config.thinkingLevel;
  const isConfigured = isGiven(budget) || isGiven(level);
  const thinking = withoutGaps({
    effort: isConfigured ? null : effortOf(body),
    budget,
    level,
    includeThoughts:
      config.include_thoughts ?? config.includeThoughts ?? (asksForThoughts(body) || null),
  });
  return Object.keys(thinking).length === 0 ? null : thinking;
}

function effortOf(body: CompletionBody): Effort | null {
  const { reasoning_effort: stated, reasoning: wished, thinking } = body;
  const effort = stated ?? wished?.effort;
  if (isGiven(effort)) return toEffort(effort);
  if (isSilenced(body)) return 'none';
  const budget = wished?.max_tokens ?? thinking?.budget_tokens;
  return isGiven(budget) ? effortWithin(budget) : null;
}

const isSilenced = (body: CompletionBody) =>
  body.reasoning?.enabled === false ||
  body.thinking?.type === 'disabled' ||
  (body.enable_thinking ?? body.chat_template_kwargs?.enable_thinking) === false;

/** A budget for another provider's model becomes the highest effort that stays within it. */
const effortWithin = (budget: number): Effort =>
  EFFORTS.findLast((effort) => LEAST_BUDGETS[effort] <= budget) ?? 'none';

const LEAST_BUDGETS: Record<Effort, number> = {
  none: 0,
  minimal: 1,
  low: 1024,
  medium: 8192,
  high: 24_576,
};

/** As with OpenAI and Google, an effort alone does not request thoughts. */
function asksForThoughts(body: CompletionBody): boolean {
  const { reasoning: wished, include_reasoning: included, thinking } = body;
  if (included === false || wished?.exclude === true || effortOf(body) === 'none') return false;
  return included === true || isGiven(wished) || thinking?.type === 'enabled';
}

function toJson(format: CompletionBody['response_format']): GenerationSettings['json'] | null {
  if (!isGiven(format) || format.type === 'text') return null;
  return format.type === 'json_schema' ? withoutGaps({ schema: format.json_schema.schema }) : {};
}

/**
 * @returns null when there are no tools
 * @throws HttpError when the choice names a function that is not declared
 */
export function toTools(
  declared: readonly ToolDeclaration[],
  chosen: Choice = AUTO,
  search = false,
): Tools | null {
  const { choice, only } = chosen;
  if (!canBeCalled(chosen, declared)) throw noSuchTool();
  if (declared.length === 0 && !search) return null;
  return {
    // Gemini can restrict the functions only where the model must call one, so the others are not declared.
    declarations: declared.filter(({ name }) => only?.includes(name) ?? true),
    choice,
    ...(search ? { search } : {}),
  };
}

const AUTO: Choice = { choice: { kind: 'auto' } };

function canBeCalled({ choice, only = [] }: Choice, declared: readonly ToolDeclaration[]): boolean {
  const names = choice.kind === 'one' ? [choice.name] : only;
  const areKnown = names.every((name) => declared.some((one) => one.name === name));
  return areKnown && (declared.length > 0 || choice.kind !== 'any');
}

export const toDeclaration = ({
  name,
  description,
  parameters,
}: DeclaredFunction): ToolDeclaration => ({
  name,
  ...withoutGaps({ description, parameters }),
});

const noSuchTool = () => invalidField('tool_choice', 'There is no such tool.');
