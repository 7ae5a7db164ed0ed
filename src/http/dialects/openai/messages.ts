import { z } from 'zod';
import type { MediaPart, UserPart } from '../../../shared/chat.ts';
import { NOT_A_DATA_URL, readDataUrl } from '../data-url.ts';
import { MAX_MESSAGES, text } from '../said.ts';

const MAX_PARTS = 1000;

const textPart = z
  .looseObject({ type: z.literal('text'), text })
  .transform((part) => ({ kind: 'text' as const, text: part.text }));

const dataUrl = z.string().transform((url, context): MediaPart => {
  const media = readDataUrl(url);
  if (media !== null) return media;
  context.addIssue({ code: 'custom', message: NOT_A_DATA_URL });
  return z.NEVER;
});

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
  z
    .array(textPart)
    .max(MAX_PARTS)
    .transform((parts) => parts.map((part) => part.text)),
]);

const toolCall = z.looseObject({
  id: z.string().min(1).max(200),
  type: z.literal('function').optional(),
  function: z.looseObject({
    name: z.string().min(1).max(200),
    arguments: z.string().transform((json, context) => readObject(json) ?? notAnObject(context)),
  }),
  extra_content: z
    .looseObject({ google: z.looseObject({ thought_signature: z.string().optional() }).optional() })
    .optional(),
});

const message = z.discriminatedUnion('role', [
  z.looseObject({ role: z.enum(['system', 'developer']), content: words }),
  z.looseObject({
    role: z.literal('user'),
    content: z.union([text.transform(asTexts), z.array(userPart).max(MAX_PARTS)]),
  }),
  z.looseObject({
    role: z.literal('assistant'),
    content: words.nullish(),
    tool_calls: z.array(toolCall).max(MAX_PARTS).nullish(),
    function_call: z.null('Send tool_calls instead.').optional(),
  }),
  z.looseObject({ role: z.literal('tool'), tool_call_id: z.string(), content: words }),
]);

export const messages = z.array(message).min(1, 'Must not be empty.').max(MAX_MESSAGES);

export type Message = z.output<typeof message>;
export type OpenaiToolCall = z.output<typeof toolCall>;

/** @returns null for a text that is no JSON object; nothing at all stands for an empty one. */
export function readObject(json: string): Readonly<Record<string, unknown>> | null {
  if (json.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(json);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function notAnObject(context: z.RefinementCtx): never {
  context.addIssue({ code: 'custom', message: 'Must be a JSON object, as text.' });
  return z.NEVER;
}
