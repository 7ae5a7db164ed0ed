import { UpstreamError } from '../shared/failure.ts';

/** The same, told as what concerns this key alone and parks nothing: another one may do. */
export const elsewhere = ({ failure: { message }, refusal }: UpstreamError): UpstreamError =>
  new UpstreamError({ kind: 'model_unavailable', whose: 'caller', message }, refusal);
