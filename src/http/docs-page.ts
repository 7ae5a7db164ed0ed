import type { Express, RequestHandler } from 'express';
import { notFound } from './fallbacks.ts';
import { servePage } from './pages.ts';

const PATH = '/docs';

/** `GET /docs`: the document of `/openapi.json` as a page on which every route can be tried. */
export function serveDocs(app: Express): void {
  app.use(`${PATH}/lib/swagger-ui`, onlyWhatThePageLoads);
  servePage(app, { path: PATH, folder: 'docs', libraries: { 'swagger-ui': 'swagger-ui-dist' } });
}

/** The package holds ten megabytes more. */
const LOADED: ReadonlySet<string> = new Set(['/swagger-ui.css', '/swagger-ui-bundle.js']);

const onlyWhatThePageLoads: RequestHandler = (request, response, next) =>
  LOADED.has(request.path) ? next() : notFound(request, response, next);
