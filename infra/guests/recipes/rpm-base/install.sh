# shellcheck shell=sh
# Runs inside the installed tree: makes RPM packages of what dpkg installed there and of files of our own, and
# installs some of them into /appliance by rpm, with their scripts and a database of their own.
kernel=$(basename /lib/modules/*)
root=/appliance
work=/tmp/rpm
rpms=$work/RPMS
mkdir -p "$root" "$rpms"
export SOURCE_DATE_EPOCH=1700000000

# A stage is the tree of one package to be.
stage() {
  stage=$work/stage
  rm -rf "$stage"
  mkdir -p "$stage"
}

# Copies a file of this tree to the stage, by its real folder: rpm does not install through links.
put() {
  folder=$(realpath -- "$(dirname "$1")")
  mkdir -p "$stage$folder"
  cp -a -- "$1" "$stage$folder/"
}

# build NAME EPOCH VERSION RELEASE: of the stage. More of the spec file is read from standard input.
build() {
  {
    printf 'Name: %s\nEpoch: %s\nVersion: %s\nRelease: %s\nSummary: %s, of files from Debian\n' "$1" "$2" "$3" "$4" "$1"
    printf 'License: see Debian\n'
    # No dependencies on interpreters of files that are never run here, no debug packages, nothing stripped.
    printf '%%define debug_package %%{nil}\n%%define __os_install_post %%{nil}\n'
    sed -n '/^[A-Z][a-z]*:/p' "$work/more.spec"
    printf '%%description\nMade of files from Debian for a guest to test with.\n'
    printf '%%install\ncp -a %s/. %%{buildroot}/\n' "$stage"
    sed '/^[A-Z][a-z]*:/d' "$work/more.spec"
    printf '%%files\n'
    if [ "$1" = filesystem ]; then find "$stage" -mindepth 1 -type d -printf '%%dir "/%P"\n'; fi
    find "$stage" ! -type d -printf '"/%P"\n'
  } >"$work/$1.spec"
  rpmbuild -bb --quiet --target x86_64 --define "_topdir $work" --define "_rpmdir $rpms" \
    --define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
    --define 'use_source_date_epoch_as_buildtime 1' --define '_buildhost guests' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define '_binary_payload w3.zstdio' "$work/$1.spec"
}

# convert DEBIAN-PACKAGE [NAME]: its files but for documentation. The rest of the spec file comes from stdin.
convert() {
  cat >"$work/more.spec"
  stage
  dpkg-query -L "$1" | grep -Ev '^/usr/share/(doc|man|info|lintian|locale|bug)|/gconv|^/etc/init|^/lib/systemd' |
    grep -Ev '/rpm-plugins/|/libgcrypt20/|c\+\+' |
    while read -r path; do
      if [ -L "$path" ] || [ -f "$path" ]; then put "$path"; fi
    done
  version=$(dpkg-query -W -f '${Version}' "$1")
  epoch=0
  case $version in *:*) epoch=${version%%:*} version=${version#*:} ;; esac
  release=1
  case $version in *-*) release=${version##*-} version=${version%-*} ;; esac
  build "${2:-$1}" "$epoch" "$(printf '%s' "$version" | tr - .)" "$release"
}

filesystem() {
  stage
  for dir in boot dev etc/acpi/PWRF etc/init.d etc/rc.d etc/rpm media mnt opt proc root run srv sys tmp usr/bin usr/lib \
    usr/lib64 usr/sbin usr/share var/lib/rpm var/log var/tmp; do
    mkdir -p "$stage/$dir"
  done
  chmod 1777 "$stage/tmp" "$stage/var/tmp"
  for dir in bin lib lib64 sbin; do ln -s "usr/$dir" "$stage/$dir"; done
  cat >"$stage/etc/inittab" <<'INITTAB'
::sysinit:/etc/init.d/rcS
::respawn:/bin/udhcpc -f -i eth0 -s /etc/udhcpc.sh
::respawn:/bin/acpid -d
ttyS0::respawn:/sbin/getty -L ttyS0 115200 vt100
::shutdown:/bin/umount -a -r
INITTAB
  cat >"$stage/etc/init.d/rcS" <<'RCS'
#!/bin/sh
mount -o remount,rw /
[ -d /proc/1 ] || mount -t proc proc /proc
[ -d /sys/class ] || mount -t sysfs sysfs /sys
hostname -F /etc/hostname
for module in virtio_net button evdev; do modprobe "$module"; done
ifconfig lo 127.0.0.1 up
ifconfig eth0 up
date >>/var/log/boots
for service in /etc/rc.d/*; do [ ! -x "$service" ] || "$service" start; done
RCS
  cat >"$stage/etc/udhcpc.sh" <<'UDHCPC'
#!/bin/sh
case $1 in
  deconfig) ifconfig "$interface" 0.0.0.0 ;;
  bound | renew)
    ifconfig "$interface" "$ip" netmask "${subnet:-255.255.255.0}"
    [ -z "$router" ] || route add default gw "${router%% *}" dev "$interface"
    ;;
esac
UDHCPC
  printf '#!/bin/sh\npoweroff\n' >"$stage/etc/acpi/PWRF/00000080"
  chmod 755 "$stage/etc/init.d/rcS" "$stage/etc/udhcpc.sh" "$stage/etc/acpi/PWRF/00000080"
  printf 'root:!*:0:0:root:/root:/bin/sh\n' >"$stage/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\n' >"$stage/etc/group"
  : >"$work/more.spec"
  build filesystem 0 1.0 1
}

release() {
  stage
  mkdir -p "$stage/usr/lib" "$stage/etc/rpm" "$stage/etc/yum.repos.d"
  printf 'NAME="CentOS"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="9"\nPRETTY_NAME="%s"\n' \
    'CentOS 9, as a small guest made of files from Debian' >"$stage/usr/lib/os-release"
  ln -s ../usr/lib/os-release "$stage/etc/os-release"
  # Debian's rpm would keep its database in the home of whoever calls it.
  printf '%%_dbpath /var/lib/rpm\n' >"$stage/etc/rpm/macros"
  printf '[media]\nname=Media\nbaseurl=file:///media/repository\ngpgcheck=0\n' >"$stage/etc/yum.repos.d/media.repo"
  printf 'Requires: filesystem\n' >"$work/more.spec"
  build centos-release 0 9.0 1
}

busybox() {
  stage
  mkdir -p "$stage/usr/bin" "$stage/usr/sbin"
  cp -a "$(realpath /bin/busybox)" "$stage/usr/bin/busybox"
  # What rpm and packages bring themselves is theirs.
  /usr/bin/busybox --list | grep -Evx 'busybox|rpm|rpm2cpio|less|ed|init' | while read -r applet; do
    ln -s busybox "$stage/usr/bin/$applet"
  done
  for applet in init modprobe insmod udhcpc getty; do ln -s ../bin/busybox "$stage/usr/sbin/$applet"; done
  cat >"$work/more.spec" <<'SPEC'
Requires: filesystem
Provides: /bin/sh /usr/bin/sh
SPEC
  build busybox 1 1.35.0 4
}

kernel_core() {
  stage
  for file in "/boot/vmlinuz-$kernel" "/boot/initrd.img-$kernel" "/lib/modules/$kernel/modules.builtin" \
    "/lib/modules/$kernel/modules.order"; do
    put "$file"
  done
  modprobe -S "$kernel" -D --show-depends -a virtio_net button evdev | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u |
    while read -r module; do put "$module"; done
  mv "$stage/boot/initrd.img-$kernel" "$stage/boot/initramfs-$kernel.img"
  ln -s usr/lib "$stage/lib"
  depmod -b "$stage" "$kernel"
  rm "$stage/lib"
  printf 'Requires: filesystem\n' >"$work/more.spec"
  build kernel-core 0 "$(printf '%s' "$kernel" | sed 's/-.*//')" "$(printf '%s' "$kernel" | sed 's/^[^-]*-//; s/-/./g')"
}

