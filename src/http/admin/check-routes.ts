import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import { keyCheck, keyReport } from '../../observability/reports.ts';
import type { KeyPool } from '../../pool/key-pool.ts';
import type { KeyChecks } from '../../services/key-check.ts';
import type { KeyRegistry } from '../../services/key-registry.ts';
import type { ApiKey } from '../../shared/api-key.ts';
import type { KeyCheck } from '../../shared/key-check.ts';
import { defaultTargets, type Target } from '../../shared/target.ts';
import { bodyOrNone, readJsonBody, validate } from '../body.ts';
import { HttpError } from '../errors.ts';
import { sendJson } from '../reply.ts';
import { jsonAnswer, type Route } from '../route.ts';
import type { AdminAccess } from './admin-access.ts';

export interface KeyCheckParts {
  readonly checks: KeyChecks;
  readonly pool: Pick<KeyPool, 'keys'>;
  readonly registry: KeyRegistry;
  readonly view: AdminView;
}

/** In bytes. */
const MAX_BODY = 1024;
/** For all keys; proxies end a request without an answer after a minute or more. */
const ALL_LIMIT_MS = 50_000;

export function checkRoutes(
  access: Pick<AdminAccess, 'require'>,
  { view, checks, pool, registry }: KeyCheckParts,
): Route[] {
  const readBody = readJsonBody(MAX_BODY);
  const allBody = createAllBody(view.targets);
  const common = { method: 'post', tag: 'Admin', auth: 'admin' } as const;
  return [
    {
      ...common,
      path: '/api/keys/{id}/check',
      id: 'checkKey',
      summary: 'Check a key without using quota',
      description: `${HOW} A key that the provider rejects is parked; one that was rejected before and works is used again.`,
      params: z.object({ id: z.string().meta({ examples: ['google-2'] }) }),
      answer: jsonAnswer('The outcome of the check, and the present state of the key.', checkedKey),
      errors: ['not_found'],
      handlers: [
        access.require,
        async ({ params }, response) => {
          const id = String(params.id);
          const check = await checks.check(keyOf(id, registry));
          sendJson(response, 200, { key: reportOf(view, id), check });
        },
      ],
    },
    {
      ...common,
      path: '/api/keys/check',
      id: 'checkKeys',
      summary: 'Check all keys without using quota',
      description: `${HOW} Eight at a time, for at most ${ALL_LIMIT_MS / 1000} seconds.`,
      body: {
        schema: allBody,
        isRequired: false,
        examples: { all: { value: {} } },
      },
      answer: jsonAnswer('The outcome of each check, in the order of the keys.', checkedKeys),
      handlers: [
        access.require,
        readBody,
        async (request, response) => {
          const { service } = validate(allBody, bodyOrNone(request));
          const asked = pool.keys.filter(({ provider }) => (service ?? provider) === provider);
          const checked = await checks.checkAll(asked, ALL_LIMIT_MS);
          const reports = checked.map(({ key: { id }, check }) => ({ id, ...check }));
          sendJson(response, 200, { checks: reports });
        },
      ],
    },
  ];
}

const HOW =
  'Google counts the tokens of one word, Anam lists a persona. It shows whether the provider accepts the key, and nothing of its quota.';

const checkedKey = z.strictObject({ key: keyReport, check: keyCheck }).meta({ id: 'CheckedKey' });

const checkedKeys = z
  .strictObject({ checks: z.array(keyCheck.extend({ id: keyReport.shape.id })) })
  .meta({ id: 'CheckedKeys' });

/** @param targets decide which services there are */
const createAllBody = (targets: readonly Target[]) =>
  z
    .strictObject({
      service: z
        .enum(defaultTargets(targets).map(({ provider }) => provider))
        .optional()
        .meta({ description: 'Only the keys of this service.' }),
    })
    .meta({ id: 'CheckKeysRequest', description: 'May be empty, or nothing at all.' });

/** The report of a key for the default model of its service. */
export function reportOf({ targets, keys }: AdminView, id: string) {
  const [report] = keys(defaultTargets(targets).map((target) => ({ target, id })));
  return report;
}

/** @throws HttpError 404 */
function keyOf(id: string, registry: KeyRegistry): ApiKey {
  const { key } = registry.get(id) ?? {};
  if (key === undefined) throw new HttpError('not_found', 'There is no such key.');
  return key;
}

/**
 * Checks a key that is about to be released.
 *
 * @throws HttpError 409 if the provider still refuses it
 */
export async function checkBeforeRelease(
  key: ApiKey,
  checks: KeyChecks,
): Promise<{ readonly check: KeyCheck; readonly sentence: string }> {
  const check = await checks.check(key);
  const { verdict, sentence } = check;
  if (verdict === 'rejected' || verdict === 'no_credit') {
    throw new HttpError('check_failed', `${sentence} ${NOT_RELEASED}`);
  }
  return { check, sentence: `${BEGINNINGS[verdict] ?? 'Released.'} ${sentence}` };
}

const NOT_RELEASED = '— The key was not released: fix it at the provider, or release it by force.';

const BEGINNINGS: Partial<Record<KeyCheck['verdict'], string>> = {
  unreachable: 'Released, although the check got no answer.',
  unknown: 'Released, although the check proved nothing.',
};
