import { z } from 'zod';
import type {
  AssistantPart,
  ChatMessage,
  ChatTurn,
  LinkPart,
  MediaPart,
  ReasoningPart,
  TextPart,
  ToolResult,
  UserPart,
} from '../../shared/chat.ts';
import { invalidField, jsonObject, listOf } from '../body.ts';
import { hasText, MAX_PARTS, readDataUrl, textPart } from './dialect.ts';

const toText = (text: string): TextPart => ({ kind: 'text', text });

/** A text alone stands for one block of it. */
const blocksOf = <Block>(block: z.ZodType<Block>, fromText: (text: string) => Block) =>
  z.union([z.string().transform((text) => [fromText(text)]), listOf(block, MAX_PARTS)]);

const texts = blocksOf(textPart, toText).transform((parts) =>
  parts.map(({ text }) => text).filter(hasText),
);

const base64Source = z
  .looseObject({ type: z.literal('base64'), media_type: z.string().max(100), data: z.string() })
  .transform(({ media_type: type, data }, context): MediaPart => {
    const media = readDataUrl(`data:${type};base64,${data}`);
    if (media !== null) return media;
    context.addIssue({ code: 'custom', message: 'Must hold base64 and its media_type.' });
    return z.NEVER;
  });

const urlSource = z
  .looseObject({
    type: z.literal('url'),
    url: z.url({ protocol: /^https?$/, error: 'Must be an http or https address.' }).max(8192),
  })
  .transform(({ url }): LinkPart => ({ kind: 'link', url }));

const imageBlock = z
  .looseObject({
    type: z.literal('image'),
    source: z.discriminatedUnion(
      'type',
      [base64Source, urlSource],
      'Sources of an image may be of type base64 or url.',
    ),
  })
  .transform(({ source }): UserPart[] => [source]);

const textBlock = textPart.transform((part): UserPart[] => [part]);

const textSource = z
  .looseObject({ type: z.literal('text'), data: z.string() })
  .transform(({ data }): UserPart[] => [toText(data)]);

const contentSource = z
  .looseObject({
    type: z.literal('content'),
    content: blocksOf(z.union([textBlock, imageBlock]), (text): UserPart[] => [toText(text)]),
  })
  .transform(({ content }) => content.flat());

const documentBlock = z
  .looseObject({
    type: z.literal('document'),
    source: z.discriminatedUnion(
      'type',
      [
        base64Source.transform((media): UserPart[] => [media]),
        // Only a PDF may be linked.
        urlSource.transform((link): UserPart[] => [{ ...link, mediaType: 'application/pdf' }]),
        textSource,
        contentSource,
      ],
      'Sources of a document may be of type base64, url, text or content.',
    ),
    title: z.string().nullish(),
    context: z.string().nullish(),
  })
  .transform(({ title, context, source }): UserPart[] => [
    ...[title, context].flatMap((text) => (text && hasText(text) ? [toText(text)] : [])),
    ...source,
  ]);

const searchResultBlock = z
  .looseObject({
    type: z.literal('search_result'),
    source: z.string(),
    title: z.string(),
    content: listOf(textPart, MAX_PARTS),
  })
  .transform(({ source, title, content }): UserPart[] => [
    toText(`${title} (${source})`),
    ...content,
  ]);

/** All tools are offered from the beginning, so a search for tools finds what is known already. */
const toolReferenceBlock = z
  .looseObject({ type: z.literal('tool_reference'), tool_name: z.string().max(200) })
  .transform(({ tool_name: name }): UserPart[] => [toText(`The tool ${name} can be called.`)]);

const resultPart = z.discriminatedUnion(
  'type',
  [textBlock, imageBlock, documentBlock, searchResultBlock, toolReferenceBlock],
  'Blocks of a result may be of type text, image, document, search_result or tool_reference.',
);

const toolResultBlock = z
  .looseObject({
    type: z.literal('tool_result'),
    tool_use_id: z.string(),
    content: blocksOf(resultPart, (text): UserPart[] => [toText(text)]).nullish(),
    is_error: z.boolean().nullish(),
  })
  .transform(({ tool_use_id: id, content, is_error: isError }) => ({
    result: { id, isError: isError === true, parts: (content ?? []).flat() },
  }));

type Result = z.output<typeof toolResultBlock>['result'];

const toParts = (parts: readonly UserPart[]) => ({ parts });

const userBlock = z.discriminatedUnion(
  'type',
  [
    textBlock.transform(toParts),
    imageBlock.transform(toParts),
    documentBlock.transform(toParts),
    searchResultBlock.transform(toParts),
    toolResultBlock,
  ],
  'Blocks of the user may be of type text, image, document, search_result or tool_result.',
);

