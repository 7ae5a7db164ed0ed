import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { z } from 'zod';
import { headersFrom } from './access.ts';
import { notFound } from './errors.ts';
import { sendJson } from './reply.ts';
import { type Route, serveRoutes } from './route.ts';

/** A page for a browser: one HTML file and what it loads, all from our own origin. */
export interface Page extends Pick<Route, 'path' | 'id' | 'tag' | 'summary' | 'auth'> {
  /** Its folder in `pages/`, which holds an `index.html`. */
  readonly folder: string;
  /** Where its files are. Default: below its path. */
  readonly filesAt?: string;
  /** The answer to a client that accepts JSON and does not prefer HTML. Default: the page. */
  readonly forPrograms?: { readonly schema: z.ZodType; readonly body: object };
  /** Folders of packages by the name in the URL (`lit-html` for `/dashboard/lib/lit-html/…`). */
  readonly libraries?: Readonly<Record<string, string>>;
  /** The only files that it loads of its libraries, below `lib`. Default: all. */
  readonly loads?: readonly string[];
  /** Addresses besides our own that it may connect to. */
  readonly connectsTo?: readonly string[];
  /** Handlers before the page and each of its files. */
  readonly before?: readonly RequestHandler[];
}

/** Pages are not compiled: the server in `dist/` serves them from `src/`. */
const FOLDER = fileURLToPath(new URL('../../src/http/pages', import.meta.url));

/** @returns the route of the page itself */
export function servePage(app: Express, page: Page): Route {
  const { path, id, tag, summary, auth, before = [], forPrograms, filesAt = path } = page;
  const folder = requireFolder(join(FOLDER, page.folder));
  const restrictPage = restrict(page.connectsTo);
  const route: Route = {
    ...{ path, id, tag, summary },
    ...(auth === undefined ? {} : { auth }),
    method: 'get',
    answer: {
      description: 'The page; 304 if it has not changed.',
      content: {
        'text/html': z.string(),
        ...(forPrograms === undefined ? {} : { 'application/json': forPrograms.schema }),
      },
    },
    handlers: [
      restrictPage,
      ...before,
      ...(forPrograms === undefined ? [] : [sendToPrograms(forPrograms.body)]),
      sendPage(join(folder, 'index.html')),
    ],
  };
  serveRoutes(app, [route]);
  // Express matches this path as it matches those below, so no spelling reaches a file past the handlers.
  app.use(filesAt, restrictPage, ...before, refuseOtherSpellings);
  if (page.loads !== undefined) app.use(`${filesAt}/lib`, only(page.loads));
  for (const [library, module] of Object.entries(page.libraries ?? {})) {
    app.use(`${filesAt}/lib/${library}`, files(folderOf(module)));
  }
  app.use(filesAt, files(folder), files(join(FOLDER, 'shared')));
  return route;
}

/** Checked at the start, so that a deployment without the pages fails at once. */
function requireFolder(folder: string): string {
  if (!existsSync(folder))
    throw new Error(`${folder} is missing: the pages are deployed as source`);
  return folder;
}

/** No inline code, no other origins, no frames. */
function restrict(connectsTo: readonly string[] = []): RequestHandler {
  const policy = headersFrom(
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
    }),
  );
  return function restrictPage(_request, { locals }, next) {
    locals.head = locals.head.replace(POLICY, () => policy);
    next();
  };
}

const POLICY = /^content-security-policy: .*\r\n/im;

/** Browsers ask for HTML first. */
const sendToPrograms = (body: object): RequestHandler =>
  function answerProgram(request, response, next) {
    response.vary('accept');
    if (request.accepts(['json', 'html']) === 'html') next();
    else sendJson(response, 200, body);
  };

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
    setHeaders: (response) => response.setHeader('cache-control', 'no-cache'),
  });

/** The way to a file has one spelling, and only the route serves the page itself. */
const refuseOtherSpellings: RequestHandler = (request, response, next) => {
  if (PLAIN_PATH.test(request.path) && !INDEX.test(request.path)) next();
  else notFound(request, response, next);
};

/** Without escapes, dots at the beginning of a name, and doubled or trailing slashes. */
const PLAIN_PATH = /^(?:\/\w[\w.-]*)+$/;
const INDEX = /^\/index\.html$/i;

/** A package's folder, or one in it: `lit-html`, `eventsource-parser/dist`. */
function folderOf(library: string): string {
  const folders = require.resolve.paths(library) ?? [];
  const found = folders.map((folder) => join(folder, library)).find(existsSync);
  if (found === undefined) throw new Error(`${library} is not installed`);
  return found;
}

const require = createRequire(import.meta.url);

const only = (paths: readonly string[]): RequestHandler =>
  function refuseOthers(request, response, next) {
    if (paths.includes(request.path)) next();
    else notFound(request, response, next);
  };

export const DOCS: Page = {
  path: '/docs',
  id: 'getDocs',
  tag: 'Developers',
  summary: 'Read this document as a page, and try the routes',
  folder: 'docs',
  libraries: { 'swagger-ui': 'swagger-ui-dist' },
  loads: ['/swagger-ui/swagger-ui.css', '/swagger-ui/swagger-ui-bundle.js'],
};

export interface HomeOptions {
  /** `demo`: the providers are stand-ins. */
  readonly mode: 'live' | 'demo';
  /** Whether the pages for the operator exist. */
  readonly hasAdmin: boolean;
}

/** Says what this server is, and where everything is. */
export const homePage = ({ mode, hasAdmin }: HomeOptions): Page => ({
  path: '/',
  id: 'getHome',
  tag: 'Developers',
  summary: 'See what this server is, and where to go: a page for browsers, JSON for programs',
  folder: 'home',
  filesAt: '/home',
  forPrograms: {
    schema: home,
    body: {
      name: 'Understudy',
      mode,
      chat: '/api/chat',
      avatar: '/api/anam/session-token',
      keys: '/api/keys/status',
      health: '/health',
      docs: '/docs',
      openapi: '/openapi.json',
      ...(hasAdmin ? { dashboard: '/dashboard', playground: '/playground' } : {}),
    } satisfies z.output<typeof home>,
  },
});

const adminPath = z.string().optional().meta({ description: 'Missing without `ADMIN_TOKEN`.' });

const home = z
  .strictObject({
    name: z.literal('Understudy'),
    mode: z.enum(['live', 'demo']).meta({ description: '`demo`: the providers are stand-ins.' }),
    chat: z.string(),
    avatar: z.string(),
    keys: z.string(),
    health: z.string(),
    docs: z.string(),
    openapi: z.string(),
    dashboard: adminPath,
    playground: adminPath,
  })
  .meta({ id: 'Home', description: 'The paths of this server.' });
