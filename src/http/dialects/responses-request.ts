import { z } from 'zod';
import type { ChatRequest } from '../../services/chat.ts';
import type {
  ChatMessage,
  ChatTurn,
  GenerationSettings,
  TextPart,
  ThinkingSettings,
  ToolCall,
  ToolDeclaration,
  Tools,
  UserPart,
} from '../../shared/chat.ts';
import { isJsonObject, type JsonObject } from '../../shared/json.ts';
import { isTooDeep, MAX_DEPTH } from '../../shared/json-schema.ts';
import { invalidField, jsonSchema, listOf, validate } from '../body.ts';
import { Conversation, toSystem } from './conversation.ts';
import {
  hasContent,
  hasText,
  MAX_MESSAGES,
  MAX_PARTS,
  mediaUrl,
  modelName,
  toTextPart,
} from './dialect.ts';
import { callArguments, toolName, toResult } from './openai-messages.ts';
import {
  declaredFunction,
  effort,
  MAX_TOOLS,
  toDeclaration,
  toEffort,
  toolChoice,
  toTools,
} from './openai-request.ts';
import {
  ignored,
  isGiven,
  only,
  refuseTooManyParameters,
  unsupported,
  withoutGaps,
} from './parameters.ts';

/** How the answer to a request is written. */
export interface ResponseForm {
  readonly isStreamed: boolean;
  /** Gemini has no such setting, so only the first call of an answer is returned. */
  readonly isOneCallAtATime: boolean;
  /** Whether the answer carries the signatures of calls, as `encrypted_content` of reasoning items. */
  readonly hasSignatures: boolean;
  /** The functions in namespaces, by the names that the model uses. */
  readonly namespaced: ReadonlyMap<string, NamespacedName>;
  /** The request's fields that the response repeats. */
  readonly repeated: JsonObject;
}

interface NamespacedName {
  readonly namespace: string;
  readonly name: string;
}

const text = z
  .looseObject({ type: z.enum(['input_text', 'output_text', 'text']), text: z.string() })
  .transform((part): UserPart => toTextPart(part.text));

const refusal = z
  .looseObject({ type: z.literal('refusal'), refusal: z.string() })
  .transform((part): UserPart => toTextPart(part.refusal));

const NO_FILES = 'The server stores no files: send the content.';

const image = z
  .looseObject({
    type: z.literal('input_image'),
    file_id: z.null(NO_FILES).optional(),
    image_url: mediaUrl,
  })
  .transform((part): UserPart => part.image_url);

const file = z
  .looseObject({
    type: z.literal('input_file'),
    file_id: z.null(NO_FILES).optional(),
    file_data: mediaUrl.nullish(),
    file_url: mediaUrl.nullish(),
  })
  .transform((part, context): UserPart => {
    const content = part.file_data ?? part.file_url ?? null;
    if (content !== null) return content;
    context.addIssue({ code: 'custom', path: ['file_data'], message: 'Is missing.' });
    return z.NEVER;
  });

const PARTS = 'Parts may be of type input_text, input_image or input_file.';
const contentOf = <Part extends z.ZodType<UserPart>>(part: Part) =>
  z.union([
    z.string().transform((said): readonly UserPart[] => [toTextPart(said)]),
    listOf(part, MAX_PARTS),
  ]);
const userContent = contentOf(z.discriminatedUnion('type', [text, image, file], PARTS));
const systemContent = contentOf(
  z.discriminatedUnion('type', [text], 'Parts of an instruction may be of type input_text.'),
);
const assistantContent = contentOf(z.discriminatedUnion('type', [text, refusal]));

const callId = z.string().min(1).max(200);

const message = z.discriminatedUnion('role', [
  z.looseObject({
    type: z.literal('message'),
    role: z.literal('user'),
    content: userContent,
  }),
  z.looseObject({
    type: z.literal('message'),
    role: z.enum(['system', 'developer']),
    content: systemContent,
  }),
  z.looseObject({
    type: z.literal('message'),
    role: z.literal('assistant'),
    content: assistantContent,
  }),
]);

const call = z.looseObject({
  type: z.literal('function_call'),
  call_id: callId,
  name: toolName,
  namespace: toolName.nullish(),
  arguments: callArguments,
});

const output = z.looseObject({
  type: z.literal('function_call_output'),
  call_id: callId,
  output: userContent,
});

const reasoning = z.looseObject({
  type: z.literal('reasoning'),
  encrypted_content: z.string().nullish(),
});

const reference = z.looseObject({
  type: z.literal('item_reference').refine(() => false, {
    error:
      'The server stores no items. Send the item itself; with the AI SDK set providerOptions.openai.store to false.',
  }),
});

const item = z.preprocess(
  (value) =>
    isJsonObject(value) && value.type === undefined ? { ...value, type: 'message' } : value,
  z.discriminatedUnion(
    'type',
    [message, call, output, reasoning, reference],
    'Items may be of type message, function_call, function_call_output or reasoning.',
  ),
);

