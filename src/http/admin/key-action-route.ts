import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import type { Order } from '../../observability/operator-actions.ts';
import { SERVICES } from '../../shared/api-key.ts';
import { HttpError } from '../http-error.ts';
import { bodyOrNone, validate } from '../json-body.ts';
import { sendJson } from '../send-json.ts';
import { adminOf } from './admin-of.ts';

const MAX_SECONDS = 7 * 86_400;
const note = z.string().trim().max(200);

const whoAndWhy = {
  by: note.optional().meta({
    description: 'Who does it, for the log. Default: the name that was given at the login.',
  }),
  reason: note.optional().meta({ description: 'Why, for the log.' }),
};

export const releaseBody = z
  .strictObject(whoAndWhy)
  .meta({ title: 'ReleaseRequest', description: 'May be empty, or nothing at all.' });

export const parkBody = z
  .strictObject({
    ...whoAndWhy,
    seconds: z.number().min(1).max(MAX_SECONDS).optional().meta({
      description: 'How long, from now, in seconds. Default: `KEY_COOLDOWN_SECONDS`.',
    }),
  })
  .meta({ title: 'ParkRequest', description: 'May be empty, or nothing at all.' });

/** `POST /api/keys/{id}/release`: the key may be used again, whatever was found about it. */
export function releaseRoute(view: AdminView): RequestHandler {
  return async function postRelease(request, response) {
    const body = validate(releaseBody, bodyOrNone(request));
    const isFound = view.actions.release(idIn(request), orderIn(request, body));
    if (!isFound) throw noSuchKey();
    sendJson(response, 200, { key: await reportOf(view, request) });
  };
}

/** `POST /api/keys/{id}/park`: the key is used no more, until its time has passed or somebody releases it. */
export function parkRoute(view: AdminView, cooldownMs: number): RequestHandler {
  return async function postPark(request, response) {
    const { seconds = cooldownMs / 1000, ...body } = validate(parkBody, bodyOrNone(request));
    const isFound = view.actions.park(idIn(request), seconds * 1000, orderIn(request, body));
    if (!isFound) throw noSuchKey();
    sendJson(response, 200, { key: await reportOf(view, request) });
  };
}

const idIn = ({ params }: Request) => String(params.id);

/** Who has logged in with a name need not give it again. */
function orderIn(request: Request, { by = '', reason = '' }: z.output<typeof releaseBody>): Order {
  return {
    requestId: String(request.id),
    who: by || (adminOf(request)?.name ?? null),
    why: reason || null,
  };
}

async function reportOf({ models, keys }: AdminView, request: Request) {
  const id = idIn(request);
  const [report] = await keys(
    SERVICES.map((service) => ({ service, model: models[service][0], id })),
  );
  return report;
}

const noSuchKey = () => new HttpError(404, 'not_found', 'There is no such key.');
