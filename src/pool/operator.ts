import type { ApiKey } from '../shared/api-key.ts';
import type { Book } from './book.ts';
import type { Candidate } from './candidate.ts';

/** What a person may do to a key: it holds at once, and whatever an older lease reports later changes nothing of it. */
export interface Operator {
  /**
   * Forgets all that keeps the key from being used: what was found about its project too, which its
   * siblings share.
   *
   * @returns the key; null when there is none
   */
  release(id: string): ApiKey | null;
  /**
   * Takes the key out of use; what it is answering goes on.
   *
   * @param ms how long, as long as nobody releases it before
   * @returns the key; null when there is none
   */
  park(id: string, ms: number): ApiKey | null;
}

export function createOperator(
  entriesOf: (id: string) => readonly Candidate[],
  book: Book,
): Operator {
  return {
    release(id) {
      const entries = entriesOf(id);
      for (const entry of entries) release(entry, book);
      return entries[0]?.key ?? null;
    },
    park(id, ms) {
      const [entry] = entriesOf(id);
      if (entry === undefined) return null;
      const now = book.now();
      const { operator } = entry.scopes;
      operator.parkByOperator(book.nextEvent(), now + ms, now);
      book.found(operator);
      return entry.key;
    },
  };
}

function release(entry: Candidate, book: Book): void {
  const event = book.nextEvent();
  for (const scope of [...entry.all, entry.rest]) {
    scope.open(event, book.now());
    book.found(scope);
  }
  entry.set.features.release(entry.key.project);
  entry.failedAt = 0;
  entry.rests = 0;
  entry.restedAt = event;
}
