import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { AdminView, ListedState } from '../../observability/admin-view.ts';
import { fingerprintOf } from '../../observability/key-report.ts';
import {
  KEY_STATES,
  type KeysPage,
  keptWhere,
  keyCheck,
  keyId,
  keyReport,
  keysPage,
  placeOf,
  UNUSED,
} from '../../observability/reports.ts';
import { type ImportedKey, readImport } from '../../services/key-import.ts';
import {
  type Addition,
  KeyChangeError,
  type KeyRegistry,
  type Labels,
} from '../../services/key-registry.ts';
import { KEY_ORIGINS, type KnownKey } from '../../shared/api-key.ts';
import { MAX_CHANGES } from '../../shared/durable-store.ts';
import { cleanText } from '../../shared/key-text.ts';
import type { Order } from '../../shared/order.ts';
import { type ProviderFacts, shapeWarnings } from '../../shared/provider-facts.ts';
import { defaultTargets, type Target } from '../../shared/target.ts';
import { bodyOrNone, invalidField, invalidRequest, readJsonBody, validate } from '../body.ts';
import { HttpError } from '../errors.ts';
import { sendJson } from '../reply.ts';
import { jsonAnswer, type Route } from '../route.ts';
import type { AdminAccess } from './admin-access.ts';
import { checkBeforeRelease, checkRoutes, type KeyCheckParts, reportOf } from './check-routes.ts';
import { CSV, sendCsv } from './csv.ts';
import { MAX_ADMIN_BODY, type OperatorNote, operatorNote, orderIn } from './operator-note.ts';

export interface KeyRoutesOptions extends KeyCheckParts {
  readonly providers: readonly ProviderFacts[];
  /** How long a park lasts by default. */
  readonly cooldownMs: number;
}

/** In bytes. */
const MAX_IMPORT = 2 ** 21;

