/**
 * Room: io, command. Which Debian package brings a tool, so that a missing one is a command to type.
 */

const PACKAGE_OF: Readonly<Record<string, string>> = {
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-storage-daemon': 'qemu-system-common',
  nbdcopy: 'libnbd-bin',
  nbdfuse: 'libnbd-bin',
  nbdinfo: 'libnbd-bin',
  debugfs: 'e2fsprogs',
  dumpe2fs: 'e2fsprogs',
  mke2fs: 'e2fsprogs',
  openssl: 'openssl',
  fusermount3: 'fuse3',
  setpriv: 'util-linux',
  virsh: 'libvirt-clients',
  guestfish: 'guestfish libguestfs-xfs linux-image-cloud-amd64 rpm',
  supermin: 'guestfish libguestfs-xfs linux-image-cloud-amd64 rpm',
  vmlinuz: 'linux-image-cloud-amd64',
  rsync: 'rsync',
  casync: 'casync',
  'dpkg-deb': 'dpkg',
  xz: 'xz-utils',
  bzip2: 'bzip2',
  rpm2cpio: 'rpm2cpio',
  gpgv: 'gpgv',
  mmdebstrap: 'mmdebstrap',
};

/** What to tell somebody whose machine lacks `tool`. */
export function missingToolMessage(tool: string): string {
  const name = PACKAGE_OF[tool];
  return name === undefined
    ? `The program ${tool} is not installed or not in the search path.`
    : `The program ${tool} is missing; install it with: apt-get install ${name}`;
}
