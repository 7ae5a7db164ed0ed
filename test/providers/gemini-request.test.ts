import { describe, expect, it } from 'vitest';
import {
  answerOf,
  badRequest,
  bare,
  classify,
  errorInfo,
  exhausted,
  googleAnswer,
  HTML,
} from './gemini-answers.ts';

const REJECTED = { kind: 'key_rejected' };
const rejectedAs = (rejection: string) => ({ ...REJECTED, rejection });
const UNKNOWN = rejectedAs('unknown');
const NO_CREDIT = { kind: 'out_of_credit' };
const FAULT = { kind: 'request_fault' };
const FAULT_OF_RESOURCE = { ...FAULT, about: 'resource' };
const OURS = { kind: 'misconfigured' };
const NOT_FOR_THIS_KEY = { kind: 'model_unavailable', whose: 'key' };
const FREE_TIER = 'Gemini API free tier is not available in your country.';
const ENABLE_BILLING = 'Please enable billing on your project in Google AI Studio.';

describe('a 400', () => {
  it.each([
    ['API key not valid. Please pass a valid API key.', [errorInfo('API_KEY_INVALID')], UNKNOWN],
    ['Bad key', [{ reason: 'API_KEY_INVALID' }], UNKNOWN],
    ['API key expired. Please renew the API key.', [], rejectedAs('expired')],
    ['API Key not found. Please pass a valid API key.', [], UNKNOWN],
    ['Cache content 42 is expired.', [], FAULT],
    ['The input token count exceeds the maximum number of tokens allowed.', [], FAULT],
    ['Unknown name "API key expired": Cannot find field.', [badRequest('Cannot find')], FAULT],
    [`${FREE_TIER} ${ENABLE_BILLING}`, [], NO_CREDIT],
    [`Unknown name "${FREE_TIER} ${ENABLE_BILLING}"`, [], FAULT],
    ['Unsupported MIME type: API key expired. Please renew the API key.', [], FAULT],
  ])('%s', (message, details, expected) => {
    const answer = googleAnswer(400, 'INVALID_ARGUMENT', message, details);
    expect(bare(classify(answer))).toEqual(expected);
  });

  it('is ours to mend when our address is in the wrong country', () => {
    const message = 'User location is not supported for the API use.';
    const answer = googleAnswer(400, 'FAILED_PRECONDITION', message);
    expect(bare(classify(answer))).toEqual(OURS);
  });

  it('is ours to mend when it is a page', () => {
    expect(bare(classify(answerOf(400, HTML)))).toEqual(OURS);
  });

  it("is the request's fault when nothing is said", () => {
    expect(bare(classify(answerOf(400, '')))).toEqual(FAULT);
  });
});

describe('a 401', () => {
  it.each(['ACCESS_TOKEN_TYPE_UNSUPPORTED', 'CREDENTIALS_MISSING'])(
    'means a bad key: %s',
    (why) => {
      const answer = googleAnswer(401, 'UNAUTHENTICATED', 'Invalid credentials.', [errorInfo(why)]);
      expect(bare(classify(answer))).toEqual(REJECTED);
    },
  );
});

describe('a 402', () => {
  it('means money, whatever name its body gives', () => {
    expect(bare(classify(answerOf(402, '')))).toEqual(NO_CREDIT);
    expect(bare(classify({ ...exhausted('Pay first'), status: 402 }))).toEqual(NO_CREDIT);
  });
});

describe('a 403', () => {
  it.each([
    ['CONSUMER_SUSPENDED', rejectedAs('suspended')],
    ['CONSUMER_INVALID', REJECTED],
    ['SERVICE_DISABLED', REJECTED],
    ['API_KEY_SERVICE_BLOCKED', rejectedAs('blocked')],
    ['API_KEY_HTTP_REFERRER_BLOCKED', rejectedAs('blocked')],
    ['API_KEY_IP_ADDRESS_BLOCKED', rejectedAs('blocked')],
    ['API_KEY_ANDROID_APP_BLOCKED', rejectedAs('blocked')],
    ['API_KEY_IOS_APP_BLOCKED', rejectedAs('blocked')],
  ])('for the reason %s means a bad key', (reason, expected) => {
    const answer = googleAnswer(403, 'PERMISSION_DENIED', 'No.', [errorInfo(reason)]);
    expect(bare(classify(answer))).toEqual(expected);
  });

  it.each([
    ['Your API key was reported as leaked. Please use another API key.', rejectedAs('leaked')],
    ['Your project has been denied access. Please contact support.', REJECTED],
    ["Permission denied: Consumer 'api_key:x' has been suspended.", rejectedAs('suspended')],
    ['Generative Language API has not been used in project 1 before.', REJECTED],
    ['Requests from referer <empty> are blocked.', rejectedAs('blocked')],
    ['Spend cap reached for this project.', NO_CREDIT],
    ['This API method requires billing to be enabled.', NO_CREDIT],
    ['CachedContent not found (or permission denied)', FAULT_OF_RESOURCE],
    ['You do not have permission to access the File abc or it may not exist.', FAULT_OF_RESOURCE],
    ['The caller does not have permission', NOT_FOR_THIS_KEY],
    ['Something never heard of', NOT_FOR_THIS_KEY],
  ])('%s', (message, expected) => {
    expect(bare(classify(googleAnswer(403, 'PERMISSION_DENIED', message)))).toEqual(expected);
  });

  it.each([
    ['a page, whatever it says', '<html>You have been denied access</html>'],
    ['a text of some proxy', 'Forbidden'],
    ['empty', ''],
  ])('is ours to mend when it is %s', (_title, body) => {
    expect(bare(classify(answerOf(403, body)))).toEqual(OURS);
  });

  it('means money when billing is switched off', () => {
    const details = [errorInfo('BILLING_DISABLED')];
    expect(bare(classify(googleAnswer(403, 'PERMISSION_DENIED', 'No.', details)))).toEqual(
      NO_CREDIT,
    );
  });
});

describe('a 404', () => {
  it.each([
    ['models/x is not found for API version v1beta.', NOT_FOR_THIS_KEY],
    ['This model is no longer available to new users.', NOT_FOR_THIS_KEY],
    ['CachedContent not found', FAULT_OF_RESOURCE],
    ['files/abc is not found', FAULT_OF_RESOURCE],
  ])('%s', (message, expected) => {
    expect(bare(classify(googleAnswer(404, 'NOT_FOUND', message)))).toEqual(expected);
  });

  it.each([
    ['a page', HTML],
    ['empty', ''],
    ['a text', '404 page not found'],
    ["JSON in another service's form", '{"detail":"Not Found"}'],
  ])('means a wrong base URL when it is %s', (_title, body) => {
    expect(bare(classify(answerOf(404, body)))).toEqual(OURS);
  });
});
