# shellcheck shell=bash
# Room: io, appliance. Sourced inside the appliance: finds the system on a guest's disks and mounts it as the guest
# itself would.
#
# I1  Only devices of the disks that were named are looked at, so that two guests with the same identifiers (a
#     clone and its parent) are never mixed.
# I2  Nothing of the guest is executed, and no path of it leads out of its tree.
# I3  Bounded: file systems, subvolumes, mount points.
#
# Whoever sources it defines `remark WORDS`, called for what could not be read.

FILE_SYSTEMS_MAX=64
SUBVOLUMES_MAX=64
MOUNTS_MAX=64
GUEST_PROBE=/run/vmdn-probe

type_of() { blkid -p -s TYPE -o value -- "$1" 2>/dev/null; }
value_of() { blkid -p -s "$1" -o value -- "$2" 2>/dev/null; }

# Sets guest_labels and guest_devices: the disks of one guest by their labels, and all that lies on them.
use_disks() {
  local label disk device
  local -A seen=()
  guest_labels=("$@")
  guest_devices=()
  for label in "$@"; do
    disk=$(readlink -f -- "/dev/disk/guestfs/$label")
    [[ -b $disk ]] || continue
    while IFS= read -r device; do
      # A volume over several disks stands below each of them.
      [[ -z ${seen[$device]:-} ]] || continue
      seen[$device]=1
      guest_devices+=("$device")
    done < <(lsblk -nrpo NAME -- "$disk" | head -n 256)
  done
}

is_guest_device() {
  local device
  for device in "${guest_devices[@]}"; do [[ $(readlink -f -- "$device") != "$1" ]] || return 0; done
  return 1
}

# Mounts a file system with options; $3 are those of the guest that count, $5 is ro or rw. The disk below one
# that is mounted ro is a throw-away overlay, so a journal may be replayed.
mount_one() {
  local device=$1 type=$2 options=$3 target=$4 access=$5 quirk
  options=$access,nosuid,nodev${options:+,$options}
  if [[ $access == rw ]]; then options=rw${3:+,$3}; fi
  case $type in
    ext2 | ext3 | ext4) quirk=noload ;;
    xfs) options=$options,nouuid quirk=norecovery ;;
    btrfs) quirk=rescue=nologreplay ;;
    *) quirk=$access ;;
  esac
  mount -t "$type" -o "$options" -- "$device" "$target" 2>/dev/null && return
  [[ $access == ro ]] && mount -t "$type" -o "$options,$quirk" -- "$device" "$target" 2>/dev/null
}

# Devices of the guest with a file system that may hold (a part of) a Linux guest, with its type.
list_file_systems() {
  local device type
  for device in "${guest_devices[@]}"; do
    type=$(type_of "$device")
    case $type in
      ext2 | ext3 | ext4 | xfs | btrfs) printf '%s %s\n' "$device" "$type" ;;
      crypto_LUKS) remark 'a volume is encrypted (LUKS); what it holds can not be known' ;;
    esac
  done | head -n "$FILE_SYSTEMS_MAX"
}

has_system() {
  [[ -d $1/etc && ! -L $1/etc ]] &&
    [[ -e $1/etc/os-release || -L $1/etc/os-release || -e $1/usr/lib/os-release ]]
}

