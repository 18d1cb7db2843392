# Room: io, appliance. Runs a program, and all that it starts, to whom the kernel says of every write that it is on the
# disk, without writing it at once: package managers ask for that some ten thousand times, and under emulation each time
# is milliseconds. What they make is thrown away when the job does not end, and made durable when it does.
#
#   perl without-sync.pl PROGRAM ARGUMENT...
#
# A filter of system calls (seccomp(2)): fsync, fdatasync, msync, sync, sync_file_range and syncfs of x86-64 give 0.
use strict;
use warnings;

my ($LOAD, $JUMP_IF_EQUAL, $RETURN) = (0x20, 0x15, 0x06);
my ($NUMBER_AT, $ARCHITECTURE_AT) = (0, 4);
my ($ALLOW, $ERRNO_0, $X86_64) = (0x7fff0000, 0x00050000, 0xc000003e);
my ($PRCTL, $SET_SECCOMP, $FILTER) = (157, 22, 2);
my @quiet = (74, 75, 26, 162, 277, 306);

# Each jump counts the instructions that it passes over: to the last, which says 0, or the one before it.
my @code = ([$LOAD, 0, 0, $ARCHITECTURE_AT], [$JUMP_IF_EQUAL, 0, 1 + @quiet, $X86_64], [$LOAD, 0, 0, $NUMBER_AT]);
push @code, [$JUMP_IF_EQUAL, @quiet - $_, 0, $quiet[$_]] for 0 .. $#quiet;
push @code, [$RETURN, 0, 0, $ALLOW], [$RETURN, 0, 0, $ERRNO_0];

my $program = join '', map { pack 'SCCL', @$_ } @code;
my $described = pack 'S x6 P', scalar(@code), $program;
syscall($PRCTL, $SET_SECCOMP, $FILTER, $described) == 0 or die "The filter was not taken: $!\n";
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n";
