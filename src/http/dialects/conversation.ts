import type {
  AssistantPart,
  ChatMessage,
  ToolCall,
  ToolResult,
  UserPart,
} from '../../shared/chat.ts';
import { invalidField } from '../body.ts';

/** Joins the texts of the system prompt. */
export const toSystem = (texts: readonly string[]): string | null =>
  texts.length === 0 ? null : texts.join('\n\n');

/** The error sentences of a protocol for calls and results that do not match. */
interface MismatchSentences {
  readonly noResult: string;
  readonly noSuchCall: string;
}

interface OpenCall {
  readonly name: string;
  /** The path of the field that identifies the call. */
  readonly path: string;
  result: Omit<ToolResult, 'name'> | null;
}

/**
 * Builds a conversation from messages, calls and results, added in their order. All that the assistant says and calls
 * before the first result is one turn. The results of its calls follow it together, in the order of the calls: Gemini
 * matches calls and results only by their order.
 */
export class Conversation {
  readonly messages: ChatMessage[] = [];
  readonly #sentences: MismatchSentences;
  /** The assistant's current turn. */
  #parts: AssistantPart[] = [];
  /** By id, in the order of the calls. */
  #calls = new Map<string, OpenCall>();
  #hasResults = false;

  constructor(sentences: MismatchSentences) {
    this.#sentences = sentences;
  }

  /** @throws HttpError when a call of the turn before has no result */
  ask(parts: readonly UserPart[]): void {
    this.endTurn();
    if (parts.length > 0) this.messages.push({ role: 'user', parts });
  }

  say(parts: readonly AssistantPart[]): void {
    this.beginAnswer();
    this.#parts.push(...parts);
  }

  /**
   * @param path of the field that identifies the call
   * @throws HttpError when another call of the turn has this id
   */
  call(id: string, call: ToolCall, path: string): void {
    this.beginAnswer();
    if (this.#calls.has(id)) throw invalidField(path, 'Another call has the same id.');
    this.#calls.set(id, { name: call.name, path, result: null });
    this.#parts.push({ ...call, kind: 'tool-call' });
  }

  /** @throws HttpError when the turn has no such call, or when the call already has its result */
  return(id: string, result: Omit<ToolResult, 'name'>, path: string): void {
    const call = this.#calls.get(id);
    if (call === undefined) throw invalidField(path, this.#sentences.noSuchCall);
    if (call.result !== null) throw invalidField(path, 'This call already has its result.');
    call.result = result;
    this.#hasResults = true;
  }

  /** After results, the assistant's next turn begins. */
  beginAnswer(): void {
    if (this.#hasResults) this.endTurn();
  }

  /** @throws HttpError when a call of the turn has no result */
  endTurn(): void {
    if (this.#parts.length > 0) this.messages.push({ role: 'assistant', parts: this.#parts });
    const results = [...this.#calls.values()].map(({ name, path, result }) => {
      if (result === null) throw invalidField(path, this.#sentences.noResult);
      return { name, ...result };
    });
    if (results.length > 0) this.messages.push({ role: 'tool', results });
    this.#parts = [];
    this.#calls = new Map();
    this.#hasResults = false;
  }
}