const functionTool = declaredFunction.extend({ type: z.literal('function') });

const tool = z.discriminatedUnion(
  'type',
  [
    functionTool,
    // Codex declares the functions of MCP servers this way.
    z.looseObject({
      type: z.literal('namespace'),
      name: toolName,
      tools: listOf(functionTool, MAX_TOOLS),
    }),
    z.looseObject({
      type: z.enum(['web_search', 'web_search_preview']),
      external_web_access: z.boolean().nullish(),
    }),
  ],
  'Only function, namespace and web_search are supported.',
);

const format = z.discriminatedUnion('type', [
  z.looseObject({ type: z.enum(['text', 'json_object']) }),
  z.looseObject({ type: z.literal('json_schema'), schema: jsonSchema }),
]);

const NO_RESPONSES =
  'The server stores no responses: send the whole conversation as input instead of the id of an earlier response.';

const body = z
  .object({
    model: modelName,
    input: z.union([
      z.string().transform((said) => [
        {
          type: 'message' as const,
          role: 'user' as const,
          content: [toTextPart(said)],
        },
      ]),
      listOf(item, MAX_MESSAGES),
    ]),
    instructions: z.string().nullish(),
    stream: z.boolean().nullish(),
    temperature: z.number().min(0).max(2).nullish(),
    top_p: z.number().min(0).max(1).nullish(),
    max_output_tokens: z.int().min(1).nullish(),
    tools: listOf(tool, MAX_TOOLS).nullish(),
    tool_choice: toolChoice.nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    reasoning: z
      .looseObject({
        effort,
        summary: z.string().nullish(),
        generate_summary: z.string().nullish(),
      })
      .nullish(),
    text: z.looseObject({ format: format.nullish() }).nullish(),
    include: listOf(
      z.string().refine((name) => name !== 'message.output_text.logprobs', {
        error: 'Log probabilities are not supported.',
      }),
      MAX_PARTS,
    ).nullish(),
    previous_response_id: z.null(NO_RESPONSES).optional(),
    conversation: z.null(NO_RESPONSES).optional(),
    background: only(false),
    top_logprobs: only(0),
    /** Parameters for OpenAI's accounts and caches. They never change the answer. */
    client_metadata: ignored,
    max_tool_calls: ignored,
    metadata: ignored,
    prompt_cache_key: ignored,
    prompt_cache_retention: ignored,
    safety_identifier: ignored,
    service_tier: ignored,
    store: ignored,
    stream_options: ignored,
    truncation: ignored,
    user: ignored,
  })
  .catchall(unsupported);

type Body = z.output<typeof body>;
type Item = z.output<typeof item>;

/** The repeated fields, with OpenAI's defaults. */
const REPEATED: JsonObject = {
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  parallel_tool_calls: true,
  reasoning: { effort: null, summary: null },
  temperature: null,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_p: null,
  truncation: 'disabled',
  user: null,
};

/** @throws HttpError for a field that nests too deep to be written again */
function repeatedOf(raw: unknown): JsonObject {
  const given = isJsonObject(raw) ? raw : {};
  const repeated = Object.entries(REPEATED).map(([name, usual]) => [name, given[name] ?? usual]);
  const [tooDeep] = repeated.find(([, value]) => isTooDeep(value, MAX_DEPTH_REPEATED)) ?? [];
  if (tooDeep !== undefined) {
    throw invalidField(String(tooDeep), `Must not nest deeper than ${MAX_DEPTH_REPEATED}.`);
  }
  return Object.fromEntries(repeated);
}

/** Schemas, which have a limit of their own, stand some levels within the tools. */
const MAX_DEPTH_REPEATED = 2 * MAX_DEPTH;

/** @throws HttpError that names each faulty or unsupported parameter */
export function readResponseRequest(raw: unknown): {
  readonly request: ChatRequest;
  readonly form: ResponseForm;
} {
  const read = validate(body, refuseTooManyParameters(raw));
  const { system, messages } = readItems(read.input, read.instructions ?? null);
  const tools = toolsOf(read);
  return {
    request: {
      turn: {
        system,
        messages,
        settings: toSettings(read),
        ...(tools === null ? {} : { tools }),
      },
      model: read.model,
    },
    form: {
      isStreamed: read.stream ?? false,
      isOneCallAtATime: read.parallel_tool_calls === false,
      namespaced: new Map((read.tools ?? []).flatMap(namespacedIn)),
      hasSignatures: read.include?.includes('reasoning.encrypted_content') ?? false,
      repeated: repeatedOf(raw),
    },
  };
}

/**
 * Splits the items into the system's texts and the conversation.
 *
 * @throws HttpError when a result belongs to no call, a call has no result, or nothing is asked
 */
