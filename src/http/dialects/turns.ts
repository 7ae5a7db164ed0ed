import type { ChatMessage } from '../../shared/chat.ts';
import { isSaid } from './said.ts';

/** What somebody said, in the dialects that know nothing but words. */
interface Turn {
  /** Everybody but the user is the assistant, whatever a dialect calls it. */
  readonly role: string;
  readonly content: string;
}

/** Turns without words are left out: the provider would refuse them. */
export const toMessages = (turns: readonly Turn[]): ChatMessage[] =>
  turns
    .filter(({ content }) => isSaid(content))
    .map(({ role, content }) => ({
      role: role === 'user' ? 'user' : 'assistant',
      parts: [{ kind: 'text', text: content }],
    }));