# The device of the guest that its fstab means by $1; nothing when there is none.
resolve() {
  local spec=${1//\"/} device index
  case $spec in
    UUID=* | LABEL=* | PARTUUID=* | PARTLABEL=*)
      local tag=${spec%%=*} value=${spec#*=}
      case $tag in PARTUUID) tag=PART_ENTRY_UUID ;; PARTLABEL) tag=PART_ENTRY_NAME ;; esac
      for device in "${guest_devices[@]}"; do
        [[ $(value_of "$tag" "$device") == "$value" ]] && printf '%s\n' "$device" && return
      done
      ;;
    /dev/*)
      # The guest's n-th disk is the n-th label here, whatever its bus called it there.
      if [[ $spec =~ ^/dev/(sd|vd|xvd|hd)([a-z])([0-9]{0,3})$ ]]; then
        index=$(($(printf '%d' "'${BASH_REMATCH[2]}") - 97))
        spec=/dev/disk/guestfs/${guest_labels[$index]:-none}${BASH_REMATCH[3]}
      elif [[ $spec =~ ^/dev/nvme([0-9])n1(p([0-9]{1,3}))?$ ]]; then
        spec=/dev/disk/guestfs/${guest_labels[${BASH_REMATCH[1]}]:-none}${BASH_REMATCH[3]}
      fi
      [[ -b $spec && $spec != *..* ]] || return 0
      device=$(readlink -f -- "$spec")
      if is_guest_device "$device"; then printf '%s\n' "$device"; fi
      ;;
  esac
}

# The lines of the fstab below $1 that name local file systems: spec, target, type, options.
fstab_lines() {
  local spec target type options rest
  [[ -f $1/etc/fstab && ! -L $1/etc/fstab ]] || return 0
  head -c 262144 -- "$1/etc/fstab" | tr -d '\0' | while read -r spec target type options rest; do
    [[ -n ${options:-} && $spec != '#'* && $target == /* && $target != *[\\]* ]] || continue
    [[ $target != *..* && $type =~ ^(ext[234]|xfs|btrfs|auto)$ ]] || continue
    printf '%s %s %s %s\n' "$spec" "$target" "$type" "$options"
  done | head -n "$MOUNTS_MAX"
}

# Sorts lines of an fstab by the number of slashes in their targets.
outermost_first() {
  local spec target rest slashes
  while read -r spec target rest; do
    slashes=${target//[!\/]/}
    printf '%d %s %s %s\n' "${#slashes}" "$spec" "$target" "$rest"
  done | sort -s -n -k1,1 | cut -d' ' -f2-
}

# The part of mount options that says which subvolume: subvol=... or subvolid=...
subvolume_option() {
  local option options
  IFS=, read -ra options <<<"$1"
  for option in "${options[@]}"; do
    if [[ $option =~ ^subvol(id)?=[A-Za-z0-9@._/-]{1,200}$ ]]; then printf '%s' "$option"; fi
  done
}

# Whether the system below $1, on device $2 and, for btrfs, subvolume $3, says that it is mounted so.
names_itself() {
  local spec target type options device
  while read -r spec target type options; do
    [[ $target == / ]] || continue
    device=$(resolve "$spec")
    [[ -n $device && $(value_of UUID "$device") == "$(value_of UUID "$2")" ]] || return 1
    [[ $(type_of "$2") == btrfs && $options == *subvol=* ]] || return 0
    options=$(subvolume_option "$options")
    options=${options#subvol=}
    [[ ${options#/} == "$3" ]]
    return
  done < <(fstab_lines "$1")
  return 1
}

btrfs_subvolumes() {
  local default
  default=$(btrfs subvolume get-default "$1" 2>/dev/null | sed -n 's/.* path //p')
  printf '%s\n' "$default" ''
  btrfs subvolume list "$1" 2>/dev/null | sed -n 's/^.* path //p' | head -n "$SUBVOLUMES_MAX"
}

# Sets root_device, root_type and root_subvolume: the system that says where it lies, else the first one.
find_root() {
  local device type subvolume sure=0 first
  root_device='' root_type='' root_subvolume=''
  mkdir -p "$GUEST_PROBE"
  while read -r device type; do
    first=''
    if [[ $type == btrfs ]]; then first=subvolid=5; fi
    if ! mount_one "$device" "$type" "$first" "$GUEST_PROBE" ro; then
      remark "a file system of type $type could not be read"
      continue
    fi
    while IFS= read -r subvolume; do
      [[ $subvolume =~ ^[A-Za-z0-9@._/-]{0,200}$ && $subvolume != *..* ]] || continue
      has_system "$GUEST_PROBE/$subvolume" || continue
      if ((sure == 0)) && names_itself "$GUEST_PROBE/$subvolume" "$device" "$subvolume"; then
        sure=1 root_device=$device root_type=$type root_subvolume=$subvolume
      elif [[ -z $root_device ]]; then
        root_device=$device root_type=$type root_subvolume=$subvolume
      fi
    done < <(if [[ $type == btrfs ]]; then btrfs_subvolumes "$GUEST_PROBE"; else echo; fi)
    umount -- "$GUEST_PROBE"
  done < <(list_file_systems)
  [[ -n $root_device ]]
}

# Mounts what find_root found at $1 for $2 (ro, rw), and below it what its fstab says.
mount_guest() {
  local root=$1 access=$2 spec target type options device at
  options=''
  if [[ $root_type == btrfs ]]; then options=subvol=/$root_subvolume; fi
  mkdir -p "$root"
  mount_one "$root_device" "$root_type" "$options" "$root" "$access" || return 1
  while read -r spec target type options; do
    [[ $target != / ]] || continue
    device=$(resolve "$spec")
    at=$(realpath -e -- "$root$target" 2>/dev/null)
    if [[ -z $device || $at != "$root"/* || ! -d $at ]]; then
      remark "$target is not mounted: $spec was not found"
      continue
    fi
    if [[ $type == auto ]]; then type=$(type_of "$device"); fi
    options=$(subvolume_option "$options")
    mount_one "$device" "$type" "$options" "$at" "$access" || remark "$target could not be mounted"
  done < <(fstab_lines "$root" | outermost_first)
}
