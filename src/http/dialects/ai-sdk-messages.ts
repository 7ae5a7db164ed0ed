import { z } from 'zod';
import type {
  AssistantPart,
  ChatMessage,
  ChatTurn,
  ToolResult,
  UserPart,
} from '../../shared/chat.ts';
import { asText, isJsonObject, type JsonObject } from '../../shared/json.ts';
import { isTooDeep, MAX_DEPTH } from '../../shared/json-schema.ts';
import { invalidField, jsonObject, listOf } from '../body.ts';
import { toSystem } from './conversation.ts';
import {
  hasContent,
  hasText,
  MAX_MESSAGES,
  MAX_PARTS,
  NOT_MEDIA,
  readDataUrl,
  readMediaUrl,
  textPart,
} from './dialect.ts';

/** A part that is not sent on, and a file that only the browser can read, such as a `blob:` URL. */
type OtherPart = { readonly kind: 'skipped' } | { readonly kind: 'unreadable' };

/** One call of the assistant, with its outcome. */
export interface CalledPart {
  readonly kind: 'called';
  readonly toolCallId: string;
  readonly call: Extract<AssistantPart, { kind: 'tool-call' }>;
  readonly outcome: Outcome;
}

/** `open` waits for the page: for a person's approval, for the run of an approved call, or for the output. */
type Outcome =
  | { readonly kind: 'open'; readonly awaits: 'approval' | 'run' | 'output' }
  | { readonly kind: 'denied' | 'done'; readonly output: JsonObject };

type AssistantUiPart = AssistantPart | CalledPart | OtherPart | { readonly kind: 'step' };

/** The AI SDK carries Google's signatures in this field (https://ai-sdk.dev/providers/ai-sdk-providers/google). */
export const toMetadata = (signature: string) => ({ google: { thoughtSignature: signature } });

function signed<T extends object>(part: T, metadata: unknown): T & { readonly signature?: string } {
  const google = isJsonObject(metadata) ? metadata.google : undefined;
  const signature = isJsonObject(google) ? asText(google.thoughtSignature) : '';
  return signature === '' ? part : { ...part, signature };
}

const filePart = z
  .looseObject({ type: z.literal('file') })
  .meta({
    description: 'The `url` is a data URL in base64, or an address that the provider fetches.',
  })
  .transform(
    ({ url, mediaType }): UserPart | OtherPart =>
      readMediaUrl(url, typeof mediaType === 'string' ? mediaType : undefined) ?? {
        kind: 'unreadable',
      },
  );

/** An image that the model generated. A file without a data URL is skipped. */
const generatedPart = z
  .looseObject({ type: z.literal('file') })
  .transform(({ url, providerMetadata }): AssistantUiPart => {
    const media = readDataUrl(url);
    return media === null ? { kind: 'skipped' } : signed(media, providerMetadata);
  });

const saidPart = z
  .looseObject({ type: z.literal('text'), text: z.string() })
  .transform(
    ({ text, providerMetadata }): AssistantUiPart =>
      signed({ kind: 'text', text }, providerMetadata),
  );

/** The provider accepts a thought only with its signature, so an unsigned thought is skipped. */
const reasoningPart = z
  .looseObject({ type: z.literal('reasoning'), text: z.string() })
  .transform(({ text, providerMetadata }): AssistantUiPart => {
    const part = signed({ kind: 'reasoning', text } as const, providerMetadata);
    return part.signature === undefined ? { kind: 'skipped' } : part;
  });

const stepPart = z
  .looseObject({ type: z.literal('step-start') })
  .transform((): AssistantUiPart => ({ kind: 'step' }));

const TOOL_PART = '^(?:tool-[^]+|dynamic-tool)$';
const toolType = new RegExp(TOOL_PART);

const STATES = [
  'input-streaming',
  'input-available',
  'approval-requested',
  'approval-responded',
  'output-available',
  'output-error',
  'output-denied',
] as const;

const toolPart = z
  .looseObject({
    type: z.string().regex(toolType),
    /** Only in a `dynamic-tool`. */
    toolName: z.string().optional(),
    toolCallId: z.string().min(1).max(200),
    state: z.enum(STATES),
    input: jsonObject.nullish(),
    output: z
      .unknown()
      .refine((output) => !isTooDeep(output), `Must not nest deeper than ${MAX_DEPTH}.`)
      .optional(),
    errorText: z.string().nullish(),
    approval: z
      .looseObject({ approved: z.boolean().optional(), reason: z.string().nullish() })
      .nullish(),
  })
  .meta({
    description:
      'A call of a tool of `CHAT_TOOLS`, with its output if its state is `output-available`.',
  })
  .transform((part, context): AssistantUiPart => {
    // The answer broke off within the call.
    if (part.state === 'input-streaming') return { kind: 'skipped' };
    const input = part.input ?? (part.state === 'output-error' ? {} : undefined);
    if (input === undefined) return reject(context, 'input');
    const name = part.type === 'dynamic-tool' ? part.toolName : part.type.slice('tool-'.length);
    if (name === undefined) return reject(context, 'toolName');
    const call = signed({ kind: 'tool-call', name, input } as const, part.callProviderMetadata);
    return { kind: 'called', toolCallId: part.toolCallId, call, outcome: outcomeOf(part) };
  });

