import type { Colleagues } from '../../src/shared/colleagues.ts';

type Reply = Parameters<Colleagues['answer']>[1];

/** Processes that serve the same callers, in one: all they say to each other passes through JSON. */
export interface Team {
  join(): Colleagues;
  /** The topics of all questions so far, each once however many were asked. */
  readonly asked: readonly { readonly topic: string; readonly question: unknown }[];
}

export function createTeam(): Team {
  const members: Map<string, Reply>[] = [];
  const asked: { topic: string; question: unknown }[] = [];
  return {
    asked,
    join() {
      const replies = new Map<string, Reply>();
      members.push(replies);
      return {
        async ask(topic, question) {
          asked.push({ topic, question });
          const others = members.filter((other) => other !== replies);
          const answers = await Promise.all(
            others.map((other) => replyOf(other.get(topic), overTheWire(question))),
          );
          return answers.flat();
        },
        answer: (topic, reply) => void replies.set(topic, reply),
      };
    },
  };
}

/** Whoever cannot answer is left out, as whoever does not in time. */
async function replyOf(reply: Reply | undefined, question: unknown): Promise<readonly unknown[]> {
  if (reply === undefined) return [];
  try {
    return [overTheWire(await reply(question))];
  } catch {
    return [];
  }
}

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
