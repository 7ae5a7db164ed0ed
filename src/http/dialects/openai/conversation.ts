import type {
  AssistantPart,
  ChatMessage,
  ChatTurn,
  ToolResult,
  UserPart,
} from '../../../shared/chat.ts';
import { invalidField } from '../../json-body.ts';
import { isSaid } from '../said.ts';
import { type Message, type OpenaiToolCall, readObject } from './messages.ts';

type Conversation = Pick<ChatTurn, 'system' | 'messages'>;

/**
 * The messages, the system's apart. Of one answer's tool calls the results stand together, in the
 * order of the calls: the provider knows them by nothing else.
 *
 * @throws HttpError when a result belongs to no call, or when nobody asks anything
 */
export function readConversation(said: readonly Message[]): Conversation {
  const system = said.flatMap(systemTexts);
  const messages = said.flatMap((message, index) => toMessages(message, index, said));
  // Some prompts are nothing but instructions.
  if (messages.length === 0 && system.length > 0)
    return { system: null, messages: [asked(system)] };
  if (!isAsked(said, messages)) throw invalidField('messages', NOTHING_ASKED);
  return { system: system.length === 0 ? null : system.join('\n\n'), messages };
}

const NOTHING_ASKED = 'The last one must be of the user or of a tool, and must not be empty.';

const systemTexts = (message: Message): readonly string[] =>
  isSystem(message) ? message.content.filter(isSaid) : [];

const isSystem = (
  message: Message,
): message is Extract<Message, { role: 'system' | 'developer' }> =>
  message.role === 'system' || message.role === 'developer';

const asked = (texts: readonly string[]): ChatMessage => ({
  role: 'user',
  parts: texts.map((text) => ({ kind: 'text', text })),
});

function isAsked(said: readonly Message[], messages: readonly ChatMessage[]): boolean {
  const last = said.findLast((message) => !isSystem(message));
  const isEmpty = last?.role === 'user' && !last.content.some(hasContent);
  return !isEmpty && messages.length > 0 && messages.at(-1)?.role !== 'assistant';
}

function toMessages(message: Message, index: number, said: readonly Message[]): ChatMessage[] {
  switch (message.role) {
    case 'system':
    case 'developer':
      return [];
    case 'user':
      return unlessEmpty({ role: 'user', parts: message.content.filter(hasContent) });
    case 'assistant':
      return [
        ...unlessEmpty({ role: 'assistant', parts: toAssistantParts(message) }),
        ...resultsOf(message.tool_calls ?? [], index, said),
      ];
    case 'tool':
      return takenWithItsCall(message, index, said);
    default:
      return message satisfies never;
  }
}

const unlessEmpty = (message: Extract<ChatMessage, { parts: unknown }>): ChatMessage[] =>
  message.parts.length === 0 ? [] : [message];

/** Every call has its result, and they follow at once: anything else the provider would refuse. */
function resultsOf(
  calls: readonly OpenaiToolCall[],
  asker: number,
  said: readonly Message[],
): ChatMessage[] {
  const following = said.slice(asker + 1);
  const end = following.findIndex(({ role }) => role !== 'tool');
  const answers = end < 0 ? following : following.slice(0, end);
  const results = calls.map(({ id, function: { name } }, index): ToolResult => {
    const answer = answers.find((one) => one.role === 'tool' && one.tool_call_id === id);
    if (answer?.role === 'tool') return { name, output: toOutput(answer.content) };
    throw invalidField(`messages.${asker}.tool_calls.${index}`, NO_RESULT);
  });
  return results.length === 0 ? [] : [{ role: 'tool', results }];
}

const NO_RESULT = 'No message of a tool after it has its result.';

/** @throws HttpError for a result of no call, and for a second one of the same */
function takenWithItsCall(
  { tool_call_id: id }: Extract<Message, { role: 'tool' }>,
  index: number,
  said: readonly Message[],
): ChatMessage[] {
  const asker = said.slice(0, index).findLastIndex(({ role }) => role !== 'tool');
  const between = said.slice(asker + 1, index);
  const isSecond = between.some((one) => one.role === 'tool' && one.tool_call_id === id);
  if (isSecond) throw invalidField(`messages.${index}.tool_call_id`, 'This call has its result.');
  const calls = said[asker]?.role === 'assistant' ? (said[asker].tool_calls ?? []) : [];
  if (calls.some((call) => call.id === id)) return [];
  throw invalidField(`messages.${index}.tool_call_id`, NO_SUCH_CALL);
}

const NO_SUCH_CALL = 'The assistant before it has made no call with this id.';

const hasContent = (part: UserPart) => part.kind === 'media' || isSaid(part.text);

function toAssistantParts({
  content,
  tool_calls: calls,
}: Extract<Message, { role: 'assistant' }>): AssistantPart[] {
  const texts = (content ?? []).filter(isSaid).map((text) => ({ kind: 'text' as const, text }));
  return [...texts, ...(calls ?? []).map(toCallPart)];
}

function toCallPart({ function: called, extra_content: extra }: OpenaiToolCall): AssistantPart {
  const signature = extra?.google?.thought_signature;
  return {
    kind: 'tool-call',
    name: called.name,
    input: called.arguments,
    ...(signature === undefined ? {} : { signature }),
  };
}

/**
 * The provider wants an object; whatever else a tool answered is put into one as text. So is an object
 * with a key that begins with `$`, such as a JSON schema: the provider refuses it.
 */
function toOutput(content: Extract<Message, { role: 'tool' }>['content']): ToolResult['output'] {
  const text = (content ?? []).join('');
  const output = readObject(text);
  return output === null || hasDollarKey(output) ? { result: text } : output;
}

function hasDollarKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, part]) => key.startsWith('$') || hasDollarKey(part));
}
