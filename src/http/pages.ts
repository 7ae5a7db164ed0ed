import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { notFound } from './errors.ts';
import { serve } from './serve.ts';

/** A page for people: one HTML file, and whatever it loads, all from our own origin. */
export interface Page {
  /** Where it is; what belongs to it lies below. */
  readonly path: string;
  /** Its folder in `pages/`, which holds an `index.html`. */
  readonly folder: string;
  /** Folders of packages, by the names under which the page loads them (`lit-html` for `/dashboard/lib/lit-html/…`). */
  readonly libraries?: Readonly<Record<string, string>>;
  /** Addresses besides our own that it may connect to. */
  readonly connectsTo?: readonly string[];
  /** Asked before the page itself is given out; its files are no secret. */
  readonly before?: readonly RequestHandler[];
}

/** They need no build: the compiled server finds them where the source lies. */
const FOLDER = fileURLToPath(new URL('../../src/http/pages', import.meta.url));

export function servePage(app: Express, page: Page): void {
  const { path, libraries = {}, before = [] } = page;
  const folder = requireFolder(join(FOLDER, page.folder));
  app.use(path, restrict(page));
  serve(app, 'get', [path], ...before, sendPage(join(folder, 'index.html')));
  for (const [name, module] of Object.entries(libraries)) {
    app.use(`${path}/lib/${name}`, files(folderOf(module)));
  }
  // The page itself is given out above alone.
  app.use(`${path}/index.html`, notFound);
  app.use(path, files(folder), files(join(FOLDER, 'shared')));
}

/** At the start, or a deployment without them would be found out by the first who looks. */
function requireFolder(folder: string): string {
  if (!existsSync(folder))
    throw new Error(`${folder} is missing: the pages are deployed as source`);
  return folder;
}

/** Nothing inline, nothing from elsewhere, in nobody's frame. */
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

/** Asked for again each time, but only sent when they have changed. */
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

/** `GET /docs`: the document of `/openapi.json` as a page on which every route can be tried. */
export function serveDocs(app: Express): void {
  app.use(`${PATH}/lib/swagger-ui`, onlyWhatThePageLoads);
  servePage(app, { path: PATH, folder: 'docs', libraries: { 'swagger-ui': 'swagger-ui-dist' } });
}

/** The package holds ten megabytes more. */
const LOADED: ReadonlySet<string> = new Set(['/swagger-ui.css', '/swagger-ui-bundle.js']);

const onlyWhatThePageLoads: RequestHandler = (request, response, next) =>
  LOADED.has(request.path) ? next() : notFound(request, response, next);
