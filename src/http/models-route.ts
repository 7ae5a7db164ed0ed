import type { RequestHandler } from 'express';
import { MODELS_PATH } from './gemini/read-call.ts';
import { HttpError } from './http-error.ts';
import { sendJson } from './send-json.ts';

/** `GET /v1/models` and `/v1/models/{model}`, in OpenAI's form: the models that are served. */
export function openaiModelsRoute(models: readonly string[], startedAt: number): RequestHandler {
  const described = models.map((id) => ({
    id,
    object: 'model',
    created: Math.floor(startedAt / 1000),
    owned_by: 'google',
  }));
  return function getModels({ path }, response) {
    const model = MODELS_PATH.exec(path)?.groups?.model;
    if (model === undefined) {
      sendJson(response, 200, { object: 'list', data: described });
      return;
    }
    const found = described.find(({ id }) => id === model);
    if (found === undefined) throw notServed();
    sendJson(response, 200, found);
  };
}

const notServed = () => new HttpError(404, 'model_unavailable', 'This model is not served.');