/** The admin API of the keys. */
export function keyRoutes(access: AdminAccess, options: KeyRoutesOptions): Route[] {
  const { view, registry, cooldownMs } = options;
  const readBody = readJsonBody(MAX_ADMIN_BODY);
  const schemas = createSchemas(options.providers);
  const keysQuery = createKeysQuery(view.targets);
  const reading = { method: 'get', tag: 'Admin', auth: 'admin' } as const;
  const changing = { tag: 'Admin', auth: 'admin' } as const;
  const ofKey = {
    ...changing,
    params: z.object({ id: z.string().meta({ examples: ['google-2'] }) }),
  };
  const act = <Body extends OperatorNote>(
    { schema, example, needsBody = false }: Action<Body>,
    change: (id: string, body: Body, order: Order) => Promise<void>,
  ) => ({
    ...ofKey,
    body: { schema, isRequired: needsBody, examples: { named: { value: example } } },
    answer: jsonAnswer('The present state of the key.', changedKey),
    errors: ['not_found', 'conflict', 'store_unavailable'] as const,
    handlers: [access.require, readBody, postChange(options, schema, change)],
  });
  return [
    // Before the routes with `{id}`: the first match serves.
    ...checkRoutes(access, options),
    {
      ...reading,
      path: '/api/keys',
      id: 'listKeys',
      isPolled: true,
      summary: 'See the state of each key, and why',
      description:
        'In the order of the settings, those of Google first, then those that were added, unless `sort` says otherwise. No answer holds the text of a key.',
      query: keysQuery,
      answer: jsonAnswer('One page of keys.', keysPage),
      handlers: [
        access.require,
        ({ query }, response) =>
          sendJson(response, 200, listKeys(options, validate(keysQuery, query))),
      ],
    },
    {
      ...changing,
      method: 'post',
      path: '/api/keys',
      id: 'addKey',
      summary: 'Add a key',
      description:
        'Every instance uses it within a second. `warnings` says what looks wrong about it; no key is refused for its shape.',
      body: { schema: schemas.add, examples: { named: { value: NEW_KEY } } },
      answer: { ...jsonAnswer('The key.', changedKey), status: 201 },
      errors: ['conflict', 'store_unavailable'],
      handlers: [access.require, readBody, addKey(options, schemas.add)],
    },
    {
      ...changing,
      method: 'post',
      path: '/api/keys/import',
      id: 'importKeys',
      summary: 'Add many keys',
      description:
        'A line for each: `KEY`, `KEY=project` or `KEY=project,billing`, with `google:` or `anam:` before the key where `provider` does not say it. Lines that begin with `#` are comments. Keys that are there already are skipped; after any other fault none is added.',
      body: { schema: schemas.import, examples: { named: { value: NEW_KEYS } } },
      answer: jsonAnswer('The keys that were added, and the lines that were skipped.', imported),
      errors: ['conflict', 'store_unavailable'],
      handlers: [access.require, readJsonBody(MAX_IMPORT), importKeys(options, schemas.import)],
    },
    {
      ...reading,
      path: '/api/keys/export',
      id: 'exportKeys',
      summary: 'List all keys with their labels',
      description: 'Without the text of any key: the fingerprint identifies the key.',
      query: exportQuery,
      answer: {
        description: 'Every key, retired ones of the settings too.',
        content: { 'application/json': exported, [CSV]: z.string() },
      },
      handlers: [access.require, exportKeys(options)],
    },
    {
      ...act(
        { schema: schemas.label, example: { project: 'blue', billing: null }, needsBody: true },
        (id, labels, order) => registry.label(id, labelsOf(labels), order),
      ),
      method: 'patch',
      path: '/api/keys/{id}',
      id: 'labelKey',
      summary: "Change a key's labels",
      description:
        'Null removes a label; a label that is left out stays. A key that gets another project gets the billing account of that project. What is known of the key itself stays.',
    },
    {
      ...act(
        { schema: schemas.replace, example: { key: `${NEW_KEY.key}-3` }, needsBody: true },
        (id, { key }, order) => registry.replace(id, cleanText(key), order),
      ),
      method: 'post',
      path: '/api/keys/{id}/replace',
      id: 'replaceKey',
      summary: 'Give a key another text',
      description:
        'Its id and labels stay, and what was found about the old text is forgotten. Answers in flight continue with the old one.',
    },
    {
      ...act({ schema: note, example: WHY }, (id, _, order) => registry.pause(id, order)),
      method: 'post',
      path: '/api/keys/{id}/pause',
      id: 'pauseKey',
      summary: 'Take a key out of use until it is resumed',
      description: 'Its answers in flight continue. Counts do not include a paused key.',
    },
    {
      ...act({ schema: note, example: WHY }, (id, _, order) => registry.resume(id, order)),
      method: 'post',
      path: '/api/keys/{id}/resume',
      id: 'resumeKey',
      summary: 'Use a paused key again',
      description: 'It also brings back a retired key whose variable or file is still set.',
    },
    {
      ...act(
        { schema: releaseBody, example: { by: 'Ana', reason: 'quota was raised' } },
        async () => {},
      ),
      answer: jsonAnswer(
        'The present state of the key, and the outcome of the check.',
        releasedKey,
      ),
      errors: ['not_found', 'conflict', 'check_failed'],
      handlers: [access.require, readBody, releaseKey(options)],
      method: 'post',
      path: '/api/keys/{id}/release',
      id: 'releaseKey',
      summary: 'Let a key be used again',
      description:
        'What was found about it is forgotten, and what was found about its project for all keys of the project. A key that needs action is checked first, as by `POST /api/keys/{id}/check`: if the provider still refuses it, the answer is 409 and nothing is released, unless `force` is true.',
    },
    {
      ...act(
        { schema: parkBody, example: { by: 'Ana', reason: 'bill is strange', seconds: 900 } },
        (id, { seconds = cooldownMs / 1000 }, order) =>
          whereUsed(registry, id, () => view.actions.park(id, seconds * 1000, order)),
      ),
      method: 'post',
      path: '/api/keys/{id}/park',
      id: 'parkKey',
      summary: 'Take a key out of use for a time',
      description:
        'Until the time has passed or an operator releases it. Calls in flight continue. A later call replaces this one.',
    },
    {
      ...act({ schema: note, example: WHY }, (id, _, order) => registry.retire(id, order)),
      answer: jsonAnswer('The key is retired.', retiredKey),
      handlers: [access.require, readBody, retireKey(options)],
      method: 'post',
      path: '/api/keys/{id}/retire',
      id: 'retireKey',
      summary: 'Take a key out for good',
      description:
        'Its answers in flight continue. An added key is forgotten. A key of a variable or a file stays retired until its text changes or it is resumed, or until the restart where changes do not last.',
    },
  ];
}

