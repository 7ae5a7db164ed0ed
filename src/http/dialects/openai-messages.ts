import { z } from 'zod';
import type {
  ChatMessage,
  ChatTurn,
  MediaPart,
  ToolCall,
  ToolResult,
  UserPart,
} from '../../shared/chat.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import { isTooDeep } from '../../shared/json-schema.ts';
import {
  holdsTooManyValues,
  invalidField,
  jsonObject,
  listOf,
  replaceLoneSurrogates,
} from '../body.ts';
import { Conversation, toSystem } from './conversation.ts';
import {
  dataUrl,
  hasContent,
  hasText,
  MAX_MESSAGES,
  MAX_PARTS,
  mediaUrl,
  readDataUrl,
  textPart,
  toTextPart,
} from './dialect.ts';

/** Tools of MCP servers have long names. A name that Gemini does not accept is replaced on the way. */
export const toolName = z.string().min(1).max(500);

/** Some clients send the address itself instead of the object. */
const place = mediaUrl.or(z.looseObject({ url: mediaUrl }).transform(({ url }) => url));

const imagePart = z
  .looseObject({ type: z.literal('image_url'), image_url: place })
  .transform((part) => part.image_url);

const videoPart = z
  .looseObject({ type: z.literal('video_url'), video_url: place })
  .transform((part) => part.video_url);

const filePart = z
  .looseObject({
    type: z.literal('file'),
    file: z
      .looseObject({ file_data: mediaUrl.nullish(), file_id: z.unknown().optional() })
      .transform(({ file_data: data, file_id: id }, context) => {
        if (data !== undefined && data !== null) return data;
        const [name, message] =
          id === undefined ? ['file_data', 'Is missing.'] : ['file_id', NO_STORED_FILES];
        context.addIssue({ code: 'custom', path: [name], message });
        return z.NEVER;
      }),
  })
  .transform((part) => part.file);

const NO_STORED_FILES = 'No files are stored here: send file_data, a data URL.';

/** The formats that Gemini reads (https://ai.google.dev/gemini-api/docs/audio#supported-formats). */
const AUDIO = ['wav', 'mp3', 'aiff', 'aac', 'ogg', 'flac'] as const;

const audioPart = z
  .looseObject({
    type: z.literal('input_audio'),
    input_audio: z
      .looseObject({ data: z.string(), format: z.enum(AUDIO) })
      .transform(({ data, format }, context) => {
        const media = readDataUrl(`data:audio/${format};base64,${data}`) ?? readDataUrl(data);
        if (media !== null) return media;
        context.addIssue({ code: 'custom', path: ['data'], message: 'Must be base64.' });
        return z.NEVER;
      }),
  })
  .transform((part) => part.input_audio);

const part = z.discriminatedUnion(
  'type',
  [textPart, imagePart, videoPart, filePart, audioPart],
  'Parts may be of type text, image_url, video_url, file or input_audio.',
);

const parts = z.union([
  z.string().transform((text) => [toTextPart(text)]),
  listOf(part, MAX_PARTS),
]);

const texts = z.union([
  z.string().transform((text) => [text]),
  listOf(textPart, MAX_PARTS).transform((parts) => parts.map(({ text }) => text)),
]);

/** The input of a call. Some clients send `null` or nothing for no input, some an object instead of JSON text. */
export const callArguments = z
  .string()
  .nullish()
  .transform((json, context): JsonObject => readArguments(json ?? '') ?? notAnObject(context))
  .or(jsonObject);

const signed = z
  .looseObject({
    google: z.looseObject({ thought_signature: z.string().nullish() }).nullish(),
  })
  .nullish();

/** An image that the model generated. */
const generatedImage = z
  .looseObject({
    type: z.literal('image_url'),
    image_url: z.looseObject({ url: dataUrl }),
    extra_content: signed,
  })
  .transform(
    ({ image_url: { url }, extra_content: extra }): MediaPart => ({
      ...url,
      ...signatureIn(extra),
    }),
  );

const refusalPart = z
  .looseObject({ type: z.literal('refusal'), refusal: z.string() })
  .transform(({ refusal }) => toTextPart(refusal));

const answerPart = z.discriminatedUnion(
  'type',
  [textPart, refusalPart, generatedImage],
  'Parts may be of type text, refusal or image_url.',
);

const toolCall = z.looseObject({
  id: z.string().min(1).max(200),
  type: z.literal('function').optional(),
  function: z.looseObject({
    name: toolName,
    arguments: callArguments,
  }),
  extra_content: signed,
});

