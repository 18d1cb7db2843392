#!/bin/sh
# Room: infra/guests. Runs inside the freshly installed tree, before it becomes a disk: locks root,
# takes out what only costs boot time, and lets the recipe add its own.
set -eu

passwd -q -l root
if command -v systemctl >/dev/null; then
  systemctl -q set-default multi-user.target
  systemctl -q enable systemd-networkd.service
  systemctl -q disable getty@.service remote-fs.target 2>/dev/null || true

  # Periodic jobs, mounts and helpers that a server of this size does without. Each costs up to some
  # seconds of an emulated boot.
  systemctl -q mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-tmpfiles-clean.timer \
    dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount proc-sys-fs-binfmt_misc.automount \
    e2scrub_reap.service getty@tty1.service kmod-static-nodes.service modprobe@.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path systemd-binfmt.service \
    systemd-fsckd.socket systemd-hwdb-update.service systemd-journal-flush.service \
    systemd-networkd-wait-online.service systemd-pstore.service systemd-repart.service \
    systemd-sysusers.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service
fi

# The recipe's own part, if it has one.
if [ -f /tmp/guest/install.sh ]; then sh -eu /tmp/guest/install.sh; fi

# What the build leaves behind and no installed machine would have.
rm -rf /tmp/guest /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap \
  /etc/apt/sources.list /etc/apt/sources.list.d/*
rm -f /var/log/apt/* /var/log/dpkg.log /var/log/bootstrap.log /var/log/alternatives.log
