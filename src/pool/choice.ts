import type { ApiKey } from '../shared/api-key.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { FeatureParks } from './feature-parks.ts';

/** Which keys one request may have. */
export interface Choice {
  /** Ids of keys that must not be chosen. */
  readonly except?: ReadonlySet<string>;
  /** Whether the request can use a key at all; without it, any. */
  readonly only?: (key: ApiKey) => boolean;
  /** Called only when it matters: after a refusal, or while a feature is parked. Default: plain. */
  readonly shape?: () => RequestShape;
}

/** Whether a key may be chosen; null where every one may, so that nobody has to be asked. */
export type Allows = ((key: ApiKey) => boolean) | null;

export const EVERY_KEY: Allows = null;

/** The feature of a request, while any is parked; null where it makes no difference. */
export const featureOf = ({ shape }: Choice, parks: FeatureParks, now: number): string | null =>
  shape === undefined || parks.isEmpty(now) ? null : shape().feature;

/** @param parks the features that are parked for the model */
export function allowedBy(choice: Choice, parks: FeatureParks, now: number): Allows {
  const { except, only } = choice;
  const feature = featureOf(choice, parks, now);
  const rules: ((key: ApiKey) => boolean)[] = [];
  if (except !== undefined && except.size > 0) rules.push(({ id }) => !except.has(id));
  if (only !== undefined) rules.push(only);
  if (feature !== null) rules.push(({ project }) => !parks.isParked(project, feature, now));
  const [first] = rules;
  if (first === undefined) return EVERY_KEY;
  return rules.length === 1 ? first : (key) => rules.every((allows) => allows(key));
}
