import type { z } from 'zod';
import type { JsonObject } from '../../shared/json.ts';
import type { Components } from './components.ts';
import { type HeaderName, toHeader } from './headers.ts';
import type { Answer, Content } from './operation.ts';

/**
 * The answers by their statuses; what is told of one status several times stands together.
 *
 * @param common headers of all, except where the path is asked in the wrong way
 */
export function writeAnswers(
  answers: readonly Answer[],
  common: readonly HeaderName[],
  components: Components,
): JsonObject {
  const byStatus = groupBy(answers, ({ status }) => String(status));
  return Object.fromEntries(
    byStatus.map(([status, same]) => [
      status,
      writeAnswer(same, status === '405' ? [] : common, components),
    ]),
  );
}

function writeAnswer(
  same: readonly Answer[],
  common: readonly HeaderName[],
  components: Components,
): JsonObject {
  const descriptions = new Set(same.map(({ description }) => description));
  const inAll = new Set<HeaderName>(['x-request-id', ...common, ...headersOfAll(same)]);
  const headers = new Set([...inAll, ...same.flatMap((one) => one.headers ?? [])]);
  const byType = groupBy(
    same.flatMap(({ content = [] }) => content),
    ({ type }) => type,
  );
  const content = byType.map(([type, contents]) => [type, writeContent(contents, components)]);
  return {
    description: [...descriptions].join('\n\n'),
    headers: Object.fromEntries([...headers].map((name) => toHeader(name, inAll.has(name)))),
    ...(content.length === 0 ? {} : { content: Object.fromEntries(content) }),
  };
}

function headersOfAll([first, ...others]: readonly Answer[]): readonly HeaderName[] {
  const { headers = [] } = first ?? {};
  return headers.filter((name) => others.every((other) => other.headers?.includes(name)));
}

function writeContent(contents: readonly Content[], components: Components): JsonObject {
  const schemas = [...new Set(contents.map(({ schema }) => schema))];
  const events = Object.assign({}, ...contents.map((content) => content.events ?? {}));
  return {
    schema: oneOrMore('anyOf', schemas, components),
    examples: Object.assign({}, ...contents.map(({ examples }) => examples)),
    ...(Object.keys(events).length === 0 ? {} : { 'x-events': writeEvents(events, components) }),
  };
}

/** OpenAPI 3.1 has no words for what is in a stream: each event's data, by the event's name. */
const writeEvents = (events: Readonly<Record<string, z.ZodType>>, components: Components) =>
  Object.fromEntries(
    Object.entries(events).map(([name, schema]) => [name, components.refer(schema)]),
  );

export function oneOrMore(
  word: 'anyOf' | 'oneOf',
  schemas: readonly z.ZodType[],
  components: Components,
): JsonObject {
  const [first = {}, ...others] = schemas.map((schema) => components.refer(schema));
  return others.length === 0 ? first : { [word]: [first, ...others] };
}

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(keyOf(value)) ?? [];
    groups.set(keyOf(value), [...group, value]);
  }
  return [...groups];
}
