/** OpenTelemetry's advice for the calls to a provider, in seconds. */
export const OPERATION_SECONDS = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/** OpenTelemetry's advice for tokens: the powers of four. */
export const TOKENS = Array.from({ length: 14 }, (_, power) => 4 ** power);

/** OpenTelemetry's advice for answered HTTP requests, in seconds. */
export const HTTP_SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

/** In line, in seconds: most wait at most `KEY_WAIT_SECONDS`, a few for the outcome of a trial. */
export const WAIT_SECONDS = [0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10, 20, 30, 60];

/** How often something was done for one request. */
export const TIMES = [0, 1, 2, 3, 5, 10, 20, 50, 100];
