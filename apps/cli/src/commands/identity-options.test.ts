import { describe, expect, it } from 'vitest';
import { identityBody, networksBody } from './identity-options.ts';

describe('networks on the command line', () => {
  it('are a map, and nothing where nothing is said', () => {
    expect(networksBody({})).toEqual({});
    expect(networksBody({ network: ['default=lan', 'dmz=user'] })).toEqual({
      networks: { default: 'lan', dmz: 'user' },
    });
  });

  it.each(['lan', '=lan', 'lan=', 'a=b=c', '-a=b', '__proto__=b', 'a=--help'])(
    'are refused as %s',
    (raw) => {
      expect(() => networksBody({ network: [raw] })).toThrow(
        expect.objectContaining({ code: 'invalid_input' }),
      );
    },
  );

  it('are named once each', () => {
    expect(() => networksBody({ network: ['a=b', 'a=c'] })).toThrow(/"a" a second time/);
  });
});

describe('an identity on the command line', () => {
  it('is one of two, with a host name', () => {
    expect(identityBody({})).toEqual({});
    const fresh = { identity: 'fresh', hostname: 'web-02.example.org' };
    expect(identityBody(fresh)).toEqual(fresh);
    expect(() => identityBody({ identity: 'new' })).toThrow(/there are same and fresh/);
    expect(() => identityBody({ hostname: '-x' })).toThrow(/no host name/);
  });
});
