import { z } from 'zod';
import type { ChatRequest } from '../../services/chat.ts';
import type { Effort, GenerationSettings, ToolChoice, Tools } from '../../shared/chat.ts';
import { invalidField, jsonSchema, listOf, validate } from '../body.ts';
import { messages, readConversation, system } from './anthropic-messages.ts';
import { modelName } from './dialect.ts';
import { ignored, refuseTooManyParameters, unsupported, withoutGaps } from './parameters.ts';

const tokens = z.int().min(1);

const thinking = z.discriminatedUnion(
  'type',
  [
    z.looseObject({
      type: z.literal('enabled'),
      budget_tokens: tokens,
      display: z.enum(['summarized', 'omitted']).nullish(),
    }),
    z.looseObject({
      type: z.enum(['adaptive', 'between_tools']),
      display: z.enum(['summarized', 'omitted']).nullish(),
    }),
    z.looseObject({ type: z.literal('disabled') }),
  ],
  'Must be of type enabled, adaptive or disabled.',
);

const jsonFormat = z.looseObject({ type: z.literal('json_schema'), schema: jsonSchema });

const outputConfig = z.looseObject({
  effort: z.enum(['low', 'medium', 'high', 'xhigh', 'max']).nullish(),
  format: jsonFormat.nullish(),
});

/** Agents send the tools of many MCP servers. */
const MAX_TOOLS = 512;
const toolName = z.string().min(1).max(200);

const customTool = z
  .looseObject({
    type: z.literal('custom').nullish(),
    name: toolName,
    description: z.string().nullish(),
    input_schema: jsonSchema,
  })
  .transform(({ name, description, input_schema: parameters }) => ({
    kind: 'own' as const,
    declaration: { name, ...withoutGaps({ description }), parameters },
  }));

const NO_DOMAINS = 'A restriction to domains is not supported.';
const noDomains = z.array(z.unknown(), NO_DOMAINS).max(0, NO_DOMAINS).nullish();

const ofType = (pattern: RegExp) =>
  z.string().regex(pattern, {
    error: ({ input }) =>
      `${String(input).slice(0, 100)} is not supported: only tools with an input_schema, and web_search.`,
  });

/** Becomes Google Search, which supports neither `max_uses` nor `user_location`. */
const searchTool = z
  .looseObject({
    type: ofType(/^web_search_\d+$/),
    name: toolName,
    allowed_domains: noDomains,
    blocked_domains: noDomains,
  })
  .transform(({ name }) => ({ kind: 'search' as const, name }));

/** Accepted without effect: all tools are offered from the beginning. */
const toolSearch = z
  .looseObject({ type: ofType(/^tool_search_tool_\w+$/) })
  .transform(() => ({ kind: 'needless' as const }));

const tool = z.union([customTool, searchTool, toolSearch]);

const isParallel = { disable_parallel_tool_use: z.boolean().nullish() };

const toolChoice = z.discriminatedUnion(
  'type',
  [
    z.looseObject({ type: z.enum(['auto', 'any', 'none']), ...isParallel }),
    z.looseObject({ type: z.literal('tool'), name: toolName, ...isParallel }),
  ],
  'Must be of type auto, any, tool or none.',
);

const MAX_STOPS = 5;

/** Parameters that shape the answer. */
const SUPPORTED = {
  model: modelName,
  messages,
  system: system.nullish(),
  stream: z.boolean().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int32().min(0).nullish(),
  // https://ai.google.dev/api/generate-content#generationconfig
  stop_sequences: z
    .array(z.string().min(1))
    .max(MAX_STOPS, `Gemini takes at most ${MAX_STOPS}.`)
    .nullish(),
  thinking: thinking.nullish(),
  output_config: outputConfig.nullish(),
  /** The former name of `output_config.format`. */
  output_format: jsonFormat.nullish(),
  tools: listOf(tool, MAX_TOOLS).nullish(),
  tool_choice: toolChoice.nullish(),
};

const NO_STATE = 'This is not supported: the server stores nothing between requests.';
const NO_SERVERS = 'MCP servers are not supported: send their tools.';

/** Parameters with one accepted value, which changes nothing. */
const FIXED = {
  container: z.null(NO_STATE).optional(),
  thread: z.null(NO_STATE).optional(),
  mcp_servers: z.array(z.unknown(), NO_SERVERS).max(0, NO_SERVERS).nullish(),
  inference_geo: z.literal('global', 'Only global is supported.').nullish(),
};