function reject(context: z.RefinementCtx, field: string): never {
  context.addIssue({ code: 'custom', path: [field], message: 'Is missing.' });
  return z.NEVER;
}

type ToolFields = Pick<z.input<typeof toolPart>, 'state' | 'output' | 'errorText' | 'approval'>;

function outcomeOf({ state, output, errorText, approval }: ToolFields): Outcome {
  switch (state) {
    case 'output-available':
      return { kind: 'done', output: toOutput(output) };
    case 'output-error':
      return { kind: 'done', output: { error: errorText ?? 'The tool failed.' } };
    case 'output-denied':
      return denied(approval?.reason);
    case 'approval-responded':
      return approval?.approved === true
        ? { kind: 'open', awaits: 'run' }
        : denied(approval?.reason);
    case 'approval-requested':
      return { kind: 'open', awaits: 'approval' };
    default:
      return { kind: 'open', awaits: 'output' };
  }
}

function denied(reason: string | null | undefined): Outcome {
  const error = 'The user denied this call. It was not executed.';
  return { kind: 'denied', output: reason ? { error, reason } : { error } };
}

/** The provider accepts objects only. */
const toOutput = (output: unknown): JsonObject =>
  isJsonObject(output) ? output : { result: output ?? null };

/** Matches, and skips, all other kinds of parts. */
const otherThan = (...kinds: string[]) =>
  z
    .looseObject({
      type: z
        .string()
        .refine((type) => !toolType.test(type), 'Only messages of the assistant may call tools.')
        .refine((type) => !kinds.includes(type))
        .meta({
          not: { anyOf: [{ enum: kinds }, { pattern: TOOL_PART }] },
          description: 'Any other kind is skipped.',
        }),
    })
    .transform((): OtherPart => ({ kind: 'skipped' }));

const identified = { id: z.unknown().optional() };

const message = z.discriminatedUnion('role', [
  z.looseObject({
    ...identified,
    role: z.literal('user'),
    parts: listOf(z.union([textPart, otherThan('text', 'file'), filePart]), MAX_PARTS),
  }),
  z.looseObject({
    ...identified,
    role: z.literal('system'),
    parts: listOf(z.union([textPart, otherThan('text')]), MAX_PARTS),
  }),
  z.looseObject({
    ...identified,
    role: z.literal('assistant'),
    parts: listOf(
      z.union([
        saidPart,
        reasoningPart,
        generatedPart,
        stepPart,
        toolPart,
        otherThan('text', 'reasoning', 'file', 'step-start'),
      ]),
      MAX_PARTS,
    ),
  }),
]);

export const uiMessages = listOf(message, MAX_MESSAGES)
  .refine(({ length }) => length > 0, 'Must not be empty.')
  .meta({
    minItems: 1,
    description:
      "UI messages. The last one is the user's, or the assistant's with the outputs of its tools.",
  });

type UiMessage = z.output<typeof message>;

export interface UiConversation extends Pick<ChatTurn, 'system' | 'messages'> {
  /** The calls of the last step that a person has just approved and the page has to run. */
  readonly approved: readonly CalledPart[];
  /** The ids of the calls of the last step that a person has denied. */
  readonly denied: readonly string[];
}

/**
 * Splits the messages into the system's texts and the conversation. Each step of an answer is a turn of
 * the model. The results of its calls follow it directly: the provider refuses a call without its result.
 *
 * @param tools the names of those that the server declares
 * @throws HttpError when a tool is unknown, and when there is nothing to answer
 */
export function readConversation(
  all: readonly UiMessage[],
  tools: ReadonlySet<string>,
): UiConversation {
  refuseUnknownTools(all, tools);
  const index = all.length - 1;
  const last = all[index];
  const system = systemOf(all);
  const conversation = { system, approved: [], denied: [] };
  if (last?.role === 'assistant') {
    const calls = stepsOf(last.parts).at(-1)?.filter(isCalled) ?? [];
    const approved = calls.filter((call) => awaits(call) === 'run');
    if (approved.length === 0) refuseOpenCalls(calls, last.parts, index);
    const denied = calls
      .filter(({ outcome }) => outcome.kind === 'denied')
      .map(({ toolCallId }) => toolCallId);
    return { ...conversation, messages: all.flatMap(toMessages), approved, denied };
  }
  if (last?.role !== 'user') throw invalidField(`messages.${index}`, NOT_ASKED);
  refuseUnreadable(last.parts, index);
  if (!last.parts.some(isSentOn)) throw invalidField(`messages.${index}`, NOT_ASKED);
  return { ...conversation, messages: all.flatMap(toMessages) };
}