interface Action<Body extends OperatorNote> {
  readonly schema: z.ZodType<Body>;
  readonly example: Body;
  readonly needsBody?: boolean;
}

const MAX_LIMIT = 500;

/** @param targets decide which services there are */
const createKeysQuery = (targets: readonly Target[]) =>
  z.strictObject({
    service: z
      .enum(defaultTargets(targets).map(({ provider }) => provider))
      .optional()
      .meta({ description: 'Only the keys of this service.' }),
    model: z.string().optional().meta({
      description:
        'The state for this model, which is one of those in `GET /api/overview`. Default: the first of each service.',
    }),
    state: z
      .enum([...KEY_STATES, ...UNUSED])
      .optional()
      .meta({
        description: 'Only the keys in this state. Default: all but the retired ones.',
      }),
    search: z.string().trim().min(1).max(100).optional().meta({
      description:
        'Only the keys with this text, in any case, in their id, project, billing label or fingerprint.',
    }),
    sort: z.enum(['trouble']).optional().meta({
      description:
        '`trouble`: first the keys that need action, then those that cool down by the time of their return, then the others.',
    }),
    after: z.string().optional().meta({
      description: 'Only the keys after this id: `next` of the page before.',
    }),
    limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(100).meta({
      description: 'The number of keys on a page.',
    }),
  });

type KeysQuery = z.output<ReturnType<typeof createKeysQuery>>;

type Row = ListedState & { readonly target: Target };

/** @throws HttpError 400 that names the field */
function listKeys({ view, registry }: KeyRoutesOptions, query: KeysQuery): KeysPage {
  const { state, after, limit, search, sort } = query;
  const all = targetsFor(view, query).flatMap((target) =>
    view.states(target).map((row): Row => ({ ...row, target })),
  );
  if (sort === 'trouble') all.sort(byTrouble);
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) throw invalidField('after', 'There is no such key.');
  const found = search === undefined ? null : view.search(search);
  const matches = (row: Row) =>
    (state === undefined ? row.state !== 'retired' : row.state === state) &&
    (found === null || found.has(row.id));
  const rest = all.slice(start).filter(matches);
  const page = rest.slice(0, limit);
  return {
    total: all.filter(matches).length,
    keys: view.keys(page),
    next: rest.length > limit ? (page.at(-1)?.id ?? null) : null,
    ...placeOf(registry.storage),
    missingSettings: [...registry.missingSettings],
    unreadable: [...registry.unreadable],
  };
}

const byTrouble = (a: Row, b: Row) =>
  TROUBLE[a.state] - TROUBLE[b.state] || returnOf(a) - returnOf(b);

const returnOf = (row: Row) => ('until' in row ? (row.until ?? 0) : 0);

const TROUBLE = {
  exhausted: 0,
  cooling_down: 1,
  paused: 2,
  available: 3,
  retired: 4,
} satisfies Record<Row['state'], number>;

function targetsFor({ targets }: AdminView, { service, model }: KeysQuery): readonly Target[] {
  const asked = targets.filter(({ provider }) => service === undefined || provider === service);
  if (model === undefined) return defaultTargets(asked);
  const found = asked.filter(({ label }) => label === model);
  if (found.length > 0) return found;
  throw invalidField('model', `Must be one of: ${asked.map(({ label }) => label).join(', ')}.`);
}

const MAX_SECONDS = 7 * 86_400;
const note = operatorNote.meta({ id: 'Note', description: 'May be empty, or nothing at all.' });

