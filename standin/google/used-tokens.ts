/** Remembers which tokens have begun a conversation, for as long as they could be tried again. */
export interface UsedTokens {
  has(id: string): boolean;
  add(id: string, now: number): void;
}

const LONGEST_LIFE_MS = 3_600_000;

export function createUsedTokens(): UsedTokens {
  const usedAt = new Map<string, number>();
  /** The oldest come first in a Map. */
  const forgetExpired = (now: number) => {
    for (const [id, at] of usedAt) {
      if (now - at < LONGEST_LIFE_MS) return;
      usedAt.delete(id);
    }
  };
  return {
    has: (id) => usedAt.has(id),
    add(id, now) {
      forgetExpired(now);
      usedAt.set(id, now);
    },
  };
}
