import { isObject, parseJson } from '../json.ts';
import type { HeldKey } from '../key-ring.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { AnswerShape } from '../standin-key.ts';
import type { GoogleCallFacts } from './error.ts';
import { createGenerate, type Generation } from './generate.ts';
import { getModel, listModels, unknownModel } from './models.ts';
import { notFoundPage } from './other-refusals.ts';
import { createRequestReader, type RequestReader } from './request-reader.ts';

/** A call of a known key that no fault has refused. */
export interface GoogleCall extends Omit<Generation, 'wire'> {
  readonly query: string;
}

/** Answers whatever lives at a model: reading, counting, generating. */
export function createMethods(
  models: ReadonlySet<string>,
  keys: readonly HeldKey[],
  defaultAnswer: AnswerShape | undefined,
): (call: GoogleCall) => Reply {
  const read = createRequestReader(keys);
  const generate = createGenerate(read, defaultAnswer);
  const methods: Readonly<Record<string, (call: GoogleCall) => Reply>> = {
    listModels: () => listModels(models),
    getModel: ({ call }) => getModel(call.model),
    countTokens: (call) => countTokens(call, read),
    generateContent: (call) => generate({ ...call, wire: 'unary' }),
    streamGenerateContent: (call) => generate({ ...call, wire: wireOf(call.query) }),
  };
  return (call) => {
    const perform = methods[call.call.method];
    if (perform === undefined) return notFoundPage();
    return isMissing(models, call.call) ? unknownModel(call.call) : perform(call);
  };
}

const ALT_SSE = /(?:^|&)alt=sse(?:&|$)/;
const wireOf = (query: string) => (ALT_SSE.test(query) ? 'sse' : 'array');

const isMissing = (models: ReadonlySet<string>, { model }: GoogleCallFacts) =>
  model !== '' && !models.has(model);

/** Takes the contents alone, or a whole request in `generateContentRequest`. */
function countTokens({ text, holder }: GoogleCall, read: RequestReader): Reply {
  const body = parseJson(text);
  const inner = isObject(body) ? (body.generateContentRequest ?? body) : body;
  const request = read(inner, holder);
  return 'status' in request ? request : jsonReply(200, { totalTokens: request.inputTokens });
}
