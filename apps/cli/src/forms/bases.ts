/**
 * Room: domain. Where a form starts from: the container image and the Vagrant box of a system, by the names
 * under which its makers publish them.
 *
 * I1: a name is made of what an os-release may hold and nothing else; a system that has none is refused,
 *     with words that say how to name one.
 */

import type { OperatingSystem } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';

/** A version as these names have it: `12`, `22.04`, `9.4`. */
const VERSION = /^[0-9]{1,4}(?:\.[0-9]{1,3}){0,2}$/;

const DEBIAN_NAMES: Readonly<Record<string, string>> = {
  ...{ 8: 'jessie', 9: 'stretch', 10: 'buster', 11: 'bullseye', 12: 'bookworm', 13: 'trixie' },
};

type ByVersion = (version: string, major: string) => string | undefined;

const IMAGES: Readonly<Record<string, ByVersion>> = {
  debian: (version) => `debian:${version}`,
  ubuntu: (version) => `ubuntu:${version}`,
  fedora: (version) => `fedora:${version}`,
  centos: (_, major) =>
    Number(major) < 8 ? `centos:${major}` : `quay.io/centos/centos:stream${major}`,
  almalinux: (_, major) => `almalinux:${major}`,
  rocky: (_, major) => `rockylinux/rockylinux:${major}`,
  ol: (_, major) => `oraclelinux:${major}`,
  rhel: (_, major) => `redhat/ubi${major}`,
  amzn: (version) => `amazonlinux:${version}`,
};

const BOXES: Readonly<Record<string, ByVersion>> = {
  debian: (_, major) => {
    const name = DEBIAN_NAMES[major];
    return name === undefined ? undefined : `debian/${name}64`;
  },
  ubuntu: (version) => `bento/ubuntu-${version}`,
  fedora: (version) => `bento/fedora-${version}`,
  centos: (_, major) => (Number(major) < 8 ? `centos/${major}` : `bento/centos-stream-${major}`),
  almalinux: (_, major) => `almalinux/${major}`,
  rocky: (_, major) => `bento/rockylinux-${major}`,
  ol: (_, major) => `bento/oraclelinux-${major}`,
  rhel: (_, major) => `generic/rhel${major}`,
  amzn: (version) => `bento/amazonlinux-${version}`,
};

/** The container image of a system. Throws `unsupported_format`. */
export function containerImage(os: OperatingSystem): string {
  return baseOf(IMAGES, os, 'container image');
}

/** The Vagrant box of a system. Throws `unsupported_format`. */
export function vagrantBox(os: OperatingSystem): string {
  return baseOf(BOXES, os, 'Vagrant box');
}

function baseOf(
  bases: Readonly<Record<string, ByVersion>>,
  os: OperatingSystem,
  what: string,
): string {
  const isKnown = Object.hasOwn(bases, os.id) && VERSION.test(os.versionId);
  const [major = ''] = os.versionId.split('.');
  const base = isKnown ? bases[os.id]!(os.versionId, major) : undefined;
  if (base !== undefined) return base;
  throw new VmdnError(
    'unsupported_format',
    `No ${what} of this system is known. Name one: --base NAME`,
    {
      data: { os: os.id, version: os.versionId },
    },
  );
}
