import type { Message } from './message';

interface KeptChat {
  /** Anyone who knows it can read the running answer, so it is long and random. */
  readonly id: string;
  readonly messages: Message[];
}

/** The conversation of this tab. It survives a reload. */
export function keptChat(): KeptChat {
  const kept = sessionStorage.getItem('chat');
  return kept === null ? { id: crypto.randomUUID(), messages: [] } : JSON.parse(kept);
}

export const keepChat = (chat: KeptChat) => sessionStorage.setItem('chat', JSON.stringify(chat));
