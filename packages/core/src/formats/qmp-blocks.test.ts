import { expect, test } from 'vitest';
import { parseBlockNodes, parseDescriptorSets, parseRunState } from './qmp-blocks.ts';

test('the nodes of the block graph by name, and what each is opened on', () => {
  const answer = [
    { 'node-name': 'disk0', drv: 'qcow2', file: '/dev/fdset/4' },
    { 'node-name': 'export0', file: 'nbd+unix:///d?socket=/run/nbd' },
  ];
  expect(parseBlockNodes(answer).get('disk0')).toBe('/dev/fdset/4');
  expect([...parseBlockNodes(answer).keys()]).toEqual(['disk0', 'export0']);
});

test('the set of descriptors of a file, by what was said of it', () => {
  const answer = [
    { 'fdset-id': 3, fds: [{ fd: 3, opaque: '2049:17' }] },
    { 'fdset-id': 4, fds: [{ fd: 9 }] },
    { 'fdset-id': 5, fds: [] },
  ];
  expect([...parseDescriptorSets(answer)]).toEqual([['2049:17', 3]]);
});

test('whether the guest runs, or why not', () => {
  expect(parseRunState({ status: 'io-error', running: false })).toBe('io-error');
});

test.each([null, {}, [{}], [{ 'fdset-id': -1, fds: [] }], [{ 'node-name': 5 }]])(
  'I1: nonsense is called so: %j',
  (answer) => {
    expect(() => parseBlockNodes(answer)).toThrow('nonsense');
    expect(() => parseDescriptorSets(answer)).toThrow('nonsense');
    expect(() => parseRunState(answer)).toThrow('nonsense');
  },
);
