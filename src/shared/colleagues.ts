/** The other processes that serve the same callers. Questions and answers are what JSON can say. */
export interface Colleagues {
  /** What each of the others answers; who has not answered in time (half a second) is left out. */
  ask(topic: string, question: unknown): Promise<readonly unknown[]>;
  /** How this one answers what others ask; of two answers to one topic the later holds. */
  answer(topic: string, reply: (question: unknown) => unknown | Promise<unknown>): void;
}

/** For one that has none. */
export const ALONE: Colleagues = {
  ask: async () => [],
  answer() {},
};