const toolUseBlock = z
  .looseObject({
    type: z.literal('tool_use'),
    id: z.string().min(1).max(200),
    name: z.string().min(1).max(200),
    input: jsonObject.nullish(),
  })
  .transform(({ id, name, input }) => ({ use: { id, name, input: input ?? {} } }));

/** A call of a server's tool and its result belong to the past: what came of them is in the text. */
const SERVER_BLOCK =
  /^(?:server_tool_use|mcp_tool_use|redacted_thinking|fallback|\w+_tool_result)$/;

const assistantBlock = z.union([
  z.discriminatedUnion(
    'type',
    [
      textPart.transform(({ text }) => ({ text })),
      z
        .looseObject({
          type: z.literal('thinking'),
          thinking: z.string(),
          signature: z.string().nullish(),
        })
        .transform(({ thinking, signature }) => ({ thinking, signature: signature ?? '' })),
      z
        .looseObject({ type: z.literal('compaction'), content: z.string().nullish() })
        .transform(({ content }) => ({ text: content ?? '' })),
      toolUseBlock,
    ],
    'Blocks of the assistant may be of type text, thinking, redacted_thinking or tool_use.',
  ),
  z
    .looseObject({ type: z.string().regex(SERVER_BLOCK, 'Is no block of the assistant.') })
    .transform(() => ({ text: '' })),
]);

type AssistantBlock = z.output<typeof assistantBlock>;
type ToolUse = z.output<typeof toolUseBlock>['use'];

const message = z.discriminatedUnion(
  'role',
  [
    z.looseObject({
      role: z.literal('user'),
      content: blocksOf(userBlock, (text) => toParts([toText(text)])),
    }),
    z.looseObject({
      role: z.literal('assistant'),
      content: blocksOf(assistantBlock, (text) => ({ text })),
    }),
    z.looseObject({ role: z.literal('system'), content: texts }),
  ],
  'Must be of the role user, assistant or system.',
);

/** An agent calls its tools hundreds of times before it summarises. */
const MAX_MESSAGES = 10_000;

/** Of the user and the assistant; Claude Code also sends messages of the system between them. */
export const messages = listOf(message, MAX_MESSAGES).refine(
  ({ length }) => length > 0,
  'Must not be empty.',
);

type Message = z.output<typeof message>;

/** Claude Code describes its version and session for Anthropic's accounting: no instruction, and never the same. */
const ACCOUNTING = /^x-anthropic-billing-header:/;

export const system = texts.transform((read) => read.filter((text) => !ACCOUNTING.test(text)));

/**
 * Messages of one side that follow each other are one turn. The results of one turn's calls stand together in
 * the order of the calls: the provider identifies them by nothing else.
 *
 * @throws HttpError when calls and results do not match, or when there is nothing to answer
 */
export function readConversation(
  all: readonly Message[],
  instructions: readonly string[],
): Pick<ChatTurn, 'system' | 'messages'> {
  const first = all.findIndex(({ role }) => role !== 'system');
  const opening = first < 0 ? all : all.slice(0, first);
  const texts = [...instructions, ...opening.flatMap(systemTexts)];
  const turns = toTurns(all, opening.length);
  const messages = turns.flatMap((turn, index) => toMessages(turn, turns[index - 1]));
  const last = messages.at(-1);
  if (last === undefined || last.role === 'assistant' || turns.at(-1)?.role === 'assistant') {
    throw invalidField('messages', NOTHING_ASKED);
  }
  return { system: texts.length === 0 ? null : texts.join('\n\n'), messages };
}

const NOTHING_ASKED =
  "The last one must be of the user and must not be empty: the beginning of an assistant's answer cannot be continued.";

const systemTexts = (message: Message): readonly string[] =>
  message.role === 'system' ? message.content : [];

interface UserTurn {
  readonly role: 'user';
  readonly parts: UserPart[];
  /** By the id of the call. */
  readonly results: Map<string, Result & Placed>;
}

interface AssistantTurn {
  readonly role: 'assistant';
  readonly blocks: AssistantBlock[];
  /** By its id, in the order of the calls. */
  readonly uses: Map<string, ToolUse & Placed>;
}

type Turn = UserTurn | AssistantTurn;

interface Placed {
  /** The path of the block's id. */
  readonly at: string;
}

function toTurns(all: readonly Message[], start: number): Turn[] {
  const turns: Turn[] = [];
  for (const [index, message] of all.entries()) {
    if (index < start) continue;
    const at = `messages.${index}.content`;
    if (message.role === 'assistant') addBlocks(assistantTurn(turns), message.content, at);
    else if (message.role === 'user') addUserBlocks(userTurn(turns), message.content, at);
    else userTurn(turns).parts.push(...message.content.map(toReminder));
  }
  return turns;
}

/**
 * Gemini knows one instruction, before the conversation. One that comes later stays at its place, because it holds
 * from there on, and because a changed beginning would not be cached.
 */
