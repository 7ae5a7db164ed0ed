import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { notFound } from './errors.ts';
import { serve } from './serve.ts';

/** A page for a browser: one HTML file and what it loads, all from our own origin. */
export interface Page {
  /** Its path; its files lie below. */
  readonly path: string;
  /** Its folder in `pages/`, which holds an `index.html`. */
  readonly folder: string;
  /** Folders of packages by the name in the URL (`lit-html` for `/dashboard/lib/lit-html/…`). */
  readonly libraries?: Readonly<Record<string, string>>;
  /** Addresses besides our own that it may connect to. */
  readonly connectsTo?: readonly string[];
  /** Handlers before the page itself; its files need no protection. */
  readonly before?: readonly RequestHandler[];
}

/** Pages are not compiled: the server in `dist/` serves them from `src/`. */
const FOLDER = fileURLToPath(new URL('../../src/http/pages', import.meta.url));

export function servePage(app: Express, page: Page): void {
  const { path, libraries = {}, before = [] } = page;
  const folder = requireFolder(join(FOLDER, page.folder));
  app.use(path, restrict(page));
  serve(app, 'get', [path], ...before, sendPage(join(folder, 'index.html')));
  for (const [name, module] of Object.entries(libraries)) {
    app.use(`${path}/lib/${name}`, files(folderOf(module)));
  }
  // The page is served at its own path only.
  app.use(`${path}/index.html`, notFound);
  app.use(path, files(folder), files(join(FOLDER, 'shared')));
}

/** Checked at the start, so that a deployment without the pages fails at once. */
function requireFolder(folder: string): string {
  if (!existsSync(folder))
    throw new Error(`${folder} is missing: the pages are deployed as source`);
  return folder;
}

/** No inline code, no other origins, no frames. */
const restrict = ({ connectsTo = [] }: Page): RequestHandler =>
  helmet.contentSecurityPolicy({
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      mediaSrc: ["'self'", 'blob:'],
      connectSrc: ["'self'", ...connectsTo],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
    },
  });

function sendPage(file: string): RequestHandler {
  return function getPage(_request, response, next) {
    response.setHeader('cache-control', 'no-cache');
    response.sendFile(file, { acceptRanges: false, cacheControl: false }, (error) => {
      if (error !== undefined) next(error);
    });
  };
}

/** Browsers revalidate these files each time. */
const files = (folder: string): RequestHandler =>
  express.static(folder, {
    index: false,
    redirect: false,
    cacheControl: false,
    acceptRanges: false,
  });

/** A package's folder, or one in it: `lit-html`, `eventsource-parser/dist`. */
function folderOf(library: string): string {
  const folders = require.resolve.paths(library) ?? [];
  const found = folders.map((folder) => join(folder, library)).find(existsSync);
  if (found === undefined) throw new Error(`${library} is not installed`);
  return found;
}

const require = createRequire(import.meta.url);

const PATH = '/docs';

/** `GET /docs`: Swagger UI for `/openapi.json`. */
export function serveDocs(app: Express): void {
  app.use(`${PATH}/lib/swagger-ui`, onlyWhatThePageLoads);
  servePage(app, { path: PATH, folder: 'docs', libraries: { 'swagger-ui': 'swagger-ui-dist' } });
}

/** The package has ten megabytes more. */
const LOADED: ReadonlySet<string> = new Set(['/swagger-ui.css', '/swagger-ui-bundle.js']);

const onlyWhatThePageLoads: RequestHandler = (request, response, next) =>
  LOADED.has(request.path) ? next() : notFound(request, response, next);
