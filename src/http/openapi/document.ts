import { readFileSync } from 'node:fs';
import type { JsonObject } from '../../shared/json.ts';
import { Components } from './components.ts';
import type { DescribedServer } from './described-server.ts';
import { HEADERS } from './headers.ts';
import { TAGS } from './operation.ts';
import { operationsOf } from './operations.ts';
import { SECURITY } from './security.ts';
import { writeOperation } from './write-operation.ts';

/** The OpenAPI document of this very server: its routes, as its settings make them. */
export function describeServer(server: DescribedServer): JsonObject {
  const operations = operationsOf(server);
  const components = new Components();
  const paths: Record<string, Record<string, JsonObject>> = {};
  for (const operation of operations) {
    const { path, method } = operation;
    paths[path] = { ...paths[path], [method]: writeOperation(operation, components) };
  }
  const tags = new Set(operations.map(({ tag }) => tag));
  const schemes = new Set(operations.flatMap(({ security = [] }) => security));
  return {
    openapi: '3.1.1',
    info: { title: 'Understudy', version: ownVersion(), description: DESCRIPTION },
    servers: [{ url: '/' }],
    tags: [...tags].map((name) => ({ name, description: TAGS[name] })),
    paths,
    components: {
      schemas: components.schemas,
      headers: HEADERS,
      parameters: { 'x-request-id': REQUEST_ID },
      securitySchemes: Object.fromEntries([...schemes].map((name) => [name, SECURITY[name]])),
    },
  };
}

const DESCRIPTION = `A chat and avatar backend that keeps answering when an API key is spent: another key steps in.

Every answer has an \`x-request-id\`. An error has the form that the callers of its route expect. What cannot be read as
HTTP at all, or has no \`Host\`, is answered on every path in our own form, with 400, 408, 413 or 431.`;

const REQUEST_ID = {
  name: 'x-request-id',
  in: 'header',
  required: false,
  description: "The caller's own id of its request; without a sane one it gets a new one.",
  schema: { type: 'string', pattern: '^[\\w.:-]{1,100}$' },
};

function ownVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  return version;
}