rpm_and_libraries() {
  # Only what its program needs: no compiler's helpers.
  ldd /usr/bin/rpm | sed -n 's,.*=> \(/[^ ]*\) .*,\1,p; s,^\t\(/[^ ]*ld-linux[^ ]*\) .*,\1,p' | while read -r file; do
    dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "${file#/usr}" 2>/dev/null || dpkg-query -S "/usr$file" || true
  done | sed 's/:.*//' | sort -u >"$work/libraries"
  while read -r library; do
    {
      printf 'Requires: filesystem\n'
      # What the loader can do is in no file's header.
      [ "$library" != libc6 ] || printf 'Provides: rtld(GNU_HASH)\n'
    } | convert "$library"
  done <"$work/libraries"
  printf 'Requires: filesystem\n' | convert rpm-common
  stage
  for file in /usr/bin/rpm /usr/bin/rpmkeys /usr/bin/rpmdb; do put "$file"; done
  version=$(dpkg-query -W -f '${Version}' rpm)
  printf 'Requires: rpm-common\n' >"$work/more.spec"
  build rpm 0 "$(printf '%s' "${version%-*}" | tr - .)" "${version##*-}"
}

# Two versions: what an upgrade is tried with. Its script notes which of installation (1) and upgrade (2) it was.
web_tools() {
  stage
  mkdir -p "$stage/usr/share/web-tools"
  echo "$1" >"$stage/usr/share/web-tools/version"
  cat >"$work/more.spec" <<'SPEC'
Requires: filesystem
%post
echo "$1" >/usr/share/web-tools/installed
%postun
[ "$1" != 0 ] || rm -f /usr/share/web-tools/installed
SPEC
  build web-tools 0 "$1" 1
}

