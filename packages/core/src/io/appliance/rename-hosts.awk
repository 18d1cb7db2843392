# Room: io, appliance. Of a guest's /etc/hosts: its old name, in whole words, becomes the new one, in front of a domain
# too; a file that then lacks the new name gets it.
#
# I1  Comments and every other name stay as they are.
# I2  `localhost` is this machine under any name: a guest that had no other loses nothing.
#
#   gawk -v old=NAME -v new=NAME -f rename-hosts.awk HOSTS
BEGIN {
  # I2
  if (tolower(old) ~ /^localhost([.]|$)/) old = ""
  short = old
  sub(/[.].*/, "", short)
  newshort = new
  sub(/[.].*/, "", newshort)
}
/^[ \t]*#/ || NF < 2 { print; next }
{
  for (i = 2; i <= NF && $i !~ /^#/; i++) {
    if (old != "" && $i == old) $i = new
    else if (short != "" && $i == short) $i = newshort
    else if (short != "" && index($i, short ".") == 1) $i = newshort substr($i, length(short) + 1)
    if ($i == new) known = 1
  }
  print
}
END { if (!known) print "127.0.1.1 " new }
