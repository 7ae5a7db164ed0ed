import type { JsonObject } from '../../shared/json.ts';
import type { Components } from './components.ts';
import { type HeaderName, LIMIT_HEADERS } from './headers.ts';
import type { Operation, Parameter, RequestBody } from './operation.ts';
import { oneOrMore, writeAnswers } from './write-answers.ts';

/** An operation as OpenAPI has it. */
export function writeOperation(operation: Operation, components: Components): JsonObject {
  const { id, tag, summary, description, parameters = [], body, answers, security } = operation;
  const common: readonly HeaderName[] = operation.isLimited === true ? LIMIT_HEADERS : [];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    parameters: [
      ...parameters.map((one) => writeParameter(one, components)),
      { $ref: '#/components/parameters/x-request-id' },
    ],
    ...(body === undefined ? {} : { requestBody: writeBody(body, components) }),
    responses: writeAnswers(answers, common, components),
    security: (security ?? []).map((name) => ({ [name]: [] })),
  };
}

const writeParameter = (parameter: Parameter, components: Components) => ({
  name: parameter.name,
  in: parameter.in,
  required: parameter.in === 'path',
  description: parameter.description,
  schema: components.refer(parameter.schema),
  ...(parameter.example === undefined ? {} : { example: parameter.example }),
});

const writeBody = ({ schemas, isRequired, examples }: RequestBody, components: Components) => ({
  required: isRequired,
  content: {
    'application/json': { schema: oneOrMore('oneOf', schemas, components), examples },
  },
});