httpd() {
  stage
  mkdir -p "$stage/etc/rc.d" "$stage/srv/www"
  printf '#!/bin/sh\nexec httpd -p 80 -h /srv/www\n' >"$stage/etc/rc.d/httpd"
  chmod 755 "$stage/etc/rc.d/httpd"
  cat >"$work/more.spec" <<'SPEC'
Requires: busybox
%pre
[ -d /srv ]
SPEC
  build httpd 0 2.4 1
}

filesystem
release
busybox
kernel_core
rpm_and_libraries
printf 'Requires: filesystem\n' | convert libtinfo6
printf 'Requires: filesystem\n' | convert ed
printf 'Requires: filesystem\n' | convert less
web_tools 1.0
web_tools 1.1
httpd

# By name or, where there are several, by name and version.
for file in "$rpms"/*.rpm; do
  rpm -qp --nosignature --qf "%{NAME} $file\n%{NAME}-%{VERSION} $file\n" "$file"
done >"$work/files"
printf '%s\n' filesystem centos-release busybox kernel-core rpm-common rpm |
  cat - "$work/libraries" /tmp/guest/more | while read -r name; do
  sed -n "s,^$name ,,p" "$work/files" | grep .
done >"$work/chosen"
mkdir -p "$root/var/lib/rpm" "$root/dev"
xargs rpm --root "$root" --dbpath /var/lib/rpm --nosignature -i <"$work/chosen"
rpm --root "$root" --dbpath /var/lib/rpm -Va --nofiles

# The boot files by links, as the boot loader of these guests wants them: no package's.
ln -s "boot/vmlinuz-$kernel" "$root/vmlinuz"
ln -s "boot/initramfs-$kernel.img" "$root/initrd.img"
if [ -f /tmp/guest/with-repository ]; then
  mkdir -p "$root/media/repository"
  cp -a "$rpms"/*.rpm "$root/media/repository/"
  createrepo_c --quiet --no-database --simple-md-filenames "$root/media/repository"
fi
rm -rf "$work"
