import type { z } from 'zod';
import type { Colleagues } from '../shared/colleagues.ts';

/**
 * What the other processes answer. Whatever cannot be read is left out: during a rolling restart some
 * are of another version.
 *
 * @param question what JSON can say
 */
export async function askOthers<Answer>(
  colleagues: Colleagues,
  topic: string,
  question: unknown,
  answer: z.ZodType<Answer>,
): Promise<readonly Answer[]> {
  const answers = await colleagues.ask(topic, question);
  return answers.flatMap((one) => {
    const { success, data } = answer.safeParse(one);
    return success ? [data] : [];
  });
}