const releaseBody = note
  .extend({
    force: z.boolean().optional().meta({
      description: 'Whether a key that needs action is released without a check. Default: false.',
    }),
  })
  .meta({ id: 'ReleaseRequest', description: 'May be empty, or nothing at all.' });

const parkBody = note
  .extend({
    seconds: z.number().min(1).max(MAX_SECONDS).optional().meta({
      description: 'How long, from now, in seconds. Default: `KEY_COOLDOWN_SECONDS`.',
    }),
  })
  .meta({ id: 'ParkRequest', description: 'May be empty, or nothing at all.' });

const WHY = { by: 'Ana', reason: 'bill is strange' };
const NEW_KEY = { provider: 'google', key: 'AQ.no-key-of-anybody', project: 'blue' };
const NEW_KEYS = {
  provider: 'google',
  text: '# of the team\nAQ.no-key-either=blue\nanam:no-key-of-anam=studio',
};

const MAX_TEXT = 2000;

/** Texts of keys are checked by the registry, whose sentences never quote them. */
function createSchemas(providers: readonly ProviderFacts[]) {
  const provider = z.enum(providers.map(({ name }) => name)).meta({ examples: ['google'] });
  const key = z.string().max(MAX_TEXT).meta({ description: 'The text of the key.' });
  const label = z.string().trim().max(MAX_TEXT).nullable().exactOptional();
  const labels = {
    project: label.meta({
      description: 'Keys of one project share a quota. Null: the key has a project of its own.',
    }),
    billing: label.meta({
      description: 'The billing account of its project, which all its keys have.',
    }),
    personaId: label.meta({ description: "A saved persona of the key's own account." }),
  };
  return {
    add: note.extend({ provider, key, ...labels }).meta({ id: 'NewKey', description: 'A key.' }),
    import: note
      .extend({
        text: z.string().meta({ description: `At most ${MAX_CHANGES} lines.` }),
        provider: provider.optional().meta({ description: 'Of the lines that name none.' }),
      })
      .meta({ id: 'KeyImport', description: 'Many keys.' }),
    label: note
      .extend(labels)
      .refine((body) => LABELS.some((name) => body[name] !== undefined), NAMES_NO_LABEL)
      .meta({ id: 'KeyLabels', description: 'The labels that change: at least one.' }),
    replace: note.extend({ key }).meta({ id: 'KeyReplacement', description: 'Another text.' }),
  };
}

type Schemas = ReturnType<typeof createSchemas>;

const warnings = z.array(z.string()).meta({
  description: 'What looks wrong about the text of the key.',
});

const changedKey = z
  .strictObject({ key: keyReport, ...keptWhere, warnings })
  .meta({ id: 'ChangedKey' });

const releasedKey = z
  .strictObject({
    key: keyReport,
    check: keyCheck.nullable().meta({ description: 'Null: it was not checked.' }),
    sentence: z.string().meta({ description: 'What was done, in plain words.' }),
  })
  .meta({ id: 'ReleasedKey' });

const retiredKey = z.strictObject({ id: keyId, ...keptWhere }).meta({ id: 'RetiredKey' });

const line = z.int().min(1).meta({ description: 'The number of the line.' });

const imported = z
  .strictObject({
    added: z.array(z.strictObject({ line, id: keyId, warnings })),
    skipped: z.array(z.strictObject({ line, why: z.string() })),
    ...keptWhere,
  })
  .meta({ id: 'ImportedKeys' });

const exportQuery = z.strictObject({
  format: z.enum(['json', 'csv']).default('json'),
});

const exportedKey = z.strictObject({
  ...keyReport.pick({ id: true, fingerprint: true, project: true, billing: true, personaId: true })
    .shape,
  provider: z.string().meta({ examples: ['google'] }),
  origin: z.enum(KEY_ORIGINS),
  state: z.enum([...KEY_STATES, ...UNUSED]).meta({ description: 'For the default model.' }),
});

const exported = z.strictObject({ keys: z.array(exportedKey) }).meta({ id: 'ExportedKeys' });