const toReminder = (text: string) => toText(`<system-reminder>\n${text}\n</system-reminder>`);

function userTurn(turns: Turn[]): UserTurn {
  const last = turns.at(-1);
  if (last?.role === 'user') return last;
  const turn: UserTurn = { role: 'user', parts: [], results: new Map() };
  turns.push(turn);
  return turn;
}

function assistantTurn(turns: Turn[]): AssistantTurn {
  const last = turns.at(-1);
  if (last?.role === 'assistant') return last;
  const turn: AssistantTurn = { role: 'assistant', blocks: [], uses: new Map() };
  turns.push(turn);
  return turn;
}

function addUserBlocks(
  { parts, results }: UserTurn,
  blocks: readonly z.output<typeof userBlock>[],
  path: string,
): void {
  for (const [index, block] of blocks.entries()) {
    if ('parts' in block) parts.push(...block.parts.filter(hasContent));
    else {
      const at = `${path}.${index}.tool_use_id`;
      if (results.has(block.result.id)) throw invalidField(at, 'This call has its result.');
      results.set(block.result.id, { ...block.result, at });
    }
  }
}

function addBlocks(turn: AssistantTurn, blocks: readonly AssistantBlock[], path: string): void {
  for (const [index, block] of blocks.entries()) {
    turn.blocks.push(block);
    if (!('use' in block)) continue;
    const at = `${path}.${index}.id`;
    if (turn.uses.has(block.use.id)) throw invalidField(at, 'Is not unique.');
    turn.uses.set(block.use.id, { ...block.use, at });
  }
}

const hasContent = (part: UserPart) => part.kind !== 'text' || hasText(part.text);

function toMessages(turn: Turn, before: Turn | undefined): ChatMessage[] {
  if (turn.role === 'assistant') {
    const parts = toAssistantParts(turn.blocks);
    return parts.length === 0 ? [] : [{ role: 'assistant', parts }];
  }
  const results = resultsOf(before?.role === 'assistant' ? before.uses : new Map(), turn.results);
  return [
    ...(results.length === 0 ? [] : [{ role: 'tool' as const, results }]),
    ...(turn.parts.length === 0 ? [] : [{ role: 'user' as const, parts: turn.parts }]),
  ];
}

/** In the order of the calls. */
function resultsOf(uses: AssistantTurn['uses'], results: UserTurn['results']): ToolResult[] {
  for (const { id, at } of results.values()) {
    if (!uses.has(id)) throw invalidField(at, NO_SUCH_CALL);
  }
  return [...uses.values()].map(({ id, name, at }) => {
    const result = results.get(id);
    if (result === undefined) throw invalidField(at, NO_RESULT);
    return toResult(name, result);
  });
}

const NO_RESULT = 'The message after it has no tool_result of this call.';
const NO_SUCH_CALL = 'The message before it has no tool_use with this id.';

/** `output` and `error` are the names that Gemini knows: https://ai.google.dev/api/caching#FunctionResponse */
function toResult(name: string, { isError, parts }: Result): ToolResult {
  const text = parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join('\n');
  const media = parts.filter((part) => part.kind !== 'text');
  return {
    name,
    output: isError ? { error: text } : { output: text },
    ...(media.length === 0 ? {} : { media }),
  };
}

/** The signature of a call comes with the thought before it. */
function toAssistantParts(blocks: readonly AssistantBlock[]): AssistantPart[] {
  let ofCall: string | null = null;
  return blocks.flatMap((block): AssistantPart[] => {
    if ('use' in block) {
      const part = toCall(block.use, ofCall);
      ofCall = null;
      return [part];
    }
    if ('thinking' in block) ofCall = callSignatureIn(block.signature) ?? ofCall;
    return toSaid(block);
  });
}

function toCall({ name, input }: ToolUse, signature: string | null): AssistantPart {
  return { kind: 'tool-call', name, input, ...(signature === null ? {} : { signature }) };
}

function toSaid(block: Exclude<AssistantBlock, { use: unknown }>): AssistantPart[] {
  const part: TextPart | ReasoningPart =
    'thinking' in block ? { kind: 'reasoning', text: block.thinking } : toText(block.text);
  return hasText(part.text) ? [part] : [];
}

/**
 * The signature of a thought, in which the one of the call after it travels: clients return thoughts unchanged
 * before the calls that they belong to, and know no other field for it. An id could hold it too, but has other
 * providers' limits of length. The prefix is base64 itself and tells it apart from another provider's, which Google
 * would refuse.
 */
export const signatureOfThought = (ofCall = ''): string => PREFIX + ofCall;

const callSignatureIn = (signature: string): string | null =>
  signature.length > PREFIX.length && signature.startsWith(PREFIX)
    ? signature.slice(PREFIX.length)
    : null;

/** Of twelve letters, so that the whole remains base64. */
const PREFIX = 'understudy//';