/** Parameters for Anthropic's accounting, speed and caches. They never change the answer. */
const IGNORED = {
  anthropic_beta: ignored,
  anthropic_version: ignored,
  betas: ignored,
  billing_policy: ignored,
  cache_control: ignored,
  compaction: ignored,
  context_management: ignored,
  diagnostics: ignored,
  fallback_credit_token: ignored,
  fallbacks: ignored,
  metadata: ignored,
  service_tier: ignored,
  speed: ignored,
  user_profile_id: ignored,
  workspace_id: ignored,
};

const messageBody = z
  .object({ ...IGNORED, ...SUPPORTED, ...FIXED, max_tokens: tokens })
  .catchall(unsupported);
const countBody = z
  .object({ ...IGNORED, ...SUPPORTED, ...FIXED, max_tokens: tokens.nullish() })
  .catchall(unsupported);

type CountBody = z.output<typeof countBody>;

export interface MessageRequest {
  readonly request: ChatRequest & { readonly model: string };
  readonly isStreamed: boolean;
  /** Gemini has no such setting, so only the first call of an answer is returned. */
  readonly isOneCallAtATime: boolean;
  /** The name of the web search tool; null without one. */
  readonly search: string | null;
}

/** @throws HttpError that names each faulty or unsupported parameter */
export const readMessageRequest = (body: unknown): MessageRequest =>
  toRequest(validate(messageBody, refuseTooManyParameters(body)));

/** The request of a token count: `max_tokens` may be missing. */
export const readCountRequest = (body: unknown): MessageRequest['request'] =>
  toRequest(validate(countBody, refuseTooManyParameters(body))).request;

function toRequest(read: CountBody): MessageRequest {
  const search = read.tools?.find((one) => one.kind === 'search')?.name ?? null;
  const tools = toTools(read, search);
  return {
    request: {
      turn: {
        ...readConversation(read.messages, read.system ?? []),
        settings: toSettings(read),
        ...(tools === null ? {} : { tools }),
      },
      model: read.model,
    },
    isStreamed: read.stream ?? false,
    isOneCallAtATime: read.tool_choice?.disable_parallel_tool_use === true,
    search,
  };
}

function toSettings(body: CountBody): GenerationSettings {
  const format = body.output_config?.format ?? body.output_format;
  return withoutGaps({
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k || null,
    maxOutputTokens: body.max_tokens,
    stop: body.stop_sequences?.length === 0 ? null : body.stop_sequences,
    thinking: toThinking(body),
    json: format ? { schema: format.schema } : null,
  });
}

/** The largest budget that every model with a budget accepts: https://ai.google.dev/gemini-api/docs/thinking#set-budget */
const MAX_BUDGET = 24_576;

/** Null leaves the thinking to the model, without thoughts in the answer. */
function toThinking({ thinking, output_config }: CountBody): GenerationSettings['thinking'] | null {
  const effort = output_config?.effort ? EFFORTS[output_config.effort] : null;
  if (thinking?.type === 'disabled') return { effort: 'none' };
  if (!thinking) return effort === null ? null : { effort };
  return withoutGaps({
    effort: thinking.type === 'enabled' ? null : effort,
    budget: thinking.type === 'enabled' ? Math.min(thinking.budget_tokens, MAX_BUDGET) : null,
    includeThoughts: thinking.display !== 'omitted',
  });
}

const EFFORTS: Record<'low' | 'medium' | 'high' | 'xhigh' | 'max', Effort> = {
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
  max: 'high',
};

/** @returns null when there are no tools */
function toTools({ tools, tool_choice: choice }: CountBody, search: string | null): Tools | null {
  const declarations = (tools ?? []).flatMap((one) =>
    one.kind === 'own' ? [one.declaration] : [],
  );
  const chosen = toChoice(choice, search);
  const mustCall = chosen.kind === 'one' || (chosen.kind === 'any' && search === null);
  const isKnown =
    chosen.kind === 'one'
      ? declarations.some(({ name }) => name === chosen.name)
      : declarations.length > 0;
  if (mustCall && !isKnown) throw invalidField('tool_choice', 'There is no such tool.');
  if (declarations.length === 0 && search === null) return null;
  return { declarations, choice: chosen, ...(search === null ? {} : { search: true }) };
}

/** Gemini has no setting that forces a search. */
function toChoice(choice: CountBody['tool_choice'], search: string | null): ToolChoice {
  if (!choice) return { kind: 'auto' };
  if (choice.type !== 'tool') return { kind: choice.type };
  return choice.name === search ? { kind: 'auto' } : { kind: 'one', name: choice.name };
}