type ExportedKey = z.output<typeof exportedKey>;

function addKey({ registry, providers, view }: KeyRoutesOptions, schema: Schemas['add']) {
  return async function postKey(request: Request, response: Response): Promise<void> {
    const { provider, key, ...body } = validateQuietly(schema, request.body);
    const text = cleanText(key);
    const added = await asHttp(
      registry.add([{ provider, text, ...NO_LABELS, ...labelsOf(body) }], orderIn(response, body)),
      (path) => path.replace(/^0\./, ''),
    );
    const [addition] = added;
    if (addition !== undefined && 'sameAs' in addition) {
      throw httpErrorOf(registry.taken(addition.sameAs));
    }
    const id = addition !== undefined && 'id' in addition ? addition.id : '';
    sendJson(response, 201, {
      key: reportOf(view, id),
      ...placeOf(registry.storage),
      warnings: shapeWarnings(text, provider, providers),
    });
  };
}

/** The labels that the body names. An empty text removes the label. */
function labelsOf(body: Labels): Labels {
  const given = LABELS.filter((name) => body[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, body[name] || null]));
}

const LABELS = ['project', 'billing', 'personaId'] as const satisfies (keyof Labels)[];
const NAMES_NO_LABEL = 'Name at least one label: project, billing or personaId.';
const NO_LABELS = { project: null, billing: null, personaId: null };

function importKeys(
  { registry, providers }: KeyRoutesOptions,
  schema: Schemas['import'],
): RequestHandler {
  return async function postKeys(request, response) {
    const { text, provider = null, ...body } = validateQuietly(schema, request.body);
    const names = providers.map(({ name }) => name);
    const { keys, faults } = readImport(text, provider, names);
    if (keys.length + faults.length > MAX_CHANGES) {
      throw invalidField('text', `Must not have more than ${MAX_CHANGES} keys.`);
    }
    if (keys.length + faults.length === 0) throw invalidField('text', 'Holds no key.');
    if (faults.length > 0) {
      throw invalidRequest(
        faults.map(({ line: number, field, message }) => ({
          path: field === null ? `line ${number}` : `line ${number}: ${field}`,
          message,
        })),
      );
    }
    const lineOf = (index: string | number) => keys[Number(index)]?.line ?? 0;
    const additions = await asHttp(registry.add(keys, orderIn(response, body)), (path) => {
      const [index = '', field] = path.split('.');
      return `line ${lineOf(index)}: ${field}`;
    });
    sendJson(response, 200, {
      added: keys.flatMap((key, index) => addedLine(key, additions[index], providers)),
      skipped: keys.flatMap((key, index) => skippedLine(key, additions[index], lineOf)),
      ...placeOf(registry.storage),
    });
  };
}

const addedLine = (
  { line: number, text, provider }: ImportedKey,
  addition: Addition | undefined,
  providers: readonly ProviderFacts[],
) =>
  addition !== undefined && 'id' in addition
    ? [{ line: number, id: addition.id, warnings: shapeWarnings(text, provider, providers) }]
    : [];

function skippedLine(
  { line: number }: ImportedKey,
  addition: Addition | undefined,
  lineOf: (index: number) => number,
) {
  if (addition === undefined || 'id' in addition) return [];
  const other = 'sameAs' in addition ? addition.sameAs : `line ${lineOf(addition.sameAsNew)}`;
  return [{ line: number, why: `The same key as ${other}.` }];
}

function exportKeys({ view, registry }: KeyRoutesOptions): RequestHandler {
  return function getExport({ query }, response) {
    const { format } = validate(exportQuery, query);
    const states = new Map(
      defaultTargets(view.targets).flatMap((target) =>
        view.states(target).map(({ id, state }) => [id, state]),
      ),
    );
    const keys = [...registry.all()].map((known) => exportKey(known, states.get(known.key.id)));
    if (format === 'json') sendJson(response, 200, { keys });
    else {
      const rows = keys.map((key) => COLUMNS.map((column) => key[column]));
      sendCsv(response, 'keys.csv', [COLUMNS, ...rows]);
    }
  };
}