const NOT_ASKED =
  "The last message must be the user's, with a text or a file, or the assistant's, with the outputs of its tools at its end.";

function refuseUnknownTools(all: readonly UiMessage[], tools: ReadonlySet<string>): void {
  for (const [index, { parts }] of all.entries()) {
    for (const [place, part] of parts.entries()) {
      if (part.kind !== 'called' || tools.has(part.call.name)) continue;
      throw invalidField(`messages.${index}.parts.${place}`, UNKNOWN_TOOL);
    }
  }
}

const UNKNOWN_TOOL = 'The server declares no tool of this name (CHAT_TOOLS).';

/** An unreadable file in an earlier message is skipped: the server refused it when it was new. */
function refuseUnreadable(parts: UiMessage['parts'], index: number): void {
  const place = parts.findIndex(({ kind }) => kind === 'unreadable');
  if (place >= 0) throw invalidField(`messages.${index}.parts.${place}.url`, NOT_MEDIA);
}

function refuseOpenCalls(
  calls: readonly CalledPart[],
  parts: readonly AssistantUiPart[],
  index: number,
): void {
  if (calls.length === 0) throw invalidField(`messages.${index}`, NOT_ASKED);
  const open = calls.find((call) => awaits(call) !== null);
  if (open === undefined) return;
  const fault = awaits(open) === 'approval' ? NOT_APPROVED : NO_OUTPUT;
  throw invalidField(`messages.${index}.parts.${parts.indexOf(open)}`, fault);
}

const NO_OUTPUT = 'This call has no output yet: add it with addToolOutput.';
const NOT_APPROVED = 'This call has been neither approved nor denied yet.';

const isCalled = (part: AssistantUiPart): part is CalledPart => part.kind === 'called';

const awaits = ({ outcome }: CalledPart) => (outcome.kind === 'open' ? outcome.awaits : null);

function systemOf(messages: readonly UiMessage[]): string | null {
  const texts = messages
    .flatMap((one) => (one.role === 'system' ? one.parts : []))
    .flatMap((one) => (one.kind === 'text' && hasText(one.text) ? [one.text] : []));
  return toSystem(texts);
}

function toMessages(message: UiMessage): ChatMessage[] {
  switch (message.role) {
    case 'system':
      return [];
    case 'user': {
      const parts = message.parts.filter(isSentOn);
      return parts.length === 0 ? [] : [{ role: 'user', parts }];
    }
    case 'assistant':
      return stepsOf(message.parts).flatMap(toTurns);
    default:
      return message satisfies never;
  }
}

const isSentOn = (part: UserPart | OtherPart): part is UserPart =>
  part.kind !== 'skipped' && part.kind !== 'unreadable' && hasContent(part);

type Step = readonly Exclude<AssistantUiPart, { kind: 'step' }>[];

function stepsOf(parts: readonly AssistantUiPart[]): Step[] {
  const steps: Exclude<AssistantUiPart, { kind: 'step' }>[][] = [[]];
  for (const part of parts) {
    if (part.kind === 'step') steps.push([]);
    else steps.at(-1)?.push(part);
  }
  return steps;
}

/** The model's text and calls, then the results in the order of the calls. */
function toTurns(step: Step): ChatMessage[] {
  const parts = step.flatMap(toAssistantParts);
  const results = step.filter(isCalled).map(toResult);
  return [
    ...(parts.length === 0 ? [] : [{ role: 'assistant', parts } as const]),
    ...(results.length === 0 ? [] : [{ role: 'tool', results } as const]),
  ];
}

function toAssistantParts(part: Step[number]): AssistantPart[] {
  switch (part.kind) {
    case 'called':
      return [part.call];
    case 'skipped':
    case 'unreadable':
      return [];
    case 'text':
      return hasText(part.text) || part.signature !== undefined ? [part] : [];
    default:
      return [part];
  }
}

/** A call stays open when the user writes a new message instead of answering it. */
const toResult = ({ call: { name }, outcome }: CalledPart): ToolResult => ({
  name,
  output: outcome.kind === 'open' ? NOT_EXECUTED : outcome.output,
});

const NOT_EXECUTED = { error: 'This call was not executed: the user went on without it.' };
