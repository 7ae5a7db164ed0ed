import type { RequestHandler } from 'express';
import type { DescribedServer } from './openapi/described-server.ts';
import { JSON_TYPE } from './reply.ts';

/** `GET /openapi.json`: what this very server can be asked. Written when somebody first wants it. */
export function openapiRoute(server: DescribedServer): RequestHandler {
  let document: Promise<Buffer> | null = null;
  return async function getDocument(_request, response) {
    document ??= writeDocument(server);
    const bytes = await document;
    response.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': bytes.length });
    response.end(bytes);
  };
}

/** Nothing of it is loaded before: no start has to wait for what hardly anybody reads. */
async function writeDocument(server: DescribedServer): Promise<Buffer> {
  const { describeServer } = await import('./openapi/document.ts');
  return Buffer.from(JSON.stringify(describeServer(server)));
}
