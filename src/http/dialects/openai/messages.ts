import { z } from 'zod';
import type { UserPart } from '../../../shared/chat.ts';
import { isJsonObject, type JsonObject } from '../../../shared/json.ts';
import { holdsTooManyValues } from '../../json-cost.ts';
import { isDeeperThan, MAX_DEPTH } from '../../json-object.ts';
import { listOf } from '../../list-of.ts';
import { replaceLoneSurrogates } from '../../lone-surrogates.ts';
import { dataUrl } from '../data-url.ts';
import { MAX_MESSAGES, MAX_PARTS, spoken, text } from '../said.ts';

const textPart = z
  .looseObject({ type: z.literal('text'), text })
  .transform((part) => ({ kind: 'text' as const, text: part.text }));

const imagePart = z
  .looseObject({ type: z.literal('image_url'), image_url: z.looseObject({ url: dataUrl }) })
  .transform((part) => part.image_url.url);

const filePart = z
  .looseObject({ type: z.literal('file'), file: z.looseObject({ file_data: dataUrl }) })
  .transform((part) => part.file.file_data);

const userPart = z.discriminatedUnion(
  'type',
  [textPart, imagePart, filePart],
  'Parts may be of type text, image_url or file.',
);

const asTexts = (words: string): readonly UserPart[] => [{ kind: 'text', text: words }];

const words = z.union([
  text.transform((said) => [said]),
  listOf(textPart, MAX_PARTS).transform((parts) => parts.map((part) => part.text)),
]);

const spokenPart = z
  .looseObject({ type: z.literal('text'), text: spoken })
  .transform((part) => part.text);

const spokenWords = z.union([spoken.transform((said) => [said]), listOf(spokenPart, MAX_PARTS)]);

const toolCall = z.looseObject({
  id: z.string().min(1).max(200),
  type: z.literal('function').optional(),
  function: z.looseObject({
    name: z.string().min(1).max(200),
    arguments: z
      .string()
      .nullish()
      .transform((json, context) => readArguments(json ?? '') ?? notAnObject(context)),
  }),
  extra_content: z
    .looseObject({ google: z.looseObject({ thought_signature: z.string().optional() }).optional() })
    .optional(),
});

const haveOwnIds = (calls: readonly { readonly id: string }[]) =>
  new Set(calls.map(({ id }) => id)).size === calls.length;

const message = z.discriminatedUnion('role', [
  z.looseObject({ role: z.enum(['system', 'developer']), content: words }),
  z.looseObject({
    role: z.literal('user'),
    content: z.union([text.transform(asTexts), listOf(userPart, MAX_PARTS)]),
  }),
  z.looseObject({
    role: z.literal('assistant'),
    content: spokenWords.nullish(),
    tool_calls: listOf(toolCall, MAX_PARTS).refine(haveOwnIds, 'Two calls have one id.').nullish(),
    function_call: z.null('Send tool_calls instead.').optional(),
  }),
  z.looseObject({ role: z.literal('tool'), tool_call_id: z.string(), content: words.nullish() }),
]);

export const messages = listOf(message, MAX_MESSAGES)
  .refine(({ length }) => length > 0, 'Must not be empty.')
  .meta({
    minItems: 1,
    description: 'The conversation; its last message of the user or of a tool.',
  });

export type Message = z.output<typeof message>;
export type OpenaiToolCall = z.output<typeof toolCall>;

/** Some clients write `null` where a call has no arguments. */
const readArguments = (json: string): JsonObject | null =>
  json.trim() === 'null' ? {} : readObject(json);

/** @returns null for a text that is no JSON object, or too deep a one; nothing at all stands for an empty one. */
export function readObject(json: string): JsonObject | null {
  if (json.trim() === '') return {};
  if (holdsTooManyValues(json)) return null;
  try {
    const value: unknown = JSON.parse(replaceLoneSurrogates(json));
    return isJsonObject(value) && !isDeeperThan(value, MAX_DEPTH) ? value : null;
  } catch {
    return null;
  }
}

function notAnObject(context: z.RefinementCtx): never {
  context.addIssue({ code: 'custom', message: 'Must be a JSON object, as text.' });
  return z.NEVER;
}