const exportKey = (
  { key, origin, use }: KnownKey,
  state: ListedState['state'] = 'available',
): ExportedKey => ({
  id: key.id,
  fingerprint: fingerprintOf(key),
  provider: key.provider,
  project: key.project,
  billing: key.billing ?? null,
  personaId: key.personaId ?? null,
  origin,
  state: use === 'used' ? state : use,
});

const COLUMNS = [
  'id',
  'fingerprint',
  'provider',
  'project',
  'billing',
  'personaId',
  'origin',
  'state',
] as const satisfies (keyof ExportedKey)[];

function postChange<Body extends OperatorNote>(
  { view, registry, providers }: KeyRoutesOptions,
  schema: z.ZodType<Body>,
  change: (id: string, body: Body, order: Order) => Promise<void>,
): RequestHandler {
  return async function changeKey(request, response) {
    const id = String(request.params.id);
    const body = validateQuietly(schema, bodyOrNone(request));
    await asHttp(change(id, body, orderIn(response, body)));
    const { provider } = registry.get(id)?.key ?? {};
    const text = 'key' in body && typeof body.key === 'string' ? cleanText(body.key) : null;
    const isNew = text !== null && provider !== undefined;
    sendJson(response, 200, {
      key: reportOf(view, id),
      ...placeOf(registry.storage),
      warnings: isNew ? shapeWarnings(text, provider, providers) : [],
    });
  };
}

function releaseKey({ view, registry, checks }: KeyRoutesOptions): RequestHandler {
  return async function release(request, response) {
    const id = String(request.params.id);
    const { force = false, ...body } = validateQuietly(releaseBody, bodyOrNone(request));
    const { key, use } = registry.get(id) ?? {};
    const isChecked = key !== undefined && use === 'used' && !force && view.actions.needsAction(id);
    const found = isChecked ? await checkBeforeRelease(key, checks) : UNCHECKED;
    const order = orderIn(response, body);
    await asHttp(whereUsed(registry, id, () => view.actions.release(id, order)));
    sendJson(response, 200, { key: reportOf(view, id), ...found });
  };
}

const UNCHECKED = { check: null, sentence: 'Released without a check.' };

function retireKey({ registry }: KeyRoutesOptions): RequestHandler {
  return async function retire(request, response) {
    const id = String(request.params.id);
    const body = validateQuietly(note, bodyOrNone(request));
    await asHttp(registry.retire(id, orderIn(response, body)));
    sendJson(response, 200, { id, ...placeOf(registry.storage) });
  };
}

/** @throws KeyChangeError for a key that is not in the pool */
async function whereUsed(registry: KeyRegistry, id: string, act: () => boolean): Promise<void> {
  const { use = 'used' } = registry.get(id) ?? {};
  if (use !== 'used') {
    throw new KeyChangeError('conflict', `${id} is ${use}: resume it instead.`);
  }
  if (!act()) throw new KeyChangeError('not_found', 'There is no such key.');
}

/** As `validate`, but people paste keys into the wrong places, and no fault may quote one. */
function validateQuietly<T>(schema: z.ZodType<T>, value: unknown): T {
  try {
    return validate(schema, value);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    throw invalidRequest(
      error.details.map(({ path, message }) => ({
        path: NAME_OF_FIELD.test(path) ? path : '',
        message,
      })),
    );
  }
}

const NAME_OF_FIELD = /^[A-Za-z]{1,20}$/;

async function asHttp<T>(changed: Promise<T>, pathOf = (path: string) => path): Promise<T> {
  try {
    return await changed;
  } catch (error) {
    throw error instanceof KeyChangeError ? httpErrorOf(error, pathOf) : error;
  }
}

function httpErrorOf(error: KeyChangeError, pathOf = (path: string) => path): HttpError {
  const { code, message, details, cause } = error;
  if (details.length === 0) return new HttpError(code, message, { cause });
  return invalidRequest(details.map((detail) => ({ ...detail, path: pathOf(detail.path) })));
}
