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
  if (!isAsked(messages)) throw invalidField('messages', NOTHING_ASKED);
  return { system: system.length === 0 ? null : system.join('\n\n'), messages };
}

const NOTHING_ASKED = 'The last one must be of the user or of a tool, and must not be empty.';
const NO_SUCH_CALL = 'The assistant before it has made no call with this id.';

const systemTexts = (message: Message): readonly string[] =>
  message.role === 'system' || message.role === 'developer' ? message.content.filter(isSaid) : [];

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
        ...resultsOf(message.tool_calls ?? [], said.slice(index + 1)),
      ];
    case 'tool':
      // Those that belong to a call were taken together with it.
      if (callsBefore(index, said).some(({ id }) => id === message.tool_call_id)) return [];
      throw invalidField(`messages.${index}.tool_call_id`, NO_SUCH_CALL);
    default:
      return message satisfies never;
  }
}

const unlessEmpty = (message: Extract<ChatMessage, { parts: unknown }>): ChatMessage[] =>
  message.parts.length === 0 ? [] : [message];

function resultsOf(calls: readonly OpenaiToolCall[], following: readonly Message[]): ChatMessage[] {
  const end = following.findIndex(({ role }) => role !== 'tool');
  const answers = end < 0 ? following : following.slice(0, end);
  const results = calls.flatMap(({ id, function: { name } }): ToolResult[] => {
    const answer = answers.find((one) => one.role === 'tool' && one.tool_call_id === id);
    return answer?.role === 'tool' ? [{ name, output: toOutput(answer.content) }] : [];
  });
  return results.length === 0 ? [] : [{ role: 'tool', results }];
}

function callsBefore(index: number, said: readonly Message[]): readonly OpenaiToolCall[] {
  const asker = said.slice(0, index).findLast(({ role }) => role !== 'tool');
  return asker?.role === 'assistant' ? (asker.tool_calls ?? []) : [];
}

const isAsked = (messages: readonly ChatMessage[]) =>
  messages.length > 0 && messages.at(-1)?.role !== 'assistant';

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

/** The provider wants an object; whatever else a tool answered is put into one. */
function toOutput(content: readonly string[]): ToolResult['output'] {
  const text = content.join('');
  return readObject(text) ?? { result: text };
}
