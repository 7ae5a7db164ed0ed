import { Chat } from '@ai-sdk/react';
import * as current from 'ai';
import * as strict from 'ai-v5';

/** The part of the AI SDK that the tests use, the same in all versions. */
export type AiClient = Pick<
  typeof current,
  | 'DefaultChatTransport'
  | 'TextStreamChatTransport'
  | 'readUIMessageStream'
  | 'AbstractChat'
  | 'lastAssistantMessageIsCompleteWithToolCalls'
>;

/** Version 7 cannot be loaded by an older Node. `.ci/run` tests on both. */
const OLDEST_NODE_OF_7 = 22;
const nodeVersion = Number(process.versions.node.split('.')[0]);
const next = nodeVersion < OLDEST_NODE_OF_7 ? null : await import('ai-v7');
if (next === null) {
  process.stderr.write(`\n!!! Node ${nodeVersion}: NOT TESTED here: the AI SDK 7\n`);
}

/** Version 5, which rejects streams with an unknown field, then 6 and 7. */
export const AI_CLIENTS: readonly [string, AiClient][] = [
  ['ai 5.0.150', strict as unknown as AiClient],
  ['ai 6', current],
  ...(next === null ? [] : [['ai 7', next as unknown as AiClient] satisfies [string, AiClient]]),
];

/** The versions with approvals. */
export const CLIENTS_WITH_APPROVALS = AI_CLIENTS.slice(1);

type Message = current.UIMessage;
type ChatOptions = Omit<current.ChatInit<Message>, 'state'>;

type ChatWithoutPage = Pick<current.AbstractChat<Message>, keyof current.AbstractChat<Message>>;

/** The parts of `useChat` that work without a page: of version 6 those of React, of the others the same class below. */
export function createChat(client: AiClient, options: ChatOptions): ChatWithoutPage {
  if (client === current) return new Chat(options);
  class PlainChat extends client.AbstractChat<Message> {}
  return new PlainChat({ ...options, state: createState() });
}

function createState(): current.ChatState<Message> {
  const state: current.ChatState<Message> = {
    status: 'ready',
    error: undefined,
    messages: [],
    pushMessage(message) {
      state.messages = [...state.messages, message];
    },
    popMessage() {
      state.messages = state.messages.slice(0, -1);
    },
    replaceMessage(index, message) {
      state.messages = state.messages.with(index, structuredClone(message));
    },
    snapshot: (thing) => structuredClone(thing),
  };
  return state;
}
