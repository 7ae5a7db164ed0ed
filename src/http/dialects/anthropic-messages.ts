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
import { Conversation, toSystem } from './conversation.ts';
import {
  hasContent,
  hasText,
  MAX_MESSAGES,
  MAX_PARTS,
  readDataUrl,
  textPart,
  toTextPart,
} from './dialect.ts';

/** A list of blocks, or a text in place of a single block. */
const blocksOf = <Block>(block: z.ZodType<Block>, fromText: (text: string) => Block) =>
  z.union([z.string().transform((text) => [fromText(text)]), listOf(block, MAX_PARTS)]);

const texts = blocksOf(textPart, toTextPart).transform((parts) =>
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
  .transform(({ data }): UserPart[] => [toTextPart(data)]);

const contentSource = z
  .looseObject({
    type: z.literal('content'),
    content: blocksOf(z.union([textBlock, imageBlock]), (text): UserPart[] => [toTextPart(text)]),
  })
  .transform(({ content }) => content.flat());

const documentBlock = z
  .looseObject({
    type: z.literal('document'),
    source: z.discriminatedUnion(
      'type',
      [
        base64Source.transform((media): UserPart[] => [media]),
        // In Anthropic's protocol the address of a document is that of a PDF.
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
    ...[title, context].flatMap((text) => (text && hasText(text) ? [toTextPart(text)] : [])),
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
    toTextPart(`${title} (${source})`),
    ...content,
  ]);

/** The result of a search for tools. All tools are offered from the beginning. */
const toolReferenceBlock = z
  .looseObject({ type: z.literal('tool_reference'), tool_name: z.string().max(200) })
  .transform(({ tool_name: name }): UserPart[] => [toTextPart(`The tool ${name} can be called.`)]);

const resultPart = z.discriminatedUnion(
  'type',
  [textBlock, imageBlock, documentBlock, searchResultBlock, toolReferenceBlock],
  'Blocks of a result may be of type text, image, document, search_result or tool_reference.',
);

const toolResultBlock = z
  .looseObject({
    type: z.literal('tool_result'),
    tool_use_id: z.string(),
    content: blocksOf(resultPart, (text): UserPart[] => [toTextPart(text)]).nullish(),
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

/** Calls and results of Anthropic's own tools are dropped: the text after them holds what they found. */
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

type UserBlock = z.output<typeof userBlock>;
type AssistantBlock = z.output<typeof assistantBlock>;
type ToolUse = z.output<typeof toolUseBlock>['use'];

const message = z.discriminatedUnion(
  'role',
  [
    z.looseObject({
      role: z.literal('user'),
      content: blocksOf(userBlock, (text) => toParts([toTextPart(text)])),
    }),
    z.looseObject({
      role: z.literal('assistant'),
      content: blocksOf(assistantBlock, (text) => ({ text })),
    }),
    z.looseObject({ role: z.literal('system'), content: texts }),
  ],
  'Must be of the role user, assistant or system.',
);

/** Messages of the user and the assistant. Claude Code also sends messages of the system between them. */
export const messages = listOf(message, MAX_MESSAGES).refine(
  ({ length }) => length > 0,
  'Must not be empty.',
);

type Message = z.output<typeof message>;

/** Claude Code's text for Anthropic's accounting. It is no instruction, and would change the cached prompt each time. */
const ACCOUNTING = /^x-anthropic-billing-header:/;

export const system = texts.transform((read) => read.filter((text) => !ACCOUNTING.test(text)));

/**
 * Consecutive messages of one side are one turn.
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
  if (all.at(-1)?.role === 'assistant') throw invalidField('messages', NOTHING_ASKED);
  const messages = toMessages(all, opening.length);
  const last = messages.at(-1);
  if (last === undefined || last.role === 'assistant') {
    throw invalidField('messages', NOTHING_ASKED);
  }
  return { system: toSystem(texts), messages };
}

const NOTHING_ASKED =
  "The last message must be of the user and must not be empty: the beginning of an assistant's answer cannot be continued.";

const systemTexts = (message: Message): readonly string[] =>
  message.role === 'system' ? message.content : [];

function toMessages(all: readonly Message[], start: number): readonly ChatMessage[] {
  const builder = new ConversationBuilder();
  for (const [index, message] of all.entries()) {
    if (index < start) continue;
    const path = `messages.${index}.content`;
    if (message.role === 'assistant') builder.addAnswer(message.content, path);
    else if (message.role === 'user') builder.addQuestion(message.content, path);
    else builder.addParts(message.content.map(toReminder));
  }
  return builder.end();
}

/**
 * Gemini has one system prompt, before the conversation. An instruction that comes later stays at its place: it holds
 * from there on, and a changed beginning would miss the provider's cache.
 */
const toReminder = (text: string) => toTextPart(`<system-reminder>\n${text}\n</system-reminder>`);

class ConversationBuilder {
  readonly #conversation = new Conversation(MISMATCHES);
  /** The user's parts, which follow the results of the calls; null in a turn of the assistant. */
  #asked: UserPart[] | null = null;
  /** The signature of the turn's next call, from the thought before it. */
  #signature: string | null = null;

  addParts(parts: readonly UserPart[]): void {
    this.#asked ??= [];
    this.#asked.push(...parts);
  }

  addQuestion(blocks: readonly UserBlock[], path: string): void {
    this.addParts([]);
    for (const [index, block] of blocks.entries()) {
      if ('parts' in block) this.addParts(block.parts.filter(hasContent));
      else {
        const { id, ...result } = block.result;
        this.#conversation.return(id, toResult(result), `${path}.${index}.tool_use_id`);
      }
    }
  }

  addAnswer(blocks: readonly AssistantBlock[], path: string): void {
    this.#endQuestion();
    for (const [index, block] of blocks.entries()) {
      if ('use' in block) this.#addCall(block.use, `${path}.${index}.id`);
      else this.#conversation.say(toSaid(block));
      if ('thinking' in block) {
        this.#signature = callSignatureIn(block.signature) ?? this.#signature;
      }
    }
  }

  end(): readonly ChatMessage[] {
    this.#endQuestion();
    this.#conversation.endTurn();
    return this.#conversation.messages;
  }

  #addCall({ id, name, input }: ToolUse, path: string): void {
    const signature = this.#signature;
    this.#signature = null;
    this.#conversation.call(
      id,
      { name, input, ...(signature === null ? {} : { signature }) },
      path,
    );
  }

  #endQuestion(): void {
    if (this.#asked === null) return;
    this.#conversation.ask(this.#asked);
    this.#asked = null;
    this.#signature = null;
  }
}

const MISMATCHES = {
  noResult: 'This call has no result: the next message must have its tool_result.',
  noSuchCall: 'The message before it has no tool_use with this id.',
};

/** Gemini knows the names `output` and `error`: https://ai.google.dev/api/caching#FunctionResponse */
function toResult({ isError, parts }: Omit<Result, 'id'>): Omit<ToolResult, 'name'> {
  const text = parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join('\n');
  const media = parts.filter((part) => part.kind !== 'text');
  return {
    output: isError ? { error: text } : { output: text },
    ...(media.length === 0 ? {} : { media }),
  };
}

function toSaid(block: Exclude<AssistantBlock, { use: unknown }>): AssistantPart[] {
  const part: TextPart | ReasoningPart =
    'thinking' in block ? { kind: 'reasoning', text: block.thinking } : toTextPart(block.text);
  return hasText(part.text) ? [part] : [];
}

/**
 * The signature of a thought. It carries the signature of the call after it, because clients return thoughts unchanged
 * before their calls and have no other field for it. The id of the call is no place for it: other providers limit its
 * length. The prefix marks our signatures, because Google would refuse another provider's.
 */
export const signatureOfThought = (ofCall = ''): string => PREFIX + ofCall;

const callSignatureIn = (signature: string): string | null =>
  signature.length > PREFIX.length && signature.startsWith(PREFIX)
    ? signature.slice(PREFIX.length)
    : null;

/** Valid base64 of twelve characters, so that prefix and signature together are base64 too. */
const PREFIX = 'understudy//';
