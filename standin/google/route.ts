/** What a path of Google's asks for. */
export interface GoogleRoute {
  readonly version: string;
  /** Empty for the list of models. */
  readonly model: string;
  /** `generateContent` and the like; `getModel` and `listModels` for reading. */
  readonly method: string;
}

const MODELS_PATH = /^\/(v1|v1alpha|v1beta)\/models(?:\/([^/:]+)(?::(\w+))?)?$/;

/** @returns null for a path that is none of Google's. */
export function googleRoute(path: string): GoogleRoute | null {
  const match = MODELS_PATH.exec(path);
  if (match === null) return null;
  const [, version = '', model = '', method] = match;
  return { version, model, method: method ?? (model === '' ? 'listModels' : 'getModel') };
}

/** `GET` for reading, `POST` for the rest: with the other verb no method lives there. */
export const isVerbOf = (verb: string, { method }: GoogleRoute) =>
  verb === (method === 'listModels' || method === 'getModel' ? 'GET' : 'POST');
