import type { ChatCall, Dialect } from '../dialect.ts';
import { toCompletion, toCompletionChunks } from './completion.ts';
import { OPENAI_ERRORS } from './errors.ts';
import { readCompletionRequest } from './request.ts';

/**
 * The dialect of OpenAI's chat completions, which half the world's clients speak
 * (https://platform.openai.com/docs/api-reference/chat). What we cannot do is refused by name.
 */
export const openai: Dialect = {
  errors: OPENAI_ERRORS,
  read({ body }): ChatCall {
    const { request, isStreamed, ...form } = readCompletionRequest(body);
    return {
      request,
      answer: isStreamed
        ? { kind: 'stream', frames: (facts) => toCompletionChunks(facts, form) }
        : { kind: 'whole', body: (reply, facts) => toCompletion(reply, facts, form) },
    };
  },
};
