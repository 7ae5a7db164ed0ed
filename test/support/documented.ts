import { Ajv2020 } from 'ajv/dist/2020.js';
import type { DescribedServer } from '../../src/http/openapi/described-server.ts';
import { describeServer } from '../../src/http/openapi/document.ts';
import { eventsIn } from './events.ts';

export interface Documented {
  readonly method: string;
  readonly path: string;
  readonly operation: DocumentedOperation;
}

export interface DocumentedOperation {
  readonly operationId: string;
  readonly parameters: readonly DocumentedParameter[];
  readonly requestBody?: { readonly content: Record<string, DocumentedContent> };
  readonly responses: Record<string, DocumentedAnswer>;
  readonly security: readonly Record<string, unknown>[];
}

interface DocumentedParameter {
  readonly name: string;
  readonly in: string;
  readonly example?: string;
  readonly schema: { readonly enum?: readonly string[] };
}

export interface DocumentedAnswer {
  readonly description: string;
  readonly headers: Record<string, DocumentedHeader>;
  readonly content?: Record<string, DocumentedContent>;
}

/** Refers to one of the components, or tells of itself. */
interface DocumentedHeader {
  readonly $ref?: string;
  readonly required?: boolean;
}

export interface DocumentedContent {
  readonly schema: object;
  readonly examples: Record<string, { readonly value: unknown }>;
  readonly 'x-events'?: Record<string, object>;
}

/** As it came over the wire. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A server's document, and what in its answers and examples is not as it says. */
export function readDocument(server: DescribedServer) {
  const document = JSON.parse(JSON.stringify(describeServer(server)));
  const { components } = document;
  const formats = { 'date-time': (text: string) => !Number.isNaN(Date.parse(text)) };
  const ajv = new Ajv2020({ strict: false, allErrors: true, formats });
  const operations = Object.entries<Record<string, DocumentedOperation>>(document.paths).flatMap(
    ([path, methods]): Documented[] =>
      Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  );

  const named = (reference: string): DocumentedHeader =>
    components.headers[reference.replace('#/components/headers/', '')];

  function misfits(schema: object, value: unknown): string[] {
    const fits = ajv.compile({ ...schema, components });
    if (fits(value)) return [];
    return (fits.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  }

  function misfitsOfContent(content: DocumentedContent, value: unknown): string[] {
    const events = content['x-events'];
    if (events === undefined) return misfits(content.schema, value);
    return eventsIn(String(value)).flatMap(({ event, data }) =>
      events[event] === undefined ? [`event ${event}`] : misfits(events[event], data),
    );
  }

  function misfitsOfAnswer({ responses }: DocumentedOperation, answer: Answered): string[] {
    const documented = responses[answer.status] ?? responses.default;
    if (documented === undefined) return [`status ${answer.status}`];
    const missing = Object.entries(documented.headers)
      .filter(([, header]) => (header.$ref === undefined ? header : named(header.$ref)).required)
      .map(([name]) => name)
      .filter((name) => !answer.headers.has(name));
    return [...missing.map((name) => `no ${name}`), ...misfitsOfBody(documented, answer)];
  }

  function misfitsOfBody({ content = {} }: DocumentedAnswer, answer: Answered): string[] {
    const { status, headers, text } = answer;
    if (Object.keys(content).length === 0 && text === '') return [];
    const [type = ''] = (headers.get('content-type') ?? '').split(';', 1);
    const documented = content[type];
    if (documented === undefined) return [`${status} as ${type}`];
    return misfitsOfContent(documented, type === 'application/json' ? JSON.parse(text) : text);
  }

  return { document, operations, misfitsOfContent, misfitsOfAnswer };
}