const message = z.discriminatedUnion('role', [
  z.looseObject({ role: z.enum(['system', 'developer']), content: texts }),
  z.looseObject({
    role: z.literal('user'),
    content: parts,
  }),
  z.looseObject({
    role: z.literal('assistant'),
    content: z
      .union([z.string().transform((text) => [toTextPart(text)]), listOf(answerPart, MAX_PARTS)])
      .nullish(),
    images: listOf(generatedImage, MAX_PARTS).nullish(),
    tool_calls: listOf(toolCall, MAX_PARTS).nullish(),
    function_call: z.null('Send tool_calls instead.').optional(),
  }),
  z.looseObject({ role: z.literal('tool'), tool_call_id: z.string(), content: parts.nullish() }),
]);

export const messages = listOf(message, MAX_MESSAGES).refine(
  ({ length }) => length > 0,
  'Must not be empty.',
);

type Message = z.output<typeof message>;
type OpenaiToolCall = z.output<typeof toolCall>;

const readArguments = (json: string): JsonObject | null =>
  json.trim() === 'null' ? {} : readObject(json);

/** @returns null unless the text is a JSON object of ordinary depth; an empty text is an empty object */
function readObject(json: string): JsonObject | null {
  if (json.trim() === '') return {};
  if (holdsTooManyValues(json)) return null;
  const value = parseJson(replaceLoneSurrogates(json));
  return isJsonObject(value) && !isTooDeep(value) ? value : null;
}

function notAnObject(context: z.RefinementCtx): never {
  context.addIssue({ code: 'custom', message: 'Must be a JSON object, as text.' });
  return z.NEVER;
}

/**
 * Splits the messages into the system's texts and the conversation.
 *
 * @throws HttpError when a result belongs to no call, or when there is nothing to answer
 */
export function readConversation(all: readonly Message[]): Pick<ChatTurn, 'system' | 'messages'> {
  const system = all.flatMap(systemTexts);
  const messages = toMessages(all);
  // A prompt of instructions alone becomes the question.
  if (messages.length === 0 && system.length > 0) {
    const parts = system.map(toTextPart);
    return { system: null, messages: [{ role: 'user', parts }] };
  }
  if (!asksSomething(all, messages)) throw invalidField('messages', NOTHING_ASKED);
  return { system: toSystem(system), messages };
}

const NOTHING_ASKED = 'The last message must be of the user or of a tool, and must not be empty.';

const systemTexts = (message: Message): readonly string[] =>
  isSystem(message) ? message.content.filter(hasText) : [];

const isSystem = (
  message: Message,
): message is Extract<Message, { role: 'system' | 'developer' }> =>
  message.role === 'system' || message.role === 'developer';

function asksSomething(all: readonly Message[], messages: readonly ChatMessage[]): boolean {
  const last = all.findLast((message) => !isSystem(message));
  const isEmpty = last?.role === 'user' && !last.content.some(hasContent);
  return !isEmpty && messages.length > 0 && messages.at(-1)?.role !== 'assistant';
}

function toMessages(all: readonly Message[]): readonly ChatMessage[] {
  const conversation = new Conversation(MISMATCHES);
  for (const [index, message] of all.entries()) addMessage(conversation, message, index);
  conversation.endTurn();
  return conversation.messages;
}

const MISMATCHES = {
  noResult: 'This call has no result: a message of the role tool with its id must follow.',
  noSuchCall: 'The assistant has made no call with this id before.',
};

function addMessage(conversation: Conversation, message: Message, index: number): void {
  switch (message.role) {
    case 'system':
    case 'developer':
      return;
    case 'user':
      conversation.ask(message.content.filter(hasContent));
      return;
    case 'assistant': {
      const { content, images, tool_calls: calls } = message;
      conversation.say([...(content ?? []).filter(hasContent), ...(images ?? [])]);
      for (const [place, call] of (calls ?? []).entries()) {
        conversation.call(call.id, toCall(call), `messages.${index}.tool_calls.${place}`);
      }
      return;
    }
    case 'tool': {
      const result = toResult(message.content ?? []);
      conversation.return(message.tool_call_id, result, `messages.${index}.tool_call_id`);
      return;
    }
    default:
      message satisfies never;
  }
}

const toCall = ({ function: called, extra_content: extra }: OpenaiToolCall): ToolCall => ({
  name: called.name,
  input: called.arguments,
  ...signatureIn(extra),
});

function signatureIn(extra: z.output<typeof signed>): { readonly signature?: string } {
  const signature = extra?.google?.thought_signature ?? null;
  return signature === null ? {} : { signature };
}

/** Gemini accepts only objects, so any other result is wrapped as text. */
export function toResult(content: readonly UserPart[]): Omit<ToolResult, 'name'> {
  const text = content.map((part) => (part.kind === 'text' ? part.text : '')).join('');
  const media = content.filter((part) => part.kind !== 'text');
  const output = readObject(text) ?? { result: text };
  return media.length === 0 ? { output } : { output, media };
}