function readItems(
  items: readonly Item[],
  instructions: string | null,
): Pick<ChatTurn, 'system' | 'messages'> {
  const system = [instructions ?? '', ...items.flatMap(systemTexts)].filter(hasText);
  const messages = toMessages(items);
  // A prompt of instructions alone becomes the question.
  if (messages.length === 0 && system.length > 0) {
    return { system: null, messages: [{ role: 'user', parts: system.map(toTextPart) }] };
  }
  if (!ASKS.has(messages.at(-1)?.role)) throw invalidField('input', NOTHING_ASKED);
  return { system: toSystem(system), messages };
}

const ASKS: ReadonlySet<string | undefined> = new Set(['user', 'tool']);
const NOTHING_ASKED = 'The last item must be a message of the user or the output of a function.';

const isSystem = (one: Item) =>
  one.type === 'message' && (one.role === 'system' || one.role === 'developer');

function systemTexts(one: Item): string[] {
  if (one.type !== 'message' || !isSystem(one)) return [];
  return one.content.flatMap((part) => (isText(part) ? [part.text] : []));
}

const isText = (part: UserPart): part is TextPart => part.kind === 'text';

function toMessages(items: readonly Item[]): readonly ChatMessage[] {
  const conversation = new Conversation(MISMATCHES);
  /** The signature of the next call. */
  let signature: string | null = null;
  for (const [index, one] of items.entries()) {
    const path = `input.${index}.call_id`;
    if (one.type === 'reasoning') {
      conversation.beginAnswer();
      signature = one.encrypted_content ?? null;
      continue;
    }
    if (one.type === 'message') addMessage(conversation, one);
    else if (one.type === 'function_call')
      conversation.call(one.call_id, toCall(one, signature), path);
    else if (one.type === 'function_call_output') {
      conversation.return(one.call_id, toResult(one.output), path);
    }
    signature = null;
  }
  conversation.endTurn();
  return conversation.messages;
}

const MISMATCHES = {
  noResult: 'This call has no result: a function_call_output with its call_id must follow.',
  noSuchCall: 'No function_call before it has this call_id.',
};

function addMessage(conversation: Conversation, one: Extract<Item, { type: 'message' }>): void {
  if (isSystem(one)) return;
  const parts = one.content.filter(hasContent);
  if (one.role === 'assistant') conversation.say(parts.filter(isText));
  else conversation.ask(parts);
}

const toCall = (
  { name, namespace, arguments: input }: Extract<Item, { type: 'function_call' }>,
  signature: string | null,
): ToolCall => ({
  name: isGiven(namespace) ? joined(namespace, name) : name,
  input,
  ...(signature === null ? {} : { signature }),
});

function toSettings(body: Body): GenerationSettings {
  return withoutGaps({
    temperature: body.temperature,
    topP: body.top_p,
    maxOutputTokens: body.max_output_tokens,
    thinking: toThinking(body.reasoning),
    json: toJson(body.text?.format),
  });
}

function toThinking(asked: Body['reasoning']): ThinkingSettings | null {
  if (!isGiven(asked)) return null;
  const isShown = isGiven(asked.summary) || isGiven(asked.generate_summary);
  const thinking = withoutGaps({
    effort: asked.effort && toEffort(asked.effort),
    includeThoughts: isShown ? true : null,
  });
  return Object.keys(thinking).length === 0 ? null : thinking;
}

function toJson(
  asked: z.output<typeof format> | null | undefined,
): GenerationSettings['json'] | null {
  if (!isGiven(asked) || asked.type === 'text') return null;
  return asked.type === 'json_schema' ? { schema: asked.schema } : {};
}

/** Most models accept either Google Search or functions, so beside functions the search is not offered. */
const toolsOf = ({ tools, tool_choice: choice }: Body): Tools | null => {
  const declared = (tools ?? []).flatMap(functionsIn);
  const search = declared.length === 0 && (tools ?? []).some(isSearch);
  return toTools(declared, choice ?? undefined, search);
};

type Tool = z.output<typeof tool>;

function functionsIn(one: Tool): ToolDeclaration[] {
  switch (one.type) {
    case 'function':
      return [toDeclaration(one)];
    case 'namespace':
      return one.tools.map((inner) =>
        toDeclaration({ ...inner, name: joined(one.name, inner.name) }),
      );
    default:
      return [];
  }
}

const namespacedIn = (one: Tool): [string, NamespacedName][] =>
  one.type === 'namespace'
    ? one.tools.map(({ name }) => [joined(one.name, name), { namespace: one.name, name }])
    : [];

/** Gemini has no namespaces. */
const joined = (namespace: string, name: string) => `${namespace}.${name}`;

/** Without access to the web, OpenAI searches only its own stored index. */
const isSearch = (one: Tool) =>
  one.type.startsWith('web_search') && one.external_web_access !== false;
